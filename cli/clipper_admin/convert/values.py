"""Python and JSON values to inputs and outputs, and back."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any

from clipper.model.v1 import model_service_pb2
from clipper.v1 import values_pb2
from clipper_rpc.errors import InvalidField
from clipper_runtime.names import InputType

_INT32 = range(-(2**31), 2**31)
_EXACT = 2**53
_LARGEST_FLOAT = (2 - 2**-23) * 2.0**127


def to_input(value: object, input_type: InputType) -> values_pb2.Input:
    """The input that a Python value stands for; `bytes` may also be given as base64 text, as in JSON.

    Raises:
        InvalidField: it is no value of this type; says what is.
    """
    match input_type:
        case InputType.DOUBLES:
            return values_pb2.Input(doubles=values_pb2.Doubles(values=_numbers(value, input_type)))
        case InputType.FLOATS:
            return values_pb2.Input(floats=values_pb2.Floats(values=_numbers(value, input_type)))
        case InputType.INTEGERS:
            return values_pb2.Input(integers=values_pb2.Integers(values=_integers(value)))
        case InputType.STRINGS:
            if isinstance(value, str):
                return values_pb2.Input(string=value)
            raise _refused(value, input_type, 'a string, e.g. "good morning"')
        case InputType.BYTES:
            return values_pb2.Input(bytes=_raw(value))
        case InputType.TENSORS:
            return values_pb2.Input(tensor=_tensor(value))


def model_input(value: object, input_type: str) -> values_pb2.Input:
    """As `to_input`, for the name of a type."""
    return to_input(value, InputType(input_type))


def to_output(value: object) -> values_pb2.Output:
    """The output that a Python value stands for: text stays text (Clipper's default outputs are text)."""
    match value:
        case str():
            return values_pb2.Output(string=value)
        case bytes():
            return values_pb2.Output(bytes=value)
        case bool() | None | list() | dict():
            return values_pb2.Output(json=_json(value))
        case int() if abs(value) > _EXACT:
            return values_pb2.Output(json=str(value))
        case int() | float():
            return values_pb2.Output(number=float(value))
        case _:
            raise InvalidField(
                field="default_output", problem=f"a {type(value).__name__} is no output; give text, a number, or JSON"
            )


def from_output(output: values_pb2.Output) -> Any:
    """The Python value that an output stands for; text stays text, a whole number becomes an int."""
    match output.WhichOneof("value"):
        case "string":
            return output.string
        case "number":
            return int(output.number) if output.number.is_integer() else output.number
        case "json":
            return json.loads(output.json)
        case "doubles":
            return list(output.doubles.values)
        case "floats":
            return list(output.floats.values)
        case "integers":
            return list(output.integers.values)
        case "bytes":
            return output.bytes
        case "tensor":
            return _array(output.tensor)
        case _:
            return None


def model_request(values: Iterable[object], input_type: InputType) -> bytes:
    """The serialized request that a runtime would get for these values. Raises as `to_input` does."""
    inputs = [to_input(value, input_type) for value in values]
    return model_service_pb2.PredictRequest(inputs=inputs).SerializeToString()


def _json(value: object) -> str:
    try:
        return json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidField(
            field="default_output", problem=f"is no JSON ({error}); give text, a number, or JSON"
        ) from None


def _numbers(value: object, input_type: InputType) -> list[float]:
    wanted = "a list of numbers, e.g. [1.1, 2.2, 3.3]"
    elements = _elements(value, input_type, wanted)
    if not all(isinstance(each, int | float | Real) and not isinstance(each, bool) for each in elements):
        raise _refused(value, input_type, wanted)
    try:
        found = [float(each) for each in elements]
    except OverflowError:  # an int beyond 1.8e308
        raise _refused(value, input_type, wanted) from None
    if input_type is InputType.FLOATS and any(_LARGEST_FLOAT < abs(each) < math.inf for each in found):
        raise _refused(value, input_type, f"{wanted}, that fit 32 bits: up to {_LARGEST_FLOAT:.8g}")
    return found


def _integers(value: object) -> list[int]:
    wanted = "a list of whole numbers of 32 bits, e.g. [1, 2, 3]"
    elements = _elements(value, InputType.INTEGERS, wanted)
    for each in elements:
        if not isinstance(each, int | Integral) or isinstance(each, bool) or int(each) not in _INT32:
            raise _refused(value, InputType.INTEGERS, wanted)
    return [int(each) for each in elements]


def _elements(value: object, input_type: InputType, wanted: str) -> list[Any]:
    is_table = getattr(value, "ndim", 1) != 1  # an array; numpy takes long to import
    if is_table or isinstance(value, str | bytes | dict) or not isinstance(value, Iterable):
        raise _refused(value, input_type, wanted)
    return list(value)


def _raw(value: object) -> bytes:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    if isinstance(value, str):
        try:
            return base64.b64decode(value, validate=True)
        except ValueError:
            pass
    raise _refused(value, InputType.BYTES, 'bytes, or base64 text, e.g. "aGVsbG8="')


def _array(tensor: values_pb2.Tensor) -> Any:
    import numpy as np  # here and below, since it takes long to import

    from clipper_runtime.codec import DATA_TYPES

    return np.frombuffer(tensor.data, DATA_TYPES[tensor.data_type]).reshape(tuple(tensor.shape))


def _tensor(value: object) -> values_pb2.Tensor:
    import numpy as np

    from clipper_runtime.codec import DATA_TYPES

    try:
        array = np.asarray(value)
    except ValueError:  # rows of different lengths
        array = np.empty(0, object)
    little = array.dtype.newbyteorder("<")
    number = next((number for number, each in DATA_TYPES.items() if each == little), None)
    if number is None:
        raise _refused(value, InputType.TENSORS, "an array of numbers, e.g. [[1.5, 2.0], [3.0, 4.5]]")
    data = array.astype(little, copy=False).tobytes()
    return values_pb2.Tensor(data_type=number, shape=array.shape, data=data)  # type: ignore[arg-type]  # its number


def _refused(value: object, input_type: InputType, wanted: str) -> InvalidField:
    text = repr(value)
    shown = text if len(text) <= 60 else f"{text[:60]}…"
    return InvalidField(field="input", problem=f"{shown} is no value of type {input_type}: give {wanted}")
