"""Opens model directories: first every check, then the model's code.

Rules of this file
 1. Nothing of a directory is imported or unpickled before `open_model_dir` has checked all of it: the manifest, the
    SHA-256 of each file, and what Python and packages it was saved with.
 2. A pickle is unpickled from the very bytes that were checked.
 3. Every listed file is a regular file inside of the directory: no links. Importable code must be listed.
"""

from __future__ import annotations

import hashlib
import importlib
import logging
import pickle
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

from clipper_runtime import environment
from clipper_runtime.errors import EnvironmentMismatch, LoadError, MissingModule, ModelDirError, RuntimeFault
from clipper_runtime.manifest import CODE_DIRECTORY, FILE_NAME, FunctionEntry, ListedFile, Manifest
from clipper_runtime.model import FunctionModel, Model
from clipper_runtime.saving import save_class, save_function

__all__ = ["ModelDir", "load_class", "open_model_dir", "save_class", "save_function"]

_log = logging.getLogger(__name__)

_LARGEST_MANIFEST_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ModelDir:
    """A model directory whose files are as its manifest says."""

    path: Path
    manifest: Manifest
    warnings: tuple[str, ...] = field(default=())
    """Differences between the environment that it was saved in and this one that may be harmless."""

    def load(self) -> Model:
        """Runs the model's own code: imports or unpickles it, makes it, and calls its `load` with the directory.

        Raises:
            MissingModule: it imports a module that is not here.
            LoadError: it raised.
            ModelDirError: a file has changed since it was checked.
        """
        if any(name.startswith(f"{CODE_DIRECTORY}/") for name in self.manifest.files):
            sys.dont_write_bytecode = True  # the directory stays as it was saved
            sys.path.insert(0, str(self.path / CODE_DIRECTORY))
        entry = self.manifest.entry
        if isinstance(entry, FunctionEntry):
            func = self._callable(entry.file)
            return FunctionModel(func if entry.loader is None else partial(func, *self._loaded_by(entry.loader)))
        if entry.file is not None:
            model_class = self._callable(entry.file)
            return _made(model_class, getattr(model_class, "__qualname__", "?"), self.path)
        assert entry.class_name is not None
        return load_class(entry.class_name, self.path)

    def unpickled(self, name: str) -> object:
        """What a listed file holds, which must be a pickle. Raises as `load` does."""
        data = (self.path / name).read_bytes()
        if hashlib.sha256(data).hexdigest() != self.manifest.files[name].sha256:
            raise ModelDirError(self.path / name, "has changed since it was checked")
        try:
            thing: object = pickle.loads(data)  # noqa: S301  # its SHA-256 is the one in the manifest
        except BaseException as error:
            raise _load_fault(error) from error
        return thing

    def _callable(self, name: str) -> Callable[..., Any]:
        thing = self.unpickled(name)
        if not callable(thing):
            raise LoadError(f"{name} holds a {type(thing).__name__}, which cannot be called")
        return thing

    def _loaded_by(self, name: str) -> tuple[Any, ...]:
        try:
            loader: Callable[[ModelDir], tuple[Any, ...]] = _named(name)
            return loader(self)
        except RuntimeFault:
            raise
        except BaseException as error:
            raise _load_fault(error) from error


def open_model_dir(path: str | PathLike[str], *, check_environment: bool = True) -> ModelDir:
    """Checks a model directory; runs nothing of it.

    Args:
        path: the directory.
        check_environment: whether another Python or other packages than it was saved with are refused; if not, they
            are only told as warnings.

    Raises:
        ModelDirError: it has no valid manifest, or a file is not as listed. Names the file and the field.
        EnvironmentMismatch: this process has another Python minor version or other major versions of packages.
    """
    directory = Path(path).resolve()
    manifest = _read_manifest(directory)
    _refuse_unlisted_code(directory, manifest)
    for name, listed in manifest.files.items():
        _check_file(directory, name, listed)
    try:
        warnings = environment.check(manifest.python, manifest.packages, is_pickled=manifest.is_pickled)
    except EnvironmentMismatch as mismatch:
        if check_environment:
            raise
        warnings = list(mismatch.problems)
    return ModelDir(directory, manifest, tuple(warnings))


def load_class(name: str, directory: Path) -> Model:
    """Imports a class by its name ("module:Class"), makes one without arguments and calls its `load`, if it has one.

    Raises:
        MissingModule: its module, or one that it imports, is not here.
        LoadError: it raised, or is no model.
    """
    try:
        found: object = _named(name)
    except BaseException as error:
        raise _load_fault(error) from error
    return _made(found, name, directory)


def _named(name: str) -> Any:
    module, _, path = name.partition(":")
    found: object = importlib.import_module(module)
    for part in path.split("."):
        found = getattr(found, part)
    return found


def _made(model_class: object, name: str, directory: Path) -> Model:
    if not isinstance(model_class, type) or not callable(getattr(model_class, "predict", None)):
        raise LoadError(f"{name} is no class with a method predict(inputs)")
    try:
        model = model_class()
        load = getattr(model, "load", None)
        if callable(load):
            load(directory)
    except BaseException as error:
        raise _load_fault(error) from error
    made: Model = model
    return made


def _load_fault(error: BaseException) -> RuntimeFault:
    """What to raise for an error of the model's own code, which may also be a SystemExit."""
    if isinstance(error, ImportError):
        return MissingModule(str(error))
    return LoadError(f"the model's code raised {type(error).__name__}: {error}")


def _read_manifest(directory: Path) -> Manifest:
    path = directory / FILE_NAME
    if not directory.is_dir():
        raise ModelDirError(directory, "no such directory")
    try:
        if path.is_symlink() or path.stat().st_size > _LARGEST_MANIFEST_BYTES:
            raise ModelDirError(path, "is a link or too large to be a manifest")
        return Manifest.from_json(path.read_bytes())
    except FileNotFoundError:
        raise ModelDirError(
            directory, f"has no {FILE_NAME}. Write one with clipper_runtime.save_function or save_class."
        ) from None
    except OSError as error:
        raise ModelDirError(path, f"cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ModelDirError(path, str(error)) from None


def _check_file(directory: Path, name: str, listed: ListedFile) -> None:
    path = directory
    for part in Path(name).parts:
        path = path / part
        if path.is_symlink():
            raise ModelDirError(path, "is a link; the files of a model must be inside of its directory")
    if not path.is_file():
        raise ModelDirError(path, "is listed in the manifest, but there is no such file")
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelDirError(path, f"cannot be read: {error.strerror}") from error
    if size != listed.bytes:
        raise ModelDirError(path, f"has {size} bytes, but the manifest says {listed.bytes} (files.{name}.bytes)")
    if digest != listed.sha256:
        raise ModelDirError(path, f"is not what was saved: its SHA-256 is {digest}, not {listed.sha256}")


def _refuse_unlisted_code(directory: Path, manifest: Manifest) -> None:
    """Importing from the code directory must never find what nobody listed."""
    code = directory / CODE_DIRECTORY
    for path in sorted(code.rglob("*")) if code.exists() else ():
        name = path.relative_to(directory).as_posix()
        if name not in manifest.files and not (path.is_dir() and not path.is_symlink()):
            raise ModelDirError(path, "is not listed in the manifest; nothing unlisted may be importable")
