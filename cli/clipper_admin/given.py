"""What callers hand over, checked before anything happens: what cannot be is told at once, by its argument's name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from numbers import Integral, Real
from typing import Any

from clipper_admin.exceptions import InvalidArgumentException
from clipper_runtime.names import checked_name, checked_version

MOST_REPLICAS = 256
"""Of one version: more processes or containers are a slip of the hand, and would bring a machine down."""


def whole(value: Any, name: str, least: int, most: int, hint: str = "") -> int:
    """A whole number from `least` to `most`; numpy's are taken, too, but neither text nor 2.5.

    Raises:
        InvalidArgumentException: it is none; `hint` is said with it.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or not least <= int(value) <= most:
        raise InvalidArgumentException(f"{name} is {value!r}; {hint or f'give a whole number from {least} to {most}'}.")
    return int(value)


def port(value: Any, name: str) -> int:
    """A port to listen on; 0 asks for a free one. Raises InvalidArgumentException for what cannot be."""
    return whole(value, name, 0, 65535, "give a port from 1 to 65535, or 0 for a free one")


def replicas(value: Any) -> int:
    """How many replicas of a version there shall be. Raises InvalidArgumentException for what cannot be."""
    return whole(value, "num_replicas", 0, MOST_REPLICAS)


def share(value: Any) -> float:
    """A share of the queries, above 0 and at most 1. Raises InvalidArgumentException for what cannot be."""
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 < float(value) <= 1:
        raise InvalidArgumentException(f"share is {value!r}; give a share of the queries, above 0 and at most 1.")
    return float(value)


def name(value: Any) -> str:
    """A name of an application, model or cluster.

    Raises:
        ValueError: it is none.
    """
    return checked_name(value)


def version(value: Any) -> str:
    """A version of a model; numbers become text.

    Raises:
        ValueError: it is no version.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(  # noqa: TRY004  # as for every other version that is none
            f"{value!r} is no version: give text or a number, e.g. 2 or 2026-11-23"
        )
    return checked_version(str(value))


def texts(values: Any, name: str, example: str) -> list[str]:
    """A list of texts; None: none. One text alone is not taken for a list of letters.

    Raises:
        InvalidArgumentException: it is something else.
    """
    if values is None:
        return []
    if isinstance(values, str):
        raise InvalidArgumentException(f'{name} is a list. Write ["{values}"].')
    is_list = isinstance(values, Iterable) and not isinstance(values, Mapping | bytes)
    found = list(values) if is_list else []
    if not is_list or not all(isinstance(each, str) for each in found):
        raise InvalidArgumentException(f"{name} is {values!r}; give a list of text, e.g. {example}.")
    return found


def versions(values: Any) -> dict[str, list[str]]:
    """Versions of models, as {name: [version, …]}; numbers become text.

    Raises:
        InvalidArgumentException: it is something else.
    """
    wanted = 'give the versions of each model, e.g. {"sum-model": ["1", "2"]}'
    if not isinstance(values, Mapping):
        raise InvalidArgumentException(f"{values!r} is no mapping; {wanted}.")
    found = {}
    for model, each in values.items():
        if isinstance(each, str | bytes | Mapping) or not isinstance(each, Iterable):
            raise InvalidArgumentException(f"The versions of {model!r} are {each!r}; {wanted}.")
        found[str(model)] = [str(one) for one in each]
    return found
