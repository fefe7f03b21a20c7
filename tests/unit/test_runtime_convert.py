"""What a model returns, to outputs: the bytes written by hand are those of the generated messages."""

from __future__ import annotations

import datetime as dt
import enum
import json
import math
from collections import OrderedDict
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipper.model.v1 import model_service_pb2 as model_pb2
from clipper.v1 import values_pb2 as values
from clipper_runtime import convert
from clipper_runtime.predict import Failure


def parsed(outcomes: Any, model_us: int = 0) -> model_pb2.PredictResponse:
    return model_pb2.PredictResponse.FromString(convert.response(outcomes, model_us))


def output(value: Any) -> values.Output:
    [result] = parsed([value]).results
    assert result.WhichOneof("outcome") == "output", result
    return result.output


class Color(enum.StrEnum):
    RED = "red"


class Point(NamedTuple):
    x: int
    y: float


class Rank(enum.IntEnum):
    FIRST = 1


NUMBERS = {
    "an int": (3, 3.0),
    "the largest exact int": (2**53, float(2**53)),
    "the smallest exact int": (-(2**53), -float(2**53)),
    "zero": (0, 0.0),
    "a float": (1.5, 1.5),
    "infinity": (math.inf, math.inf),
    "a numpy float": (np.float64(2.5), 2.5),
    "a numpy single": (np.float32(0.1), float(np.float32(0.1))),
    "a numpy int": (np.int64(7), 7.0),
    "an unsigned numpy int": (np.uint64(2**53), float(2**53)),
    "an array without axes": (np.array(4.5), 4.5),
    "an int enum": (Rank.FIRST, 1.0),
}


@pytest.mark.parametrize(("value", "number"), NUMBERS.values(), ids=NUMBERS)
def test_numbers_become_a_number(value: Any, number: float) -> None:
    found = output(value)
    assert found.WhichOneof("value") == "number"
    assert found.number == number


def test_not_a_number_stays_one() -> None:
    assert math.isnan(output(math.nan).number)


STRINGS = {
    "text": ("grüß dich", "grüß dich"),
    "nothing": ("", ""),
    "a long text": ("x" * 5000, "x" * 5000),
    "numpy text": (np.str_("np"), "np"),
    "a text enum": (Color.RED, "red"),
}


@pytest.mark.parametrize(("value", "text"), STRINGS.values(), ids=STRINGS)
def test_text_becomes_a_string(value: Any, text: str) -> None:
    found = output(value)
    assert found.WhichOneof("value") == "string"
    assert found.string == text


@pytest.mark.parametrize("value", [b"\0raw", bytearray(b"\0raw"), memoryview(b"\0raw"), np.bytes_(b"\0raw")])
def test_bytes_become_bytes(value: Any) -> None:
    assert output(value).bytes == b"\0raw"


JSON: dict[str, tuple[Any, Any]] = {
    "true": (True, True),
    "numpy's true": (np.bool_(True), True),
    "nothing": (None, None),
    "a list": ([1, "a", None], [1, "a", None]),
    "an empty list": ([], []),
    "a tuple": ((1, 2.5), [1, 2.5]),
    "a named tuple": (Point(1, 2.0), [1, 2.0]),
    "a dict": ({"label": "ü", "p": 0.5}, {"label": "ü", "p": 0.5}),
    "an ordered dict": (OrderedDict(a=1), {"a": 1}),
    "arrays inside": (
        {"n": np.int64(3), "v": np.array([1.5, 2.5]), "t": np.array(True)},
        {"n": 3, "v": [1.5, 2.5], "t": True},
    ),
    "what is no number inside": ({"a": [math.nan, 1.0, np.float32(math.inf)]}, {"a": [None, 1.0, None]}),
    "an array of it inside": ([np.array([math.nan, 2.0])], [[None, 2.0]]),
    "a larger int": (2**53 + 1, 2**53 + 1),
    "a larger numpy int": (np.uint64(2**64 - 1), 2**64 - 1),
    "an array of text": (np.array(["a", "b"]), ["a", "b"]),
    "an array of objects": (np.array([{"a": 1}, None], object), [{"a": 1}, None]),
}


