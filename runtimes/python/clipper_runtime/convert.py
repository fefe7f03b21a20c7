"""What a model returns to serialized outputs.

    str                         string        bytes, bytearray, memoryview   bytes
    int, float, numpy scalars   number        integers beyond 2**53          json
    bool, None, list, dict      json          tuple                          json
    1-D array of float64        doubles       of float32                     floats
    1-D array of int32          integers      other arrays of numbers        tensor
    arrays of anything else     json

A PredictResponse is written by hand here, since protobuf's messages cost more per row than many models do; answers that
are all numbers, or rows of one array, are written as one block. `tests/unit/test_runtime_convert.py` holds it against
the generated messages.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from clipper.model.v1 import model_service_pb2
from clipper.v1 import values_pb2
from clipper_runtime.codec import DATA_TYPES
from clipper_runtime.predict import Failure, Outcomes

UNSUPPORTED_OUTPUT = "UnsupportedOutput"
"""The kind of error of an input for which the model returned something that cannot be an output."""

_LARGEST_EXACT = 2**53
_FEW = 2  # rows up to which a block costs more than it saves

# Field tags of clipper.v1.Output, with their wire types.
_BYTES, _INTEGERS, _FLOATS, _DOUBLES, _STRING, _TENSOR, _JSON = (number << 3 | 2 for number in range(1, 8))
_NUMBER = 8 << 3 | 1
_VALUES = b"\x0a"
"""The only field of Doubles, Floats and Integers; also the outer fields of a result with an output."""

_VECTORS: dict[np.dtype[Any], int] = {
    np.dtype("<f8"): _DOUBLES,
    np.dtype("<f4"): _FLOATS,
    np.dtype("<i4"): _INTEGERS,
}
_DATA_TYPES = {dtype: number for number, dtype in DATA_TYPES.items()}


class UnsupportedOutput(TypeError):
    """The model returned something that cannot be an output."""


def response(outcomes: Outcomes, model_us: int = 0) -> bytes:
    """A serialized clipper.model.v1.PredictResponse: one result per outcome, in order."""
    rows = _block(outcomes)
    if rows is None:
        rows = b"".join([_row(value) for value in _values(outcomes)])
    return rows + b"\x10" + varint(model_us) if model_us > 0 else rows


# Many rows at once


def _block(outcomes: Outcomes) -> bytes | None:
    """All rows at once, where they are all of one length; else None."""
    if len(outcomes) <= _FEW:
        return None
    if isinstance(outcomes, np.ndarray):
        if outcomes.ndim == 1:
            return _numbers(outcomes)
        tag = _VECTORS.get(outcomes.dtype)
        if tag is None or outcomes.ndim != 2 or not outcomes.shape[1]:
            return None
        data = np.ascontiguousarray(outcomes)
        size = data.shape[1] * data.itemsize
        return _repeated(_head(tag, _VALUES + varint(size), size), data)
    kinds = set(map(type, outcomes))
    if kinds == {float}:
        return _numbers(np.array(outcomes, np.float64))
    if kinds == {int}:
        try:
            return _numbers(np.array(outcomes, np.int64))
        except OverflowError:
            return None
    return None


def _numbers(values: npt.NDArray[Any]) -> bytes | None:
    if values.dtype.kind in "iu":
        if values.max() > _LARGEST_EXACT or values.min() < -_LARGEST_EXACT:
            return None
    elif values.dtype.kind != "f" or values.itemsize > 8:
        return None
    return _repeated(_outer(bytes((_NUMBER,)), 8), np.ascontiguousarray(values, "<f8"))


def _repeated(head: bytes, values: npt.NDArray[Any]) -> bytes:
    """`head` and the bytes of a row, for each row."""
    rows = len(values)
    data = values.reshape(rows, -1).view(np.uint8)
    table = np.empty((rows, len(head) + data.shape[1]), np.uint8)
    table[:, : len(head)] = np.frombuffer(head, np.uint8)
    table[:, len(head) :] = data
    return table.tobytes()


def _values(outcomes: Outcomes) -> Iterable[Any]:
    """One value per row: Python's own ones, where an array has such."""
    if isinstance(outcomes, np.ndarray) and outcomes.ndim == 1 and outcomes.dtype.kind in "biufUSO":
        values: list[Any] = outcomes.tolist()
        return values
    return outcomes


# One row


def _row(value: Any) -> bytes:
    if type(value) is str:  # by far the most frequent one: Clipper's models return nothing else
        try:
            data = value.encode()
        except UnicodeEncodeError as error:
            return _error(Failure(UNSUPPORTED_OUTPUT, f"the string is not valid Unicode: {error.reason}"))
        return (_STRING_HEADS[len(data)] if len(data) < len(_STRING_HEADS) else _head(_STRING, b"", len(data))) + data
    if type(value) is Failure:
        return _error(value)
    try:
        head, data = _output(value)
    except Exception as error:  # noqa: BLE001  # may run the user's own __str__, __iter__, ...
        if isinstance(error, UnsupportedOutput):
            return _error(Failure(UNSUPPORTED_OUTPUT, str(error)))
        return _error(Failure(UNSUPPORTED_OUTPUT, Failure.of(error).message))
    return _outer(head, len(data)) + data


