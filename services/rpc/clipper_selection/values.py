"""What models answer, as policies and losses see it: labels and numbers, free of any wire."""

from __future__ import annotations

import math

Value = str | bytes | float | tuple[float, ...]
"""An answer: a label (text, canonical JSON text, or bytes), a number, or the numbers of a vector or array."""


def is_label(value: Value) -> bool:
    """Whether it can only be equal to another or not."""
    return isinstance(value, str | bytes)


def numbers_of(value: Value) -> tuple[float, ...] | None:
    """Its numbers; None if it has none. Text that reads as a number is one, as many models answer strings."""
    if isinstance(value, tuple):
        return value
    if isinstance(value, bytes):
        return None
    try:
        return (float(value),)
    except ValueError:
        return None


def are_equal(one: Value, other: Value) -> bool:
    """Whether two answers mean the same: as they are, or as numbers ("7" is 7.0). NaN equals NaN."""
    if type(one) is type(other) and one == other:
        return True
    ours, theirs = numbers_of(one), numbers_of(other)
    if ours is None or theirs is None or len(ours) != len(theirs):
        return False
    return all(a == b or (math.isnan(a) and math.isnan(b)) for a, b in zip(ours, theirs, strict=True))
