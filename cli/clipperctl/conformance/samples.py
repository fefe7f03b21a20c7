"""Inputs of every type: ones that a model takes, and ones that it must refuse without falling over."""

from __future__ import annotations

from clipperctl.client import serialized, unpacked

_VECTORS: list[object] = [[1.5, 2.0, 3.25], [4.0, 5.5, 6.0], [-7.0, 0.0, 8.125], [9.0, 1.0, 0.5]]
_BY_TYPE: dict[str, list[object]] = {
    "doubles": _VECTORS,
    "floats": _VECTORS,
    "integers": [[1, 2, 3], [4, 5, 6], [-7, 0, 8], [9, 1, 0]],
    "strings": ["one", "zwei", "три", "4"],
    "bytes": [b"one", b"\x00\xff", b"three", b"4"],
    "tensors": [[[1.5, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.0]], [[0.0, -1.0], [2.0, 0.5]]],
}
NUMERIC = ("doubles", "floats", "integers")
NOT_SET = b""
"""An Input whose value is not set."""
NO_REQUEST = b"\xff\xff\xff no protobuf"


def valid(input_type: str) -> list[bytes]:
    """Inputs of a type, serialized, no two alike."""
    return [serialized(each, input_type) for each in _BY_TYPE[input_type]]


def empty(input_type: str) -> bytes | None:
    """The input of no length; None for tensors, which have none that every model knows."""
    value: object = {"strings": "", "bytes": b""}.get(input_type, [])
    return None if input_type == "tensors" else serialized(value, input_type)


def longer(input_type: str) -> bytes | None:
    """A vector of another length than those of `valid`; None for other types."""
    return serialized([1, 2, 3, 4, 5, 6, 7], input_type) if input_type in NUMERIC else None


def packed(input_type: str) -> bytes:
    """A vector in its usual form."""
    return serialized([1, 2, 3], input_type)


def not_packed(input_type: str) -> bytes:
    """The same vector as `packed`, with each element in a field of its own."""
    return unpacked([1, 2, 3], input_type)


def special(input_type: str) -> bytes | None:
    """A vector with NaN and infinities; None for types that have none."""
    return serialized([float("nan"), float("inf"), -1.0], input_type) if input_type in ("doubles", "floats") else None


def of_another_type(input_type: str) -> bytes:
    """A valid input of another type."""
    return serialized("text", "strings") if input_type != "strings" else serialized([1.5], "doubles")


def of_bytes(size: int, input_type: str) -> bytes:
    """A valid input of at least `size` bytes on the wire."""
    match input_type:
        case "strings":
            return serialized("x" * size, input_type)
        case "bytes":
            return serialized(bytes(size), input_type)
        case "tensors":
            import numpy as np

            return serialized(np.zeros(size // 8), input_type)
        case "doubles":
            return serialized([0.0] * (size // 8), input_type)
        case _:
            return serialized([0] * (size // 4), input_type)
