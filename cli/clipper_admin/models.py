"""Model directories: what the local container manager has for images."""

from __future__ import annotations

import importlib.metadata
import shlex
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from clipper_admin.exceptions import ClipperException, InvalidArgumentException
from clipper_runtime.errors import RuntimeFault
from clipper_runtime.names import InputType

if TYPE_CHECKING:
    from clipper_runtime.manifest import Manifest


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
    missing = {each: found for each in requirements if (found := _what_is_missing(each))}
    if missing:
        raise ClipperException(
            f"Replicas of a local cluster run in this Python environment, and it lacks: {', '.join(missing.values())}. "
            f"Install with: pip install {shlex.join(missing)}"
        )


def _what_is_missing(requirement: str) -> str:
    """The requirement, and what is there instead; empty where it is fulfilled."""
    from packaging.requirements import InvalidRequirement, Requirement  # here, since most deployments name none

    try:
        wanted = Requirement(requirement)
    except InvalidRequirement as error:
        raise InvalidArgumentException(
            f"{requirement!r} is no requirement; give a package, e.g. scikit-learn or xgboost==2.1.1"
        ) from error
    if wanted.marker is not None and not wanted.marker.evaluate():
        return ""
    try:
        version = importlib.metadata.version(wanted.name)
    except importlib.metadata.PackageNotFoundError:
        return requirement
    is_right = wanted.specifier.contains(version, prereleases=True)
    return "" if is_right else f"{requirement} ({version} is installed)"
