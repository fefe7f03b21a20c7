"""Installs what a model needs into this Python, while its image is built; then checks that the model can be loaded.

    python -m clipper_runtime.provision /model [REQUIREMENT ...]

What the manifest has recorded is installed if it is missing here or has another major version, in the version that the
model was saved with; requirements that are given come first. The environment of this process may be one without pip:
that of the interpreter that it was made from is used.
"""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from clipper_runtime import environment
from clipper_runtime.errors import RuntimeFault
from clipper_runtime.manifest import Manifest
from clipper_runtime.model_dir import open_model_dir

_NAME = re.compile(r"\s*([A-Za-z0-9][-._A-Za-z0-9]*)")


def needed(manifest: Manifest, requirements: Sequence[str]) -> list[str]:
    """What must be installed: the requirements, and what was recorded and is not here."""
    given = {_normal(found[1]) for each in requirements if (found := _NAME.match(each))}
    recorded = {name: version for name, version in manifest.packages.items() if _normal(name) not in given}
    return [*requirements, *environment.differing(recorded)]


def provision(directory: Path, requirements: Sequence[str]) -> None:
    """Installs what the model of a directory needs.

    Raises:
        RuntimeFault: the directory is not valid, or the model cannot be loaded here even then.
        subprocess.CalledProcessError: pip has failed; it has said why.
    """
    wanted = needed(open_model_dir(directory, check_environment=False).manifest, requirements)
    if wanted:
        sys.stdout.write(f"Installing {' '.join(wanted)}\n")
        sys.stdout.flush()
        pip = [f"{sys.base_prefix}/bin/python3", "-m", "pip", "--python", sys.executable, "--disable-pip-version-check"]
        subprocess.run([*pip, "install", "--no-cache-dir", "--progress-bar=off", *wanted], check=True)
        importlib.invalidate_caches()
    for warning in open_model_dir(directory).warnings:
        sys.stdout.write(f"The environment differs: {warning}\n")


def main(arguments: Sequence[str]) -> int:
    """Runs the command; returns the exit code."""
    if not arguments:
        sys.stderr.write("Usage: python -m clipper_runtime.provision MODEL_DIR [REQUIREMENT ...]\n")
        return 2
    try:
        provision(Path(arguments[0]), arguments[1:])
    except RuntimeFault as fault:
        sys.stderr.write(f"{fault}\n")
        return fault.exit_code
    except subprocess.CalledProcessError as error:
        return error.returncode
    return 0


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
