"""Parameters of policies: what there is, which values are allowed, and clear words when one is not."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from clipper_selection import plugins


class BadParameter(ValueError):
    """A policy's parameter that cannot be; `parameter` names it, `problem` says what is allowed."""

    def __init__(self, parameter: str, problem: str) -> None:
        super().__init__(f"{parameter}: {problem}")
        self.parameter = parameter
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Number:
    """A parameter that is a number from `low` to `high`, both allowed."""

    name: str
    default: float
    low: float
    high: float
    about: str

    def check(self, given: object) -> float:
        """The value.

        Raises:
            BadParameter: it is none.
        """
        if isinstance(given, bool) or not isinstance(given, int | float) or not math.isfinite(given):
            raise BadParameter(self.name, f"is {_shown(given)}; give a number {self._range}")
        if not self.low <= given <= self.high:
            raise BadParameter(self.name, f"is {given:g}; it is {self._range}")
        return float(given)

    @property
    def _range(self) -> str:
        return f"from {self.low:g} to {self.high:g} (default {self.default:g})"


@dataclass(frozen=True, slots=True)
class Word:
    """A parameter that is one of a few words, or the name of a plug-in of an entry-point group."""

    name: str
    default: str
    allowed: tuple[str, ...]
    about: str
    group: str = ""

    def check(self, given: object) -> str:
        """The value. Raises as `Number.check` does."""
        words = (*self.allowed, *sorted(plugins.found(self.group) if self.group else ()))
        if not isinstance(given, str) or given not in words:
            allowed = ", ".join(f'"{each}"' for each in words)
            raise BadParameter(self.name, f'is {_shown(given)}; it is one of {allowed} (default "{self.default}")')
        return given


Parameter = Number | Word


def checked(parameters: Sequence[Parameter], given: Mapping[str, object]) -> Mapping[str, float | str]:
    """The values of all parameters, with defaults where none is given.

    Raises:
        BadParameter: one is unknown or not allowed.
    """
    known = {parameter.name: parameter for parameter in parameters}
    for name in sorted(given.keys() - known.keys()):
        takes = f"it takes {', '.join(sorted(known))}" if known else "it takes none"
        raise BadParameter(name, f"the policy has no such parameter; {takes}")
    return {
        name: parameter.check(given[name]) if name in given else parameter.default for name, parameter in known.items()
    }


def _shown(given: object) -> str:
    text = f'"{given}"' if isinstance(given, str) else str(given)
    return text if len(text) <= 60 else f"{text[:59]}…"
