"""How wrong an answer is, given what was true: from 0 (as good as can be) to 1.

auto       zero_one where one of both is a label, absolute where both are numbers
zero_one   1 unless they mean the same
absolute   the mean absolute difference of their numbers over `loss_scale`, at most 1
squared    the mean squared difference of their numbers over the square of `loss_scale`, at most 1

Numbers of different count are as wrong as can be. Plug-ins add losses under the entry-point group "clipper.losses".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

from clipper_selection import plugins
from clipper_selection.parameters import Number, Parameter, Word
from clipper_selection.values import Value, are_equal, numbers_of

Loss = Callable[[Value, Value], float]
"""The loss of an answer (first), given the truth (second)."""


def zero_one(answer: Value, truth: Value) -> float:
    """0 if they mean the same, else 1."""
    return 0.0 if are_equal(answer, truth) else 1.0


def absolute(answer: Value, truth: Value, scale: float = 1.0) -> float:
    """The mean of |answer - truth| / scale, at most 1."""
    return _mean_of_differences(answer, truth, lambda difference: abs(difference) / scale)


def squared(answer: Value, truth: Value, scale: float = 1.0) -> float:
    """The mean of ((answer - truth) / scale)², at most 1."""
    return _mean_of_differences(answer, truth, lambda difference: (difference / scale) * (difference / scale))


def auto(answer: Value, truth: Value, scale: float = 1.0) -> float:
    """Zero-one for labels, absolute for numbers."""
    if numbers_of(answer) is None or numbers_of(truth) is None:
        return zero_one(answer, truth)
    return absolute(answer, truth, scale)


_SCALED = {"auto": auto, "absolute": absolute, "squared": squared}
_BUILT_IN = ("auto", "zero_one", "absolute", "squared")


PARAMETERS: tuple[Parameter, ...] = (
    Word("loss", "auto", _BUILT_IN, "how wrong an answer is, given the label", group=plugins.LOSSES),
    Number("loss_scale", 1.0, 1e-9, 1e12, "the difference of numbers that counts as entirely wrong"),
)
"""What every policy that learns takes."""


def loss_of(parameters: Mapping[str, float | str]) -> Loss:
    """The loss that a policy's parameters name; "auto" if they name none."""
    return _loss(str(parameters.get("loss", "auto")), float(parameters.get("loss_scale", 1.0)))


@cache
def _loss(name: str, scale: float) -> Loss:
    if name == "zero_one":
        return zero_one
    scaled = _SCALED.get(name)
    if scaled is not None:
        return lambda answer, truth: scaled(answer, truth, scale)
    plugged = plugins.found(plugins.LOSSES)[name].load()
    return lambda answer, truth: min(1.0, max(0.0, float(plugged(answer, truth))))


def _mean_of_differences(answer: Value, truth: Value, loss: Callable[[float], float]) -> float:
    ours, theirs = numbers_of(answer), numbers_of(truth)
    if ours is None or theirs is None or len(ours) != len(theirs):
        return 1.0
    if are_equal(answer, truth):
        return 0.0
    mean = sum(loss(a - b) for a, b in zip(ours, theirs, strict=True)) / len(ours)
    return min(1.0, mean)  # in this order: 1 also where the mean is NaN