def output(value: object) -> bytes:
    """A serialized clipper.v1.Output.

    Raises:
        UnsupportedOutput: there is none for such a value.
    """
    head, data = _output(value)
    return head + data


def _output(value: object) -> tuple[bytes, bytes]:
    for kind in type(value).__mro__:
        convert = _CONVERTERS.get(kind)
        if convert is not None:
            return convert(value)
    hint = " Call its .tolist() or .item() first." if hasattr(value, "tolist") else ""
    raise UnsupportedOutput(
        f"a {type(value).__name__} cannot be an output; return str, bytes, numbers, arrays, or lists and dicts of "
        f"them.{hint}"
    )


def _string(value: str) -> tuple[bytes, bytes]:
    try:
        data = str.encode(value)
    except UnicodeEncodeError as error:
        raise UnsupportedOutput(f"the string is not valid Unicode: {error.reason}") from None
    return _field(_STRING, len(data)), data


def _bytes(value: bytes | bytearray | memoryview) -> tuple[bytes, bytes]:
    data = bytes(value)
    return _field(_BYTES, len(data)), data


def _float(value: float) -> tuple[bytes, bytes]:
    return bytes((_NUMBER,)), np.float64(value).tobytes()


def _integer(value: int) -> tuple[bytes, bytes]:
    value = int(value)
    return _float(value) if -_LARGEST_EXACT <= value <= _LARGEST_EXACT else _json(value)


def _array(value: npt.NDArray[Any]) -> tuple[bytes, bytes]:
    if value.ndim == 0:
        return _output(value.item()) if value.dtype.kind in "biufUSO" else _json(value)
    native = value.astype(value.dtype.newbyteorder("<"), copy=False)
    tag = _VECTORS.get(native.dtype) if value.ndim == 1 else None
    if tag is not None:
        data = native.tobytes()
        inner = _VALUES + varint(len(data)) if data else b""
        return _field(tag, len(inner) + len(data)) + inner, data
    number = _DATA_TYPES.get(native.dtype)
    if number is None:
        return _json(value)
    tensor = values_pb2.Tensor(data_type=number, shape=value.shape, data=native.tobytes()).SerializeToString()  # type: ignore[arg-type]  # an enum's number
    return _field(_TENSOR, len(tensor)), tensor


def _json(value: object) -> tuple[bytes, bytes]:
    try:
        text = json.dumps(value, default=_plain, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    except ValueError:  # NaN and infinities have no place in JSON
        text = json.dumps(_without_nan(value), allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    data = text.encode()
    return _field(_JSON, len(data)), data


def _plain(value: object) -> object:
    """What JSON's encoder gets for a value that it does not know."""
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "biufUO":
        return value.tolist()
    raise UnsupportedOutput(f"a {type(value).__name__} cannot be part of an output")


def _without_nan(value: Any) -> Any:
    """The same with None for every number that is not finite."""
    match value:
        case float():
            return float(value) if math.isfinite(value) else None
        case dict():
            return {key: _without_nan(each) for key, each in value.items()}
        case list() | tuple():
            return [_without_nan(each) for each in value]
        case None | bool() | int() | str():
            return value
        case _:
            return _without_nan(_plain(value))


_CONVERTERS: dict[type, Callable[[Any], tuple[bytes, bytes]]] = {
    str: _string,
    bytes: _bytes,
    bytearray: _bytes,
    memoryview: _bytes,
    bool: _json,
    int: _integer,
    float: _float,
    type(None): _json,
    list: _json,
    tuple: _json,
    dict: _json,
    np.bool_: lambda value: _json(bool(value)),
    np.integer: _integer,
    np.floating: _float,
    np.ndarray: _array,
}
"""By the first class of a value's method resolution order that is in here; each gives a field's head and its data."""


# The wire


def _error(failure: Failure) -> bytes:
    error = model_service_pb2.PredictError(kind=failure.kind, message=failure.message).SerializeToString()
    result = b"\x12" + varint(len(error)) + error
    return _VALUES + varint(len(result)) + result


def _field(tag: int, size: int) -> bytes:
    return bytes((tag,)) + varint(size)


def _head(tag: int, inner: bytes, size: int) -> bytes:
    """All that comes before the `size` bytes of data of an output in a response; `inner` follows the output's tag."""
    return _outer(_field(tag, len(inner) + size) + inner, size)


def _outer(head: bytes, size: int) -> bytes:
    """An output's own head with those of the result and of the response before it."""
    length = len(head) + size
    result = _VALUES + varint(length)
    return _VALUES + varint(len(result) + length) + result + head


def varint(number: int) -> bytes:
    """The number as protobuf writes it."""
    if number < 0x80:
        return bytes((number,))
    written = bytearray()
    while number >= 0x80:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    written.append(number)
    return bytes(written)


_STRING_HEADS = tuple(_head(_STRING, b"", size) for size in range(128))