@pytest.mark.parametrize(("value", "document"), JSON.values(), ids=JSON)
def test_everything_with_structure_becomes_json(value: Any, document: Any) -> None:
    found = output(value)
    assert found.WhichOneof("value") == "json"
    assert json.loads(found.json) == document


VECTORS = {"doubles": np.float64, "floats": np.float32, "integers": np.int32}


@pytest.mark.parametrize(("name", "dtype"), VECTORS.items(), ids=VECTORS)
@pytest.mark.parametrize("length", [0, 1, 500])
def test_vectors_become_vectors(name: str, dtype: Any, length: int) -> None:
    array = np.arange(length * 2, dtype=dtype)[::2]  # not contiguous
    found = output(array)
    assert found.WhichOneof("value") == name
    np.testing.assert_array_equal(np.array(getattr(found, name).values, dtype), array)


TENSORS = {
    "a matrix": (np.arange(6.0).reshape(2, 3).T, values.DATA_TYPE_FLOAT64),
    "a vector of long ints": (np.arange(3), values.DATA_TYPE_INT64),
    "a vector of truth": (np.array([True, False]), values.DATA_TYPE_BOOL),
    "an empty matrix": (np.zeros((0, 4), np.float16), values.DATA_TYPE_FLOAT16),
    "a big-endian matrix": (np.arange(4, dtype=">i2").reshape(2, 2), values.DATA_TYPE_INT16),
}


@pytest.mark.parametrize(("array", "data_type"), TENSORS.values(), ids=TENSORS)
def test_other_arrays_become_tensors(array: np.ndarray[Any, Any], data_type: int) -> None:
    found = output(array)
    assert found.WhichOneof("value") == "tensor"
    assert found.tensor.data_type == data_type
    dtype = array.dtype.newbyteorder("<")
    np.testing.assert_array_equal(np.frombuffer(found.tensor.data, dtype).reshape(tuple(found.tensor.shape)), array)


def test_a_big_endian_vector_keeps_its_values() -> None:
    assert list(output(np.array([1.0, 2.0], ">f8")).doubles.values) == [1.0, 2.0]


class Convertible:
    def tolist(self) -> list[int]:
        return [1]


CYCLE: list[Any] = []
CYCLE.append(CYCLE)

UNSUPPORTED: dict[str, tuple[Any, str]] = {
    "a set": ({1}, "a set cannot be an output"),
    "something with tolist": (Convertible(), "Call its .tolist()"),
    "a set inside": ([{1}], "a set cannot be part of an output"),
    "a complex number": (1j, "a complex cannot be an output"),
    "a complex vector": (np.array([1j]), "cannot be part of an output"),
    "a date": (np.datetime64("2026-01-01"), "cannot be an output"),
    "a date of python": ({"at": dt.date(2026, 1, 1)}, "a date cannot be part"),
    "half a character": ("\ud800", "not valid Unicode"),
    "half a character inside": (["\ud800"], "surrogates not allowed"),
    "a key that is none": ({(1, 2): 3}, "keys must be"),
    "a list in itself": (CYCLE, ""),
}


@pytest.mark.parametrize(("value", "problem"), UNSUPPORTED.values(), ids=UNSUPPORTED)
def test_what_cannot_be_an_output_fails_alone(value: Any, problem: str) -> None:
    first, bad, last = parsed(["before", value, "after"]).results
    assert (first.output.string, last.output.string) == ("before", "after")
    assert bad.error.kind == "UnsupportedOutput"
    assert problem in bad.error.message
    assert "\n" not in bad.error.message


def test_a_failure_becomes_an_error() -> None:
    [result] = parsed([Failure("ValueError", "no")]).results
    assert (result.error.kind, result.error.message) == ("ValueError", "no")


