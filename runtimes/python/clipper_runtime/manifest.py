"""The manifest of a model directory: what the model is, what it needs, and which files belong to it.

    manifest.json   {"format": 1, "name", "version", "input_type", "entry", "python", "packages", "files"}
    func.pkl        the function (entry {"kind": "function", "file": "func.pkl"}); with "loader", a function of a
                    framework's model and the inputs
    class.pkl       or a class that has no module (entry {"kind": "class", "file": "class.pkl"})
    code/           sources that were shipped: importable (entry {"kind": "class", "class": "module:Name"})
    ...             the model's own files

Every file is listed with its SHA-256 and size. Nothing of a directory is imported or unpickled before all of them
match.
"""

from __future__ import annotations

import json
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from clipper_runtime.names import InputType, checked_class, checked_name, checked_version

FORMAT = 1
FILE_NAME = "manifest.json"
CODE_DIRECTORY = "code"


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
    """The model is a pickled function: of the inputs or, with a loader, of what that returns and the inputs."""

    kind: Literal["function"] = "function"
    file: FileName
    loader: Annotated[str, AfterValidator(checked_class)] | None = None
    """Names a function, "module:function", that makes the framework's model of the directory: see `loaders`."""


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
