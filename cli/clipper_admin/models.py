"""Model directories: what the local container manager has for images."""

from __future__ import annotations

import importlib.metadata
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from clipper_admin.exceptions import ClipperException
from clipper_runtime.errors import RuntimeFault
from clipper_runtime.names import InputType

if TYPE_CHECKING:
    from clipper_runtime.manifest import Manifest

_REQUIREMENT = re.compile(r"\s*([A-Za-z0-9][-._A-Za-z0-9]*)\s*(?:\[[^]]*\])?\s*(?:==\s*([^\s,;]+))?")


def checked(model_dir: Path, name: str, version: str, input_type: str) -> Manifest:
    """The manifest of a model directory that can be loaded in this environment and is what it is deployed as.

    Raises:
        ClipperException: it is not; says which field, and what to do.
    """
    manifest = _opened(model_dir)
    for field, wanted, found in (
        ("name", name, manifest.name),
        ("version", version, manifest.version),
        ("input_type", InputType.parse(input_type), manifest.input_type),
    ):
        if wanted != found:
            raise ClipperException(
                f"{model_dir} holds a model whose {field} is {found}, not {wanted}: deploy it as what it was saved as."
            )
    return manifest


def saved_as(model_dir: Path) -> tuple[str, str]:
    """The version and the input type that a model directory was saved as.

    Raises:
        ClipperException: it is none, or not as its manifest says.
    """
    manifest = _opened(model_dir)
    return manifest.version, str(manifest.input_type)


def _opened(model_dir: Path) -> Manifest:
    from clipper_runtime.model_dir import open_model_dir  # here, since it takes long to import

    try:
        return open_model_dir(model_dir).manifest
    except RuntimeFault as error:
        raise ClipperException(str(error)) from error


def copied(source: Path, target: Path) -> None:
    """Copies a model directory, so that it appears as a whole.

    Raises:
        ClipperException: the source is no directory, or the target exists.
    """
    if not source.is_dir():
        raise ClipperException(f"{source} is no directory. A model is deployed from a directory with a manifest.json.")
    if target.exists():
        raise ClipperException(f"{target} exists already.")
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    unfinished = target.with_name(f".{target.name}.new")
    shutil.rmtree(unfinished, ignore_errors=True)
    shutil.copytree(source, unfinished)
    unfinished.replace(target)


def check_packages(requirements: Iterable[str]) -> None:
    """Checks that packages are installed where replicas run: local ones share the environment of this session.

    Raises:
        ClipperException: some are not; says how to install them.
    """
    missing = [each for each in requirements if not _is_installed(each)]
    if missing:
        raise ClipperException(
            f"Replicas of a local cluster run in this Python environment, and it lacks: {', '.join(missing)}. "
            f"Install with: pip install {' '.join(missing)}"
        )


def _is_installed(requirement: str) -> bool:
    found = _REQUIREMENT.match(requirement)
    if found is None:
        raise ClipperException(
            f"{requirement!r} is no requirement; give a package, e.g. scikit-learn or xgboost==2.1.1"
        )
    try:
        version = importlib.metadata.version(found[1])
    except importlib.metadata.PackageNotFoundError:
        return False
    return found[2] is None or found[2] == version