def written_by_protobuf(outcomes: list[Any], model_us: int) -> bytes:
    response = model_pb2.PredictResponse(model_us=model_us)
    for value in outcomes:
        match value:
            case Failure():
                error = model_pb2.PredictError(kind=value.kind, message=value.message)
                response.results.add(error=error)
            case str():
                response.results.add(output=values.Output(string=value))
            case bytes():
                response.results.add(output=values.Output(bytes=value))
            case float():
                response.results.add(output=values.Output(number=value))
            case np.ndarray():
                response.results.add(output=values.Output(doubles=values.Doubles(values=value)))
    return response.SerializeToString()


OUTCOMES = st.one_of(
    st.text(),
    st.binary(),
    st.floats(allow_nan=False),
    st.lists(st.floats(allow_nan=False), max_size=40).map(lambda each: np.array(each, np.float64)),
    st.builds(Failure, st.text(max_size=5), st.text(max_size=200)),
    st.integers(0, 20000).map(lambda size: "x" * size),
)


@given(st.lists(OUTCOMES, min_size=1, max_size=20), st.integers(0, 2**62))
def test_mixed_rows_are_written_as_protobuf_writes_them(outcomes: list[Any], model_us: int) -> None:
    assert convert.response(outcomes, model_us) == written_by_protobuf(outcomes, model_us)


@given(st.lists(st.floats(allow_nan=False), min_size=1, max_size=300))
def test_lists_of_floats_are_written_as_protobuf_writes_them(outcomes: list[float]) -> None:
    wanted = written_by_protobuf(outcomes, 0)
    assert convert.response(outcomes) == wanted
    assert convert.response(np.array(outcomes)) == wanted
    assert convert.response(tuple(outcomes)) == wanted


@given(st.lists(st.integers(-(2**53), 2**53), min_size=1, max_size=30))
def test_lists_of_ints_are_written_as_protobuf_writes_them(outcomes: list[int]) -> None:
    wanted = written_by_protobuf([float(each) for each in outcomes], 0)
    assert convert.response(outcomes) == wanted
    assert convert.response(np.array(outcomes)) == wanted


@pytest.mark.parametrize("rows", [1, 8, 9, 300])
@pytest.mark.parametrize("width", [0, 1, 3, 15, 16, 200, 20000])
def test_rows_of_a_matrix_are_written_as_protobuf_writes_vectors(rows: int, width: int) -> None:
    matrix = np.arange(rows * width, dtype=np.float64).reshape(width, rows).T  # not contiguous
    assert convert.response(matrix) == written_by_protobuf(list(matrix), 0)


@pytest.mark.parametrize("length", [2, 20])
@pytest.mark.parametrize("large", [2**53 + 1, -(2**53) - 1, 2**63, 2**64])
def test_a_larger_int_among_ints_becomes_json_alone(length: int, large: int) -> None:
    outcomes = [1] * (length - 1) + [large]
    *small, last = parsed(outcomes).results
    assert {each.output.number for each in small} == {1.0}
    assert json.loads(last.output.json) == large


@pytest.mark.parametrize("length", [2, 20])
def test_an_array_of_truth_becomes_json_truth(length: int) -> None:
    assert [each.output.json for each in parsed(np.array([True] * length)).results] == ["true"] * length


@pytest.mark.parametrize("length", [2, 20])
def test_an_array_of_text_becomes_strings(length: int) -> None:
    assert [each.output.string for each in parsed(np.array(["cat"] * length)).results] == ["cat"] * length


@pytest.mark.parametrize("length", [2, 20])
def test_an_array_of_matrices_becomes_tensors(length: int) -> None:
    found = parsed(np.zeros((length, 2, 3))).results
    assert [list(each.output.tensor.shape) for each in found] == [[2, 3]] * length


@pytest.mark.parametrize("length", [2, 20])
def test_extended_precision_becomes_plain_numbers(length: int) -> None:
    assert [each.output.number for each in parsed(np.full(length, 0.5, np.longdouble)).results] == [0.5] * length


def test_an_output_is_written_as_protobuf_writes_it() -> None:
    assert convert.output("x") == values.Output(string="x").SerializeToString()
    with pytest.raises(convert.UnsupportedOutput):
        convert.output(object())
