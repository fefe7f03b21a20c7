"""Turns a function or a class into bytes that another process can load, and finds out what it needs there.

Code that the other process cannot import is pickled by value: that of `__main__` and of functions without a module
always, that of local modules if it is asked for. Where that is impossible (a module that holds a lock, say), and for
imports within functions, the sources of local modules must travel along: `Packed.shipped` names them.
"""

from __future__ import annotations

import dis
import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from types import CodeType, FunctionType, ModuleType
from typing import Any

import cloudpickle

from clipper_runtime.errors import SaveError
from clipper_runtime.sources import is_local

_registering = Lock()
"""cloudpickle's list of modules to pickle by value is the process's own."""


@dataclass(frozen=True, slots=True)
class Packed:
    """Something pickled, and what it needs where it is loaded."""

    data: bytes
    modules: frozenset[str]
    """Top-level modules that it refers to by name or that its code imports while it runs."""
    shipped: frozenset[str]
    """Those of them that are local: their sources must travel along."""


def pack(thing: object, *, local_modules: bool = True) -> Packed:
    """Pickles a function or a class.

    Args:
        thing: what to pickle.
        local_modules: whether code of local modules travels along. Without it they must be importable over there.

    Raises:
        SaveError: something that it refers to cannot be pickled.
    """
    if not local_modules:
        found = _pickled(thing)
        return Packed(found.data, found.referred | found.imported, frozenset())
    with _registering:
        found, by_value = _pickled_by_value(thing)
    local = {each for each in found.referred | found.imported if is_local(each)}
    shipped = local - (by_value - found.imported)
    return Packed(found.data, (found.referred | found.imported) - local, frozenset(shipped))


def _pickled_by_value(thing: object) -> tuple[_Found, set[str]]:
    """Pickles with as many as possible of the local modules that it refers to by value; tells which these are.

    More of them may come to light each time. Where one cannot be pickled, it is told from the others one by one.
    """
    by_value: set[str] = set()
    by_name: set[str] = set()
    found = _pickled(thing)
    while True:
        more = {each for each in found.referred if each in sys.modules and is_local(each)} - by_value - by_name
        if not more:
            return found, by_value
        for attempt in (more, *({each} for each in sorted(more) if len(more) > 1)):
            try:
                with _registered(by_value | attempt):
                    found = _pickled(thing)
            except SaveError:
                by_name |= attempt if len(attempt) == 1 else set()
            else:
                by_value |= attempt
                if attempt == more:
                    break


@contextmanager
def _registered(modules: set[str]) -> Iterator[None]:
    mine = [sys.modules[each] for each in modules - set(cloudpickle.list_registry_pickle_by_value())]
    for module in mine:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in mine:
            cloudpickle.unregister_pickle_by_value(module)


@dataclass(frozen=True, slots=True)
class _Found:
    data: bytes
    referred: frozenset[str]
    imported: frozenset[str]


def _pickled(thing: object) -> _Found:
    buffer = io.BytesIO()
    pickler = _Observer(buffer)
    try:
        pickler.dump(thing)
    except Exception as error:
        raise SaveError(
            f"{getattr(thing, '__qualname__', thing)!s} cannot be pickled ({type(error).__name__}: {error}). Whatever "
            "it refers to travels with it: make connections, locks and open files inside of it, or save a class with "
            "load()."
        ) from error
    return _Found(buffer.getvalue(), frozenset(pickler.referred), frozenset(pickler.imported))


class _Observer(cloudpickle.Pickler):  # type: ignore[misc]  # cloudpickle has no types
    """A cloudpickle pickler that writes down which top-level modules it comes across."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self.referred: set[str] = set()
        self.imported: set[str] = set()

    def reducer_override(self, obj: Any) -> Any:
        """Called by pickle for every object that is no plain value."""
        if isinstance(obj, ModuleType):
            name = obj.__name__
        else:
            named = obj if isinstance(obj, type | FunctionType) else type(obj)
            name = getattr(named, "__module__", None) or ""
        if name and name != "__main__":
            self.referred.add(name.partition(".")[0])
        if isinstance(obj, FunctionType) and (name not in sys.modules or name == "__main__" or is_local(name)):
            self.imported.update(_imports_of(obj.__code__))
        return super().reducer_override(obj)


def _imports_of(code: CodeType) -> Iterator[str]:
    for instruction in dis.get_instructions(code):
        if instruction.opname == "IMPORT_NAME" and instruction.argval:
            yield str(instruction.argval).partition(".")[0]
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _imports_of(constant)
