"""What models may be called, and the types of their inputs."""

from __future__ import annotations

import re
from enum import StrEnum

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_VERSION = re.compile(r"[A-Za-z0-9]([-._A-Za-z0-9]{0,61}[A-Za-z0-9])?")
_CLASS = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")


class InputType(StrEnum):
    """The type of a model's inputs; numbered in this order, from 1, on the wire."""

    BYTES = "bytes"
    INTEGERS = "integers"
    FLOATS = "floats"
    DOUBLES = "doubles"
    STRINGS = "strings"
    TENSORS = "tensors"

    @property
    def number(self) -> int:
        """Its number in clipper.v1.InputType, which is also its field's number in clipper.v1.Input."""
        return _NUMBERS[self]

    @classmethod
    def parse(cls, text: str) -> InputType:
        """The type of that name, in any of the spellings that Clipper takes (contract M17).

        Raises:
            ValueError: there is none.
        """
        found = _SPELLINGS.get(text.strip().lower()) if isinstance(text, str) else None
        if found is None:
            raise ValueError(f'no input type "{text}"; there are: {", ".join(cls)}')
        return found


_NUMBERS = {each: number for number, each in enumerate(InputType, start=1)}
_SPELLINGS = {
    spelling: kind
    for kind, spellings in {
        InputType.BYTES: "bytes byte b",
        InputType.INTEGERS: "integers ints integer int i",
        InputType.FLOATS: "floats float f",
        InputType.DOUBLES: "doubles double d",
        InputType.STRINGS: "strings string str strs s",
        InputType.TENSORS: "tensors tensor t",
    }.items()
    for spelling in spellings.split()
}


def checked_name(name: str) -> str:
    """The name of a model, if it is one.

    Raises:
        ValueError: it is not a DNS label.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} is no name: lower-case letters, digits and inner dashes, at most 63, e.g. sum-model"
        )
    return name


def checked_version(version: str) -> str:
    """The version of a model, if it is one.

    Raises:
        ValueError: it is not.
    """
    if not isinstance(version, str) or not _VERSION.fullmatch(version):
        raise ValueError(
            f"{version!r} is no version: letters, digits and inner . _ -, at most 63, e.g. 2 or 2026-11-23"
        )
    return version


def checked_class(name: str) -> str:
    """The name of a class or function as "module:Class", if it is one.

    Raises:
        ValueError: it is not.
    """
    if not _CLASS.fullmatch(name):
        raise ValueError(f'{name!r} names no class: it must be "module:Class", e.g. my_models:Ranker')
    return name
