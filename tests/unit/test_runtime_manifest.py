"""Manifests: what is valid, and what is told of one that is not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from clipper.v1 import values_pb2
from clipper_runtime import InputType, Manifest
from clipper_runtime.names import checked_name, checked_version

DIGEST = "0" * 64


def manifest(**changes: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "format": 1,
        "name": "sum-model",
        "version": "1",
        "input_type": "doubles",
        "entry": {"kind": "function", "file": "func.pkl"},
        "python": "3.11.7",
        "packages": {"numpy": "2.4.6"},
        "files": {"func.pkl": {"sha256": DIGEST, "bytes": 12}},
    }
    return {key: value for key, value in {**fields, **changes}.items() if value is not ...}


CLASS = {"kind": "class", "class": "my_models.ranking:Ranker"}


@pytest.mark.parametrize(
    "entry", [{"kind": "function", "file": "func.pkl"}, CLASS, {"kind": "class", "file": "func.pkl"}]
)
def test_a_manifest_is_read_as_it_was_written(entry: dict[str, str]) -> None:
    text = json.dumps(manifest(entry=entry))
    read = Manifest.from_json(text)
    assert json.loads(read.to_json()) == json.loads(text)
    assert Manifest.from_json(read.to_json()) == read
    assert read.is_pickled == ("file" in entry)


INVALID = {
    "another format": (manifest(format=2), "format: 2 is not known; this runtime reads format 1"),
    "no format": (manifest(format=...), "format: None is not known"),
    "no name": (manifest(name=...), "name: Field required"),
    "a name with a space": (manifest(name="sum model"), "name: 'sum model' is no name: lower-case"),
    "a name that is a path": (manifest(name="../x"), "name: '../x' is no name"),
    "a version with a slash": (manifest(version="1/2"), "version: '1/2' is no version"),
    "a number as version": (manifest(version=1), "version: Input should be a valid string"),
    "another input type": (manifest(input_type="images"), "input_type: Input should be 'bytes'"),
    "another kind of entry": (manifest(entry={"kind": "jar"}), "entry: Input tag 'jar'"),
    "an entry without a file": (manifest(entry={"kind": "function"}), "entry.function.file: Field required"),
    "a class and a file": (manifest(entry={**CLASS, "file": "func.pkl"}), 'entry.class: needs exactly one of "class"'),
    "no class at all": (manifest(entry={"kind": "class"}), 'entry.class: needs exactly one of "class" and "file"'),
    "a class without a module": (manifest(entry={**CLASS, "class": "Ranker"}), "names no class"),
    "an entry that is not listed": (manifest(files={}), 'entry.file "func.pkl" is not listed in files'),
    "a digest that is none": (
        manifest(files={"func.pkl": {"sha256": "abc", "bytes": 1}}),
        "files.func.pkl.sha256: String should match",
    ),
    "a negative size": (
        manifest(files={"func.pkl": {"sha256": DIGEST, "bytes": -1}}),
        "files.func.pkl.bytes: Input should be greater than or equal to 0",
    ),
    "a field that nobody knows": (manifest(entrypoint="x"), "entrypoint: Extra inputs are not permitted"),
    "a list": ([], "is not a JSON object"),
}


@pytest.mark.parametrize(("content", "problem"), INVALID.values(), ids=INVALID)
def test_an_invalid_manifest_is_refused_with_its_field(content: Any, problem: str) -> None:
    with pytest.raises(ValueError) as caught:
        Manifest.from_json(json.dumps(content))
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    "path", ["../func.pkl", "/etc/passwd", "a/../../b", "./a", "a//b", "a\\b", "", ".", "manifest.json", "a\0b"]
)
def test_a_file_outside_of_the_directory_is_refused(path: str) -> None:
    content = manifest(entry=CLASS, files={path: {"sha256": DIGEST, "bytes": 1}})
    with pytest.raises(ValueError, match=r"plain path inside|cannot list itself"):
        Manifest.from_json(json.dumps(content))


def test_what_is_not_json_is_refused() -> None:
    with pytest.raises(ValueError, match="is not JSON"):
        Manifest.from_json(b"\x80\x04pickle")


def test_input_types_are_numbered_as_on_the_wire() -> None:
    for kind in InputType:
        assert values_pb2.InputType.Name(kind.number) == f"INPUT_TYPE_{kind.name}"
        assert values_pb2.Input.DESCRIPTOR.fields_by_number[kind.number].name in {kind.value, kind.value.rstrip("s")}


SPELLINGS = {
    "bytes": ["bytes", "byte", "b"],
    "integers": ["integers", "ints", "integer", "int", "i"],
    "floats": ["floats", "float", "f"],
    "doubles": ["doubles", "double", "d", " Doubles "],
    "strings": ["strings", "string", "str", "strs", "s"],
    "tensors": ["tensors", "tensor", "t"],
}


@pytest.mark.parametrize(("name", "spelling"), [(name, each) for name, all_ in SPELLINGS.items() for each in all_])
def test_clippers_spellings_of_input_types_are_understood(name: str, spelling: str) -> None:
    assert InputType.parse(spelling) == name


def test_another_input_type_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(ValueError, match="there are: bytes, integers, floats, doubles, strings, tensors"):
        InputType.parse("images")


@pytest.mark.parametrize("name", ["a", "sum-model", "0", "a" * 63])
def test_a_dns_label_is_a_name(name: str) -> None:
    assert checked_name(name) == name


@pytest.mark.parametrize("name", ["", "-a", "a-", "A", "a_b", "a.b", "a" * 64, "a\n", "ä", "a:b", "a\0"])
def test_anything_else_is_no_name(name: str) -> None:
    with pytest.raises(ValueError, match="is no name"):
        checked_name(name)


@pytest.mark.parametrize("version", ["1", "1.0.2", "v2_final", "2026-11-23", "A" * 63])
def test_versions_may_have_dots_underscores_and_capitals(version: str) -> None:
    assert checked_version(version) == version


@pytest.mark.parametrize("version", ["", ".1", "1.", "a b", "1/2", "A" * 64, "1\n", "é"])
def test_anything_else_is_no_version(version: str) -> None:
    with pytest.raises(ValueError, match="is no version"):
        checked_version(version)
