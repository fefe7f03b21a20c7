"""Writes model directories: one per version, written once, never changed.

A directory appears as a whole: it is written beside its place and then renamed.
"""

from __future__ import annotations

import hashlib
import inspect
import os
import secrets
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from clipper_runtime.environment import packages_of, python_version
from clipper_runtime.errors import SaveError
from clipper_runtime.manifest import CODE_DIRECTORY, FILE_NAME, ClassEntry, FunctionEntry, ListedFile, Manifest
from clipper_runtime.names import InputType, checked_name, checked_version
from clipper_runtime.packing import Packed, pack
from clipper_runtime.sources import collect, is_local

Files = Mapping[str, "str | os.PathLike[str]"]
"""Files or folders to copy, by the path that they shall have in the model directory."""


def save_function(
    directory: str | os.PathLike[str],
    *,
    name: str,
    version: str | int,
    input_type: str | InputType,
    func: Callable[[Any], Any],
    local_modules: bool = True,
    packages: Mapping[str, str] | None = None,
) -> Manifest:
    """Writes a model directory for a function from a batch of inputs to a list of outputs.

    The function is pickled together with whatever it refers to. Code of your session (`__main__`) and, unless
    `local_modules` is false, of your own modules travels along; installed packages do not: their versions are recorded
    and compared when the model is loaded.

    Args:
        directory: where to; must not exist or be empty.
        name: the model's name, a DNS label.
        version: the model's version; numbers become text.
        input_type: "doubles", "floats", "integers", "strings", "bytes" or "tensors".
        func: takes a batch (see `ModelInputs`), returns a list with one output per input.
        local_modules: whether your own modules that it uses travel along.
        packages: versions of packages to record besides those that are found.

    Raises:
        SaveError: the function cannot be pickled, a field is not valid, or the directory is not empty.
    """
    draft = _Draft(name, version, input_type)
    draft.add_packed("func.pkl", _packed_function(func, local_modules=local_modules))
    return draft.write(Path(directory), FunctionEntry(file="func.pkl"), packages)


def save_framework_model(
    directory: str | os.PathLike[str],
    *,
    name: str,
    version: str | int,
    input_type: str | InputType,
    func: Callable[..., Any],
    loader: str,
    files: Files,
    pickled: Mapping[str, object] | None = None,
    modules: Iterable[str] = (),
) -> Manifest:
    """Writes a model directory for a function of a framework's model and a batch of inputs.

    Args:
        directory: where to; must not exist or be empty.
        name: the model's name, a DNS label.
        version: the model's version; numbers become text.
        input_type: "doubles", "floats", "integers", "strings", "bytes" or "tensors".
        func: takes what the loader returns and a batch, returns a list with one output per input.
        loader: a function of the runtime, as "module:function": see `loaders`.
        files: files or folders to copy into the directory, for the loader.
        pickled: further things for the loader, pickled as the function is, by the name of their file.
        modules: top-level modules of the framework, whose packages are recorded.

    Raises:
        SaveError: as save_function; or a file to copy is not there.
    """
    draft = _Draft(name, version, input_type)
    draft.modules.update(modules)
    draft.add_packed("func.pkl", _packed_function(func))
    for target, thing in (pickled or {}).items():
        draft.add_packed(target, pack(thing))
    for target, source in files.items():
        draft.add_tree(target, Path(source))
    return draft.write(Path(directory), FunctionEntry(file="func.pkl", loader=loader), None)


def _packed_function(func: Callable[..., Any], *, local_modules: bool = True) -> Packed:
    if not callable(func) or inspect.isclass(func):
        raise SaveError(f"func must be a function, not {func!r}. For a class there is save_class.")
    return pack(func, local_modules=local_modules)


def save_class(
    directory: str | os.PathLike[str],
    *,
    name: str,
    version: str | int,
    input_type: str | InputType,
    model_class: type | str,
    files: Files | None = None,
    local_modules: bool = True,
    packages: Mapping[str, str] | None = None,
) -> Manifest:
    """Writes a model directory for a class with `predict(inputs)` and, if it has files to read, `load(directory)`.

    A class of one of your own modules is imported by its name, and the module's source travels along; a class of your
    session (`__main__`) is pickled; a class of an installed package is imported from there.

    Args:
        directory: where to; must not exist or be empty.
        name: the model's name, a DNS label.
        version: the model's version; numbers become text.
        input_type: "doubles", "floats", "integers", "strings", "bytes" or "tensors".
        model_class: the class, or its name as "module:Class".
        files: files or folders to copy into the directory, which `load` is given.
        local_modules: whether your own modules that it uses travel along.
        packages: versions of packages to record besides those that are found.

    Raises:
        SaveError: as save_function; or a file to copy is not there.
    """
    draft = _Draft(name, version, input_type)
    for target, source in (files or {}).items():
        draft.add_tree(target, Path(source))
    entry = _class_entry(draft, model_class, local_modules=local_modules)
    return draft.write(Path(directory), entry, packages)


