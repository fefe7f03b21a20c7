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
manifest          what a model directory says of itself
model_dir         checks and loads it; before that, nothing of it runs
saving            writes it
packing, sources  what a function needs in another process
environment       Python and packages, then and now
lease             stays registered, from its own thread
client            calls the manager
settings, app     the process
errors            why a model cannot be saved, opened or loaded
"""

from clipper_runtime.errors import (
    CannotListen,
    EnvironmentMismatch,
    LoadError,
    MissingModule,
    ModelDirError,
    RuntimeFault,
    SaveError,
)
from clipper_runtime.manifest import InputType, Manifest
from clipper_runtime.model import FunctionModel, Model, ModelInputs, ModelOutputs
from clipper_runtime.model_dir import ModelDir, open_model_dir
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
