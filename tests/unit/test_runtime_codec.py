"""Serialized inputs to arrays: every way of writing a batch gives the model the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from clipper.model.v1 import model_service_pb2 as model_pb2
from clipper.v1 import values_pb2 as values
from clipper.wire.v1 import wire_pb2
from clipper_runtime.codec import DATA_TYPES, Batch, decoder, read_varint
from clipper_runtime.convert import varint
from clipper_runtime.names import InputType

MESSAGES: dict[InputType, Any] = {
    InputType.INTEGERS: values.Integers,
    InputType.FLOATS: values.Floats,
    InputType.DOUBLES: values.Doubles,
}
DTYPES = {InputType.INTEGERS: np.int32, InputType.FLOATS: np.float32, InputType.DOUBLES: np.float64}
ELEMENTS: dict[InputType, st.SearchStrategy[Any]] = {
    InputType.INTEGERS: st.integers(-(2**31), 2**31 - 1),
    InputType.FLOATS: st.floats(width=32),
    InputType.DOUBLES: st.floats(),
}
VECTOR_TYPES = list(MESSAGES)
UNPACKED = {InputType.INTEGERS: 5, InputType.FLOATS: 5, InputType.DOUBLES: 1}  # wire types


def request(inputs: list[values.Input]) -> bytes:
    return model_pb2.PredictRequest(inputs=inputs).SerializeToString()


def raw_request(*inputs: bytes) -> bytes:
    return wire_pb2.ModelPredictRequest(inputs=inputs).SerializeToString()


def vector(kind: InputType, elements: list[Any]) -> values.Input:
    return values.Input(**{kind.value: MESSAGES[kind](values=elements)})


def field(number: int, wire_type: int, data: bytes) -> bytes:
    return varint(number << 3 | wire_type) + data


def delimited(number: int, data: bytes) -> bytes:
    return field(number, 2, varint(len(data)) + data)


def arrays(batch: Batch) -> Any:
    return batch.build(0, batch.rows)


def doubles(*rows: list[float]) -> list[values.Input]:
    return [vector(InputType.DOUBLES, row) for row in rows]


@pytest.mark.parametrize("kind", VECTOR_TYPES)
@given(data=st.data())
def test_equally_long_vectors_arrive_as_one_array(kind: InputType, data: st.DataObject) -> None:
    rows = data.draw(st.integers(1, 40))
    width = data.draw(st.integers(0, 40))
    wanted = [data.draw(st.lists(ELEMENTS[kind], min_size=width, max_size=width)) for _ in range(rows)]
    batch = decoder(kind)(request([vector(kind, row) for row in wanted]))
    found = arrays(batch)
    assert batch.failures == {}
    assert found.dtype == DTYPES[kind]
    assert found.shape == (rows, width)
    np.testing.assert_array_equal(found, np.array(wanted, DTYPES[kind]).reshape(rows, width))


@pytest.mark.parametrize("kind", VECTOR_TYPES)
@given(data=st.data())
def test_any_part_of_a_batch_is_the_same_part_of_its_vectors(kind: InputType, data: st.DataObject) -> None:
    wanted = data.draw(st.lists(st.lists(ELEMENTS[kind], max_size=5), min_size=1, max_size=12))
    batch = decoder(kind)(request([vector(kind, row) for row in wanted]))
    start = data.draw(st.integers(0, batch.rows - 1))
    stop = data.draw(st.integers(start + 1, batch.rows))
    found: Any = batch.build(start, stop)
    assert len(found) == stop - start
    for row, vector_ in zip(found, wanted[start:stop], strict=True):
        assert row.dtype == DTYPES[kind]
        np.testing.assert_array_equal(row, np.array(vector_, DTYPES[kind]))


def test_vectors_of_different_length_arrive_as_an_object_array_of_vectors() -> None:
    found = arrays(decoder(InputType.DOUBLES)(request(doubles([1.0], [2.0, 3.0], []))))
    assert found.dtype == object
    assert found.shape == (3,)
    assert [row.tolist() for row in found] == [[1.0], [2.0, 3.0], []]
    assert all(row.ndim == 1 and row.dtype == np.float64 for row in found)


@pytest.mark.parametrize(
    "rows", [[[1.0, 2.0]], [[1.0, 2.0], [3.0, 4.0]], [[1.0], [2.0, 3.0]]], ids=["one row", "a grid", "ragged"]
)
def test_a_model_may_write_into_its_inputs_without_a_trace(rows: list[list[float]]) -> None:
    batch = decoder(InputType.DOUBLES)(request(doubles(*rows)))
    for row in arrays(batch):
        row[:] = -1.0
    assert [row.tolist() for row in arrays(batch)] == rows


@pytest.mark.parametrize("kind", VECTOR_TYPES)
@given(data=st.data())
def test_every_legal_encoding_of_a_vector_is_understood(kind: InputType, data: st.DataObject) -> None:
    """Packed in one chunk, in several, element by element, or with fields that are not known."""
    dtype = np.dtype(DTYPES[kind]).newbyteorder("<")
    inputs, wanted = [], []
    for _ in range(data.draw(st.integers(1, 5))):
        written, elements = b"", []
        for _ in range(data.draw(st.integers(0, 3))):
            chunk = np.array(data.draw(st.lists(ELEMENTS[kind], max_size=3)), dtype)
            elements += chunk.tolist()
            if data.draw(st.booleans()):
                written += delimited(1, chunk.tobytes())
            else:
                written += b"".join(field(1, UNPACKED[kind], element.tobytes()) for element in chunk)
            if data.draw(st.booleans()):
                written += delimited(99, b"from a later version")
        inputs.append(delimited(kind.number, written))
        wanted.append(elements)
    batch = decoder(kind)(raw_request(*inputs))
    assert batch.failures == {}
    for row, elements in zip(arrays(batch), wanted, strict=True):
        np.testing.assert_array_equal(row, np.array(elements, dtype))


def test_the_last_value_of_an_input_counts_as_protobuf_has_it() -> None:
    twice = values.Input(string="no").SerializeToString() + vector(InputType.DOUBLES, [5.0]).SerializeToString()
    assert arrays(decoder(InputType.DOUBLES)(raw_request(twice))).tolist() == [[5.0]]


def test_fields_of_a_later_request_are_ignored() -> None:
    later = request(doubles([1.0], [2.0])) + delimited(77, b"?")
    assert arrays(decoder(InputType.DOUBLES)(later)).tolist() == [[1.0], [2.0]]


@given(st.lists(st.text(), min_size=1, max_size=20))
def test_strings_arrive_as_a_list_of_str(texts: list[str]) -> None:
    batch = decoder(InputType.STRINGS)(request([values.Input(string=text) for text in texts]))
    assert arrays(batch) == texts


@given(st.lists(st.binary(), min_size=1, max_size=20))
def test_bytes_arrive_as_a_list_of_bytes(blobs: list[bytes]) -> None:
    batch = decoder(InputType.BYTES)(request([values.Input(bytes=blob) for blob in blobs]))
    assert arrays(batch) == blobs


TENSOR_DTYPES = st.sampled_from(sorted(DATA_TYPES.items())).map(lambda item: item[1])


def tensor(array: Any) -> values.Input:
    number = next(number for number, dtype in DATA_TYPES.items() if dtype == array.dtype)
    return values.Input(
        tensor=values.Tensor(data_type=number, shape=array.shape, data=array.tobytes())  # type: ignore[arg-type]
    )


@given(st.data())
def test_tensors_of_one_shape_arrive_stacked_and_writable(data: st.DataObject) -> None:
    dtype = data.draw(TENSOR_DTYPES)
    shape = data.draw(hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
    wanted = [data.draw(hnp.arrays(dtype, shape)) for _ in range(data.draw(st.integers(1, 5)))]
    batch = decoder(InputType.TENSORS)(request([tensor(each) for each in wanted]))
    assert batch.failures == {}
    found = arrays(batch)
    assert found.shape == (len(wanted), *shape)
    assert found.dtype == dtype
    assert found.flags.writeable
    np.testing.assert_array_equal(found, np.stack(wanted))


def test_tensors_of_different_shape_or_type_arrive_as_a_list() -> None:
    wanted = [np.zeros((2, 3)), np.ones(4, np.float32)]
    found = arrays(decoder(InputType.TENSORS)(request([tensor(each) for each in wanted])))
    assert isinstance(found, list)
    assert [(each.shape, each.dtype) for each in found] == [((2, 3), np.float64), ((4,), np.float32)]
    assert all(each.flags.writeable for each in found)


BAD_VECTORS = {
    "of another type": values.Input(floats=values.Floats(values=[1.0])).SerializeToString(),
    "without a value": b"",
    "cut off": vector(InputType.DOUBLES, [1.0]).SerializeToString()[:-1],
    "with a length beyond its end": b"\x22\x7f\x0a\x7d",
    "of a length that is no multiple": delimited(4, delimited(1, b"seven b")),
    "no message at all": b"\xff\xff\xff\xff\xff\xff\xff",
}


@pytest.mark.parametrize("bad", BAD_VECTORS.values(), ids=BAD_VECTORS)
def test_a_malformed_input_fails_alone(bad: bytes) -> None:
    good = [each.SerializeToString() for each in doubles([1.0, 2.0], [3.0, 4.0])]
    batch = decoder(InputType.DOUBLES)(raw_request(good[0], bad, good[1]))
    assert list(batch.failures) == [1]
    assert batch.failures[1].kind == "InvalidInput"
    assert arrays(batch).tolist() == [[1.0, 2.0], [3.0, 4.0]]


@pytest.mark.parametrize("bad", BAD_VECTORS.values(), ids=BAD_VECTORS)
def test_a_batch_of_malformed_inputs_has_no_rows(bad: bytes) -> None:
    batch = decoder(InputType.DOUBLES)(raw_request(bad, bad))
    assert batch.rows == 0
    assert list(batch.failures) == [0, 1]


def test_a_string_that_is_not_utf_8_fails_alone_and_says_where() -> None:
    batch = decoder(InputType.STRINGS)(raw_request(delimited(5, b"ab\xff"), delimited(5, b"gut")))
    assert batch.failures[0].message == "the string is not UTF-8: invalid start byte at byte 2"
    assert arrays(batch) == ["gut"]


BAD_TENSORS = {
    "of no type": (values.Tensor(shape=[1], data=b"1"), "data_type 0 is not known"),
    "too short": (values.Tensor(data_type=values.DATA_TYPE_INT16, shape=[3], data=b"12345"), "does not have 5 bytes"),
    "of a negative axis": (values.Tensor(data_type=values.DATA_TYPE_INT8, shape=[-1, -1], data=b"1"), "is not valid"),
    "of an overflowing shape": (
        values.Tensor(data_type=values.DATA_TYPE_INT8, shape=[2**62, 4], data=b""),
        "does not have 0 bytes",
    ),
    "empty and beyond counting": (
        values.Tensor(data_type=values.DATA_TYPE_INT8, shape=[0, 2**62, 2**62], data=b""),
        "is too large",
    ),
    "of too many axes": (values.Tensor(data_type=values.DATA_TYPE_INT8, shape=[1] * 65, data=b"1"), "is not valid"),
    "of neither true nor false": (values.Tensor(data_type=values.DATA_TYPE_BOOL, shape=[1], data=b"\2"), "neither 0"),
}


@pytest.mark.parametrize(("bad", "problem"), BAD_TENSORS.values(), ids=BAD_TENSORS)
@pytest.mark.parametrize("mates", [0, 1])
def test_a_malformed_tensor_fails_alone(bad: values.Tensor, problem: str, mates: int) -> None:
    good = [tensor(np.arange(6, dtype=np.int16).reshape(2, 3))] * mates
    batch = decoder(InputType.TENSORS)(request([values.Input(tensor=bad), *good]))
    assert list(batch.failures) == [0]
    assert problem in batch.failures[0].message
    assert batch.rows == mates


def test_one_bad_truth_value_among_equal_tensors_fails_alone() -> None:
    inputs = [tensor(np.array([True, False]))] * 3
    inputs[1] = values.Input(tensor=values.Tensor(data_type=values.DATA_TYPE_BOOL, shape=[2], data=b"\1\3"))
    batch = decoder(InputType.TENSORS)(request(inputs))
    assert list(batch.failures) == [1]
    assert arrays(batch).tolist() == [[True, False], [True, False]]


@given(st.binary(max_size=60))
def test_no_request_whatever_breaks_the_decoder(noise: bytes) -> None:
    for kind in InputType:
        try:
            batch = decoder(kind)(noise)
        except DecodeError:
            continue
        if batch.rows:
            assert len(arrays(batch)) == batch.rows


@given(data=st.data())
def test_a_damaged_request_is_read_as_protobuf_reads_it(data: st.DataObject) -> None:
    """The shortcut for whole batches must never see rows where the generated messages see none, or others."""
    intact = bytearray(request(doubles([1.0, 2.0], [3.0, 4.0], [5.0, 6.0])))
    at = data.draw(st.integers(0, len(intact) - 1))
    intact[at] = data.draw(st.integers(0, 255))
    damaged = bytes(intact)
    try:
        parsed = model_pb2.PredictRequest.FromString(damaged)
    except DecodeError:
        return  # then the runtime may fail single inputs, or the request
    try:
        batch = decoder(InputType.DOUBLES)(damaged)
    except DecodeError:
        pytest.fail("protobuf can read it")
    wanted = [each.doubles.values for each in parsed.inputs if each.WhichOneof("value") == "doubles"]
    found = arrays(batch) if batch.rows else []
    np.testing.assert_equal([row.tolist() for row in found], [list(row) for row in wanted])


@given(st.integers(0, 2**35 - 1))
def test_lengths_are_read_as_they_are_written(number: int) -> None:
    written = varint(number)
    assert read_varint(b"\xff" + written + b"\xff", 1) == (number, 1 + len(written))


def test_an_endless_length_is_refused() -> None:
    with pytest.raises(IndexError):
        read_varint(b"\xff" * 20, 0)