def _class_entry(draft: _Draft, model_class: type | str, *, local_modules: bool) -> ClassEntry:
    if isinstance(model_class, str):
        module, _, _ = model_class.partition(":")
        name = model_class
    else:
        if not callable(getattr(model_class, "predict", None)):
            raise SaveError(f"{model_class.__qualname__} has no predict(inputs)")
        module = model_class.__module__
        name = f"{module}:{model_class.__qualname__}"
        if module == "__main__" or "<locals>" in name or module not in sys.modules:
            packed = pack(model_class, local_modules=local_modules)
            draft.add_packed("class.pkl", packed)
            return ClassEntry(file="class.pkl")
    if local_modules and is_local(module):
        draft.add_sources([module])
    else:
        draft.modules.add(module.partition(".")[0])
    try:
        return ClassEntry.model_validate({"class": name})
    except ValueError:
        raise SaveError(f'model_class must be a class or "module:Class", not {model_class!r}') from None


class _Draft:
    """The content of a model directory before it is written."""

    def __init__(self, name: str, version: str | int, input_type: str | InputType) -> None:
        try:
            self.name = checked_name(name)
            self.version = checked_version(str(version))
            self.input_type = InputType.parse(input_type)
        except ValueError as error:
            raise SaveError(str(error)) from None
        self.modules: set[str] = set()
        self._contents: dict[str, bytes | Path] = {}

    def add_packed(self, target: str, packed: Packed) -> None:
        """Adds a pickle and the sources that it needs."""
        self._contents[target] = packed.data
        self.modules |= packed.modules
        self.add_sources(packed.shipped)

    def add_sources(self, modules: Iterable[str]) -> None:
        """Adds the sources of local modules."""
        sources = collect(modules)
        self.modules |= sources.modules
        for name, path in sources.files.items():
            self._contents[f"{CODE_DIRECTORY}/{name}"] = path

    def add_tree(self, target: str, source: Path) -> None:
        """Adds a file, or all files of a folder."""
        if source.is_dir():
            for path in sorted(each for each in source.rglob("*") if each.is_file()):
                self._contents[str(PurePosixPath(target) / path.relative_to(source).as_posix())] = path
        elif source.is_file():
            self._contents[str(PurePosixPath(target))] = source
        else:
            raise SaveError(f"{source}: no such file")

    def write(self, directory: Path, entry: FunctionEntry | ClassEntry, packages: Mapping[str, str] | None) -> Manifest:
        """Writes it all and returns the manifest."""
        if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
            raise SaveError(f"{directory} is not empty. Every version of a model has a directory of its own.")
        directory.parent.mkdir(parents=True, exist_ok=True)
        building = directory.parent / f".{directory.name}.{os.getpid()}.{secrets.token_hex(4)}"
        building.mkdir()
        try:
            files = {name: _written(building, name, content) for name, content in sorted(self._contents.items())}
            manifest = self._manifest(entry, files, {**packages_of(self.modules), **(packages or {})})
            (building / FILE_NAME).write_text(manifest.to_json(), encoding="utf-8")
            building.rename(directory)
        except BaseException:
            shutil.rmtree(building, ignore_errors=True)
            raise
        return manifest

    def _manifest(
        self, entry: FunctionEntry | ClassEntry, files: dict[str, ListedFile], packages: dict[str, str]
    ) -> Manifest:
        try:
            return Manifest(
                name=self.name,
                version=self.version,
                input_type=self.input_type,
                entry=entry,
                python=python_version(),
                packages=packages,
                files=files,
            )
        except ValueError as error:  # a path given by the caller
            raise SaveError(str(error)) from None


def _written(directory: Path, name: str, content: bytes | Path) -> ListedFile:
    parts: Sequence[str] = PurePosixPath(name).parts
    if not parts or ".." in parts or PurePosixPath(name).is_absolute():
        raise SaveError(f"{name!r} must be a plain path inside of the model directory")
    target = directory / name
    target.parent.mkdir(parents=True, exist_ok=True)
    digest, size = hashlib.sha256(), 0
    with target.open("xb") as out:
        if isinstance(content, bytes):
            out.write(content)
            digest.update(content)
            size = len(content)
        else:
            with content.open("rb") as source:
                while block := source.read(1 << 20):
                    out.write(block)
                    digest.update(block)
                    size += len(block)
    return ListedFile(sha256=digest.hexdigest(), bytes=size)
