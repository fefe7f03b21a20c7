"""The public names of the SDK: adding one is a decision, losing one breaks users."""

from __future__ import annotations

import subprocess
import sys

import clipper_runtime
from clipper_runtime import errors


def test_the_public_names_are_these() -> None:
    assert clipper_runtime.__all__ == [
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
    assert all(hasattr(clipper_runtime, name) for name in clipper_runtime.__all__)


def test_the_exit_codes_are_these() -> None:
    codes = {each.__name__: each.exit_code for each in errors.RuntimeFault.__subclasses__()}
    assert codes == {
        "SaveError": 4,
        "ModelDirError": 4,
        "EnvironmentMismatch": 5,
        "MissingModule": 3,
        "LoadError": 6,
        "CannotListen": 7,
    }


def test_commands_start_without_what_takes_long_to_import() -> None:
    code = (
        "import sys, clipperctl.main, clipper_admin.connection, clipper_admin.local_container_manager; "
        "print(sorted({'numpy', 'pydantic', 'cloudpickle', 'httpx', 'docker'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
