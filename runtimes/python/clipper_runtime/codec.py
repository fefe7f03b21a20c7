"""Serialized inputs to what a model gets (contract C4).

A request is looked at as bytes. When all its inputs are equally long vectors, or tensors of one shape and type, each
written in the canonical way, it is a grid: equal headers in equal distances. Then the whole batch becomes one array by
one copy, with no work per row. Anything else goes input by input, where a malformed input fails alone.

Arrays are always made by a copy: a model may write into them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from google.protobuf.message import DecodeError

from clipper.v1 import values_pb2
from clipper.wire.v1 import wire_pb2
from clipper_runtime.model import ModelInputs
from clipper_runtime.names import InputType
from clipper_runtime.predict import Failure

INVALID_INPUT = "InvalidInput"
"""The kind of error of an input that is malformed or of another type."""

LENGTH_DELIMITED = 2
"""The wire type of everything that an Input can hold."""

_VECTORS: dict[InputType, np.dtype[Any]] = {
    InputType.INTEGERS: np.dtype("<i4"),
    InputType.FLOATS: np.dtype("<f4"),
    InputType.DOUBLES: np.dtype("<f8"),
}

DATA_TYPES: dict[int, np.dtype[Any]] = {
    values_pb2.DATA_TYPE_BOOL: np.dtype("?"),
    values_pb2.DATA_TYPE_UINT8: np.dtype("<u1"),
    values_pb2.DATA_TYPE_UINT16: np.dtype("<u2"),
    values_pb2.DATA_TYPE_UINT32: np.dtype("<u4"),
    values_pb2.DATA_TYPE_UINT64: np.dtype("<u8"),
    values_pb2.DATA_TYPE_INT8: np.dtype("<i1"),
    values_pb2.DATA_TYPE_INT16: np.dtype("<i2"),
    values_pb2.DATA_TYPE_INT32: np.dtype("<i4"),
    values_pb2.DATA_TYPE_INT64: np.dtype("<i8"),
    values_pb2.DATA_TYPE_FLOAT16: np.dtype("<f2"),
    values_pb2.DATA_TYPE_FLOAT32: np.dtype("<f4"),
    values_pb2.DATA_TYPE_FLOAT64: np.dtype("<f8"),
}
"""clipper.v1.DataType to numpy's."""

_MOST_AXES = 64  # numpy's own limit
_MOST_BYTES = 1 << 40  # of a shape with its empty axes left out: what numpy can surely count


class InvalidInput(ValueError):
    """An input is malformed or of another type."""


@dataclass(frozen=True, slots=True)
class Batch:
    """The valid inputs of a request, and why the others are not."""

    rows: int
    """How many valid ones there are."""
    build: Callable[[int, int], ModelInputs]
    """Makes the model's inputs of rows `start` to `stop`; new arrays each time."""
    failures: dict[int, Failure] = field(default_factory=dict)
    """By position in the request. The valid inputs are at the other positions, in order."""


_Header: TypeAlias = "tuple[int, np.dtype[Any], tuple[int, ...]]"
"""Where the elements of a value begin, their type and their shape."""


def decoder(input_type: InputType) -> Callable[[bytes], Batch]:
    """What decodes a serialized clipper.model.v1.PredictRequest for a model of that input type.

    The decoder raises DecodeError if the request as a whole is malformed.
    """
    tag = input_type.number << 3 | LENGTH_DELIMITED
    match input_type:
        case InputType.STRINGS:
            return lambda request: _listed(request, tag, _text, _as_list)
        case InputType.BYTES:
            return lambda request: _listed(request, tag, _raw, _as_list)
        case InputType.TENSORS:
            return lambda request: _grid(request, tag, _tensor_header) or _listed(request, tag, _tensor, _stacked)
        case _:
            dtype = _VECTORS[input_type]

            def vector(value: bytes) -> bytes:
                return _vector(value, input_type, dtype)

            def header(request: bytes, at: int, end: int) -> _Header | None:
                return _vector_header(request, at, end, dtype)

            def joined(vectors: Sequence[bytes]) -> ModelInputs:
                return _joined(vectors, dtype)

            return lambda request: _grid(request, tag, header) or _listed(request, tag, vector, joined)


