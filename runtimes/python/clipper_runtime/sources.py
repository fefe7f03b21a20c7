"""The user's own modules: which they are, and the sources that have to travel with a model that imports them."""

from __future__ import annotations

import ast
import importlib.machinery
import importlib.util
import site
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from clipper_runtime.errors import SaveError

_OURS = frozenset({"clipper", "clipper_admin", "clipper_rpc", "clipper_runtime", "clipperctl"})
"""Always there where a model is loaded, and part of no installed package in a checkout."""

_MOST_FILES = 2000


@dataclass(frozen=True, slots=True)
class Sources:
    """Python files by the path that they shall have below the code directory, and what else they import."""

    files: dict[str, Path] = field(default_factory=dict)
    modules: frozenset[str] = frozenset()
    """Top-level modules that they import and that are not local."""


def is_local(module: str) -> bool:
    """Whether a module is the user's own: neither Python's nor part of an installed package."""
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names or top in _OURS or top == "__main__":
        return False
    place = _place_of(top)
    return place is not None and not any(place.is_relative_to(each) for each in _installed_places())


def collect(modules: Iterable[str]) -> Sources:
    """The sources of local modules and of the local modules that they import in turn, whole packages at a time.

    Only Python files are taken. Imports are found by reading, not by running: those made by name at run time are not.

    Raises:
        SaveError: one cannot be read, or there are too many of them.
    """
    files: dict[str, Path] = {}
    others: set[str] = set()
    todo = {module.partition(".")[0] for module in modules}
    done: set[str] = set()
    while todo:
        top = todo.pop()
        done.add(top)
        if not is_local(top):
            others.add(top)
            continue
        for name, path in _files_of(top):
            files[name] = path
            if len(files) > _MOST_FILES:
                raise SaveError(
                    f"Local module {top} has too many files to travel with a model. Install it as a package where the "
                    "runtime runs, and save with local_modules=False."
                )
            todo |= _imports_of(path) - done
    return Sources(files, frozenset(others - sys.stdlib_module_names))


def _files_of(top: str) -> Iterator[tuple[str, Path]]:
    place = _place_of(top)
    if place is None:
        return
    if place.is_dir():
        for path in sorted(place.rglob("*.py")):
            relative = path.relative_to(place)
            if not any(part.startswith(".") for part in relative.parts):
                yield f"{top}/{relative.as_posix()}", path
    elif place.suffix == ".py":
        yield place.name, place


def _imports_of(path: Path) -> set[str]:
    try:
        tree = ast.parse(path.read_bytes(), str(path))
    except (OSError, SyntaxError, ValueError) as error:
        raise SaveError(f"Local module {path} cannot be read: {error}") from error
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module.partition(".")[0])
    return found


def _place_of(top: str) -> Path | None:
    """The file of a top-level module, or the folder of a package; None for built-in and missing ones."""
    spec: importlib.machinery.ModuleSpec | None
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):  # loaded without a spec, as by hand
        spec = None
    if spec is not None:
        folder = next(iter(spec.submodule_search_locations or ()), None)
        origin = folder or (spec.origin if spec.has_location else None)
    else:
        origin = getattr(sys.modules.get(top), "__file__", None)
    return Path(origin).resolve() if origin else None


@cache
def _installed_places() -> tuple[Path, ...]:
    names = {sysconfig.get_path(each) for each in ("stdlib", "platstdlib", "purelib", "platlib")}
    names.update(site.getsitepackages())
    names.add(site.getusersitepackages())
    return tuple(Path(each).resolve() for each in names if each)
