"""The manifest of a model directory: what the model is, what it needs, and which files belong to it.

    manifest.json   {"format": 1, "name", "version", "input_type", "entry", "python", "packages", "files"}
    func.pkl        the function (entry {"kind": "function", "file": "func.pkl"})
    class.pkl       or a class that has no module (entry {"kind": "class", "file": "class.pkl"})
    code/           sources that were shipped: importable (entry {"kind": "class", "class": "module:Name"})
    ...             the model's own files

Every file is listed with its SHA-256 and size. Nothing of a directory is imported or unpickled before all of them
match.
"""

from __future__ import annotations

import json
import re
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

FORMAT = 1
FILE_NAME = "manifest.json"
CODE_DIRECTORY = "code"

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
        found = _SPELLINGS.get(text.strip().lower())
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
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} is no name: lower-case letters, digits and inner dashes, at most 63, e.g. sum-model"
        )
    return name


def checked_version(version: str) -> str:
    """The version of a model, if it is one.

    Raises:
        ValueError: it is not.
    """
    if not _VERSION.fullmatch(version):
        raise ValueError(
            f"{version!r} is no version: letters, digits and inner . _ -, at most 63, e.g. 2 or 2026-11-23"
        )
    return version


def checked_class(name: str) -> str:
    """The name of a class as "module:Class", if it is one.

    Raises:
        ValueError: it is not.
    """
    if not _CLASS.fullmatch(name):
        raise ValueError(f'{name!r} names no class: it must be "module:Class", e.g. my_models:Ranker')
    return name


def _checked_file(name: str) -> str:
    path = PurePosixPath(name)
    is_plain = path.parts and not path.is_absolute() and ".." not in path.parts and str(path) == name
    if not is_plain or "\\" in name or "\0" in name:
        raise ValueError(f"{name!r} must be a plain path inside of the model directory")
    if name == FILE_NAME:
        raise ValueError("the manifest cannot list itself")
    return name


FileName = Annotated[str, AfterValidator(_checked_file)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", populate_by_name=True)


class FunctionEntry(_Part):
    """The model is a pickled function."""

    kind: Literal["function"] = "function"
    file: FileName


class ClassEntry(_Part):
    """The model is a class: one of a module that can be imported, or a pickled one."""

    kind: Literal["class"] = "class"
    class_name: Annotated[str, AfterValidator(checked_class)] | None = Field(default=None, alias="class")
    file: FileName | None = None

    @model_validator(mode="after")
    def _has_one(self) -> ClassEntry:
        if (self.class_name is None) == (self.file is None):
            raise ValueError('needs exactly one of "class" and "file"')
        return self


class ListedFile(_Part):
    """A file of the model, as it was when it was saved."""

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    bytes: Annotated[int, Field(ge=0)]


class Manifest(_Part):
    """All that there is to know about a model before it is loaded."""

    format: Literal[1] = 1
    name: Annotated[str, AfterValidator(checked_name)]
    version: Annotated[str, AfterValidator(checked_version)]
    input_type: InputType
    entry: Annotated[FunctionEntry | ClassEntry, Field(discriminator="kind")]
    python: Annotated[str, Field(pattern=r"^\d+\.\d+")]
    packages: dict[str, str]
    files: dict[FileName, ListedFile]

    @model_validator(mode="after")
    def _entry_is_listed(self) -> Manifest:
        if self.entry.file is not None and self.entry.file not in self.files:
            raise ValueError(f'entry.file "{self.entry.file}" is not listed in files')
        return self

    @property
    def is_pickled(self) -> bool:
        """Whether loading it unpickles code, which only the Python minor version that wrote it can read."""
        return self.entry.file is not None

    def to_json(self) -> str:
        """The text of manifest.json."""
        return json.dumps(self.model_dump(mode="json", by_alias=True, exclude_none=True), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Manifest:
        """Reads the text of a manifest.json.

        Raises:
            ValueError: it is not valid; says which field and why.
        """
        try:
            raw: Any = json.loads(text)
        except ValueError as error:
            raise ValueError(f"is not JSON: {error}") from None
        if not isinstance(raw, dict):
            raise ValueError("is not a JSON object")  # noqa: TRY004  # of the text, whose type is right
        if raw.get("format") != FORMAT:
            raise ValueError(
                f"format: {raw.get('format')!r} is not known; this runtime reads format {FORMAT}. "
                "Was it saved by a newer clipper-serve?"
            )
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise ValueError("; ".join(_told(each) for each in error.errors())) from None


def _told(error: Any) -> str:
    field = ".".join(str(part) for part in error["loc"])
    problem = str(error["msg"]).removeprefix("Value error, ")
    return f"{field}: {problem}" if field else problem
