"""What models answered, decoded where answers must be compared or averaged, and written again.

The only place of the frontend that looks inside outputs; the answer of one model alone never comes here.
"""

from __future__ import annotations

import base64
import json
import math
import struct

from google.protobuf.message import DecodeError

from clipper.v1.values_pb2 import DataType, Input, Output, Tensor
from clipper_selection import Value

_CODES = {
    DataType.DATA_TYPE_BOOL: "?",
    DataType.DATA_TYPE_UINT8: "B",
    DataType.DATA_TYPE_UINT16: "H",
    DataType.DATA_TYPE_UINT32: "I",
    DataType.DATA_TYPE_UINT64: "Q",
    DataType.DATA_TYPE_INT8: "b",
    DataType.DATA_TYPE_INT16: "h",
    DataType.DATA_TYPE_INT32: "i",
    DataType.DATA_TYPE_INT64: "q",
    DataType.DATA_TYPE_FLOAT16: "e",
    DataType.DATA_TYPE_FLOAT32: "f",
    DataType.DATA_TYPE_FLOAT64: "d",
}
"""How `struct` calls the types of tensors' elements."""
_MOST_DIGITS = 17
_FLOATS = (DataType.DATA_TYPE_FLOAT32, DataType.DATA_TYPE_FLOAT64)


class Outputs:
    """Serialized Outputs to values and back."""

    def value(self, output: bytes) -> Value | None:
        """The value of a serialized Output; None if it is none."""
        try:
            return value_of(Output.FromString(output))
        except DecodeError:
            return None

    def written(self, value: Value, form: bytes) -> bytes:
        """A serialized Output with a value, of the kind of another one. Means of integers are doubles."""
        return output_of(value, Output.FromString(form)).SerializeToString()


def value_of(output: Output) -> Value | None:
    """The value of an Output; None if it has none, or a tensor that is none."""
    match output.WhichOneof("value"):
        case "string":
            return output.string
        case "number":
            return output.number
        case "bytes":
            return output.bytes
        case "doubles":
            return tuple(output.doubles.values)
        case "floats":
            return tuple(output.floats.values)
        case "integers":
            return tuple(map(float, output.integers.values))
        case "tensor":
            return _numbers(output.tensor)
        case "json":
            return _of_json(output.json)
        case _:
            return None


def logged_output(output: bytes) -> object:
    """A serialized Output as JSON can write it; None if it is none."""
    return _plain(Outputs().value(output))


def logged_input(value: bytes) -> object:
    """A serialized Input as JSON can write it; None if it is none."""
    try:
        parsed = Input.FromString(value)
    except DecodeError:
        return None
    match parsed.WhichOneof("value"):
        case "string":
            return parsed.string
        case "bytes":
            return _plain(parsed.bytes)
        case "tensor":
            return _plain(_numbers(parsed.tensor))
        case None:
            return None
        case name:
            return _plain(tuple(getattr(parsed, name).values))


def _plain(value: Value | None) -> object:
    match value:
        case bytes():
            return base64.b64encode(value).decode()
        case float():
            return value if math.isfinite(value) else None
        case tuple():
            return [each if math.isfinite(each) else None for each in value]
        case _:
            return value


def output_of(value: Value, form: Output) -> Output:
    """An Output with a value, of the kind that another one has where that can be."""
    written = Output()
    match value:
        case bytes():
            written.bytes = value
        case str():
            written.string = value
        case float():
            _write_number(value, form, written)
        case _:
            _write_numbers(value, form, written)
    return written


def _write_number(value: float, form: Output, written: Output) -> None:
    match form.WhichOneof("value"):
        case "string":
            written.string = repr(float(value))
        case "json" if math.isfinite(value):
            written.json = json.dumps(value)
        case _:
            written.number = value


def _write_numbers(value: tuple[float, ...], form: Output, written: Output) -> None:
    match form.WhichOneof("value"):
        case "floats":
            written.floats.values.extend(value)
        case "json" if all(map(math.isfinite, value)):
            written.json = json.dumps(value)
        case "tensor":
            data_type = form.tensor.data_type
            if data_type not in _FLOATS:
                data_type = DataType.DATA_TYPE_FLOAT64
            written.tensor.data_type = data_type
            written.tensor.shape.extend(form.tensor.shape)
            written.tensor.data = struct.pack(f"<{len(value)}{_CODES[data_type]}", *value)
        case _:
            written.doubles.values.extend(value)


def _numbers(tensor: Tensor) -> tuple[float, ...] | None:
    code = _CODES.get(tensor.data_type)
    if code is None:
        return None
    count, rest = divmod(len(tensor.data), struct.calcsize(f"<{code}"))
    if rest or count != math.prod(tensor.shape):
        return None
    return tuple(map(float, struct.unpack(f"<{count}{code}", tensor.data)))


def _of_json(text: str) -> Value | None:
    """A number, numbers, or text; everything else in one way of writing, so that equal documents are equal."""
    try:
        document = json.loads(text, parse_int=_integer)
        match document:
            case str() | float():
                return document
            case [*items] if all(isinstance(item, float) for item in items):
                return tuple(items)
            case _:
                return json.dumps(document, sort_keys=True, separators=(",", ":"))
    except (ValueError, RecursionError):
        return None


def _integer(digits: str) -> float | str:
    """An integer as a number while that is exact, else as its digits."""
    number = int(digits) if len(digits) <= _MOST_DIGITS else 0
    return float(number) if 0 < abs(number) <= 2**53 or digits in ("0", "-0") else digits
