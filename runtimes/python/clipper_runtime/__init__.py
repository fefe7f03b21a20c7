"""The Python model runtime: serves one model in a process of its own; and the SDK for those who write models.

For model authors: save a function or a class to a directory, which the runtime, and only the runtime, loads.

    from clipper_runtime import save_function
    save_function("models/sum-model/1", name="sum-model", version=1, input_type="doubles",
                  func=lambda inputs: [float(each) for each in inputs.sum(axis=1)])

    python -m clipper_runtime --model-dir models/sum-model/1

In reading order:

model             what a model is to the runtime
service           ModelService on the raw transport
worker            the threads that compute, in order
codec, convert    bytes to arrays, and what a model returns to bytes
predict           one batch, and the inputs at fault alone
faults            what the log is told of a model's errors
tally             what it counts of its batches
metrics           what a model counts itself
names             what models may be called, and the types of their inputs
manifest          what a model directory says of itself
model_dir         checks and loads it; before that, nothing of it runs
saving            writes it
loaders           frameworks' models, from the files of a model directory
packing, sources  what a function needs in another process
environment       Python and packages, then and now
lease             stays registered, from its own thread
client            calls the manager
settings, app     the process
errors            why a model cannot be saved, opened or loaded

Names are imported when they are first used, so that programs that only need one of them stay quick and small.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clipper_runtime.errors import (
        CannotListen,
        EnvironmentMismatch,
        LoadError,
        MissingModule,
        ModelDirError,
        RuntimeFault,
        SaveError,
    )
    from clipper_runtime.manifest import Manifest
    from clipper_runtime.model import FunctionModel, Model, ModelInputs, ModelOutputs
    from clipper_runtime.model_dir import ModelDir, open_model_dir
    from clipper_runtime.names import InputType
    from clipper_runtime.saving import save_class, save_function

__all__ = [
    "CannotListen",
    "EnvironmentMismatch",
    "FunctionModel",
    "InputType",
    "LoadError",
    "Manifest",
    "MissingModule",
    "Model",
    "ModelDir",
    "ModelDirError",
    "ModelInputs",
    "ModelOutputs",
    "RuntimeFault",
    "SaveError",
    "open_model_dir",
    "save_class",
    "save_function",
]

_MODULES = {
    "CannotListen": "errors",
    "EnvironmentMismatch": "errors",
    "FunctionModel": "model",
    "InputType": "names",
    "LoadError": "errors",
    "Manifest": "manifest",
    "MissingModule": "errors",
    "Model": "model",
    "ModelDir": "model_dir",
    "ModelDirError": "errors",
    "ModelInputs": "model",
    "ModelOutputs": "model",
    "RuntimeFault": "errors",
    "SaveError": "errors",
    "open_model_dir": "model_dir",
    "save_class": "saving",
    "save_function": "saving",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