# The whole request at once


def _grid(request: bytes, tag: int, header: Callable[[bytes, int, int], _Header | None]) -> Batch | None:
    """The request as a grid of equal rows; None if it is none.

    `header` reads the first value, from a position to another: its elements must fill it to its end.
    """
    try:
        size, at = read_varint(request, 1)
        stride = at + size
        if request[0] != 0x0A or len(request) % stride or request[at] != tag:
            return None
        size, at = read_varint(request, at + 1)
        found = header(request, at, stride) if at + size == stride else None
    except (IndexError, InvalidInput):
        return None
    if found is None:
        return None
    at, dtype, shape = found
    rows = len(request) // stride
    table = np.frombuffer(request, np.uint8).reshape(rows, stride)
    if rows > 1 and not (table[1:, :at] == table[0, :at]).all():
        return None
    elements = table[:, at:]
    if dtype.kind == "b" and (elements > 1).any():
        return None

    def build(start: int, stop: int) -> ModelInputs:
        return elements[start:stop].copy().view(dtype).reshape(stop - start, *shape)

    return Batch(rows, build)


def _vector_header(request: bytes, at: int, end: int, dtype: np.dtype[Any]) -> _Header | None:
    if request[at] != 0x0A:
        return None
    size, at = read_varint(request, at + 1)
    if at + size != end or size % dtype.itemsize:
        return None
    return at, dtype, (size // dtype.itemsize,)


def _tensor_header(request: bytes, start: int, end: int) -> _Header | None:
    """Of a Tensor written in field order: 08 type, 12 length shape, 1a length data."""
    if request[start] != 0x08:
        return None
    at = read_varint(request, start + 1)[1]
    if request[at] == 0x12:
        size, at = read_varint(request, at + 1)
        at += size
    size, elements = read_varint(request, at + 1)
    if request[at] != 0x1A or elements + size != end:
        return None
    try:
        tensor = values_pb2.Tensor.FromString(request[start:at])
    except DecodeError:
        return None
    dtype, shape = _checked_shape(tensor.data_type, tuple(tensor.shape), size)
    return elements, dtype, shape


# Input by input


def _listed(
    request: bytes, tag: int, decode: Callable[[bytes], Any], build: Callable[[Sequence[Any]], ModelInputs]
) -> Batch:
    values: list[Any] = []
    failures: dict[int, Failure] = {}
    for position, serialized in enumerate(wire_pb2.ModelPredictRequest.FromString(request).inputs):
        try:
            values.append(decode(_value(serialized, tag)))
        except InvalidInput as error:
            failures[position] = Failure(INVALID_INPUT, str(error))
    return Batch(len(values), lambda start, stop: build(values[start:stop]), failures)


def _value(serialized: bytes, tag: int) -> bytes:
    """The serialized value in an Input whose only field is that of the tag."""
    try:
        if serialized[0] == tag:
            size, at = read_varint(serialized, 1)
            if at + size == len(serialized):
                return serialized[at:]
    except IndexError:
        pass
    try:
        parsed = wire_pb2.Input.FromString(serialized)
    except DecodeError:
        raise InvalidInput("the input cannot be parsed") from None
    name = parsed.WhichOneof("value")
    wanted = wire_pb2.Input.DESCRIPTOR.fields_by_number[tag >> 3].name
    if name != wanted:
        raise InvalidInput(f"the model takes {wanted}, the input has {name or 'no value'}")
    value: bytes = getattr(parsed, name)
    return value


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise InvalidInput(f"the string is not UTF-8: {error.reason} at byte {error.start}") from None


def _raw(value: bytes) -> bytes:
    return value


def _vector(value: bytes, input_type: InputType, dtype: np.dtype[Any]) -> bytes:
    """The elements of a serialized Doubles, Floats or Integers, as they are in memory."""
    if not value:
        return value
    try:
        size, at = read_varint(value, 1)
        if value[0] == 0x0A and at + size == len(value) and not size % dtype.itemsize:
            return value[at:]
    except IndexError:
        pass
    try:
        match input_type:  # not packed, in several chunks, or with unknown fields: legal, but never seen in practice
            case InputType.INTEGERS:
                elements: Sequence[float] = values_pb2.Integers.FromString(value).values
            case InputType.FLOATS:
                elements = values_pb2.Floats.FromString(value).values
            case _:
                elements = values_pb2.Doubles.FromString(value).values
    except DecodeError:
        raise InvalidInput(f"the vector of {input_type} cannot be parsed") from None
    return np.array(elements, dtype).tobytes()


def _tensor(value: bytes) -> npt.NDArray[Any]:
    try:
        tensor = values_pb2.Tensor.FromString(value)
    except DecodeError:
        raise InvalidInput("the tensor cannot be parsed") from None
    dtype, shape = _checked_shape(tensor.data_type, tuple(tensor.shape), len(tensor.data))
    array = np.frombuffer(tensor.data, dtype)
    if dtype.kind == "b" and (array.view(np.uint8) > 1).any():
        raise InvalidInput("a tensor of BOOL holds a byte that is neither 0 nor 1")
    return array.reshape(shape)


def _checked_shape(data_type: int, shape: tuple[int, ...], data_bytes: int) -> tuple[np.dtype[Any], tuple[int, ...]]:
    dtype = DATA_TYPES.get(data_type)
    if dtype is None:
        raise InvalidInput(f"the tensor's data_type {data_type} is not known")
    if len(shape) >= _MOST_AXES or any(axis < 0 for axis in shape):
        raise InvalidInput(f"the tensor's shape {_told(shape)} is not valid")
    if math.prod(shape) * dtype.itemsize != data_bytes:
        raise InvalidInput(f"a tensor of {dtype.name} {_told(shape)} does not have {data_bytes} bytes")
    if math.prod(max(axis, 1) for axis in shape) * dtype.itemsize > _MOST_BYTES:
        raise InvalidInput(f"the tensor's shape {_told(shape)} is too large")
    return dtype, shape


def _told(shape: tuple[int, ...]) -> str:
    return str(list(shape[:8])) if len(shape) <= 8 else f"{list(shape[:8])} and {len(shape) - 8} more axes"


def _as_list(values: Sequence[Any]) -> ModelInputs:
    return list(values)


def _joined(vectors: Sequence[bytes], dtype: np.dtype[Any]) -> ModelInputs:
    """One array [rows, features] of equally long vectors, else an object array of views of one array."""
    flat = np.frombuffer(bytearray().join(vectors), dtype)
    first = len(vectors[0])
    if all(len(vector) == first for vector in vectors):
        return flat.reshape(len(vectors), first // dtype.itemsize)
    rows = np.empty(len(vectors), object)
    at = 0
    for row, vector in enumerate(vectors):
        end = at + len(vector) // dtype.itemsize
        rows[row] = flat[at:end]
        at = end
    return rows


def _stacked(tensors: Sequence[npt.NDArray[Any]]) -> ModelInputs:
    first = tensors[0]
    if all(tensor.shape == first.shape and tensor.dtype == first.dtype for tensor in tensors):
        return np.stack(tensors)
    return [tensor.copy() for tensor in tensors]


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """The number that is written at `at`, and where it ends.

    Raises:
        IndexError: the data ends within it, or it is longer than any length is.
    """
    byte = data[at]
    if byte < 0x80:
        return byte, at + 1
    number = byte & 0x7F
    for shift in range(7, 36, 7):
        at += 1
        byte = data[at]
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at + 1
    raise IndexError("not a length")
