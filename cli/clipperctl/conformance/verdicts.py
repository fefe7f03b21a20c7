"""What a rule found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from clipperctl.client import Info, RuntimeClient


class Result(StrEnum):
    """How a rule stands."""

    HOLDS = "holds"
    BROKEN = "broken"
    WARNING = "warning"
    """What is not demanded, and yet expected."""
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a rule stands, and what was seen."""

    result: Result
    found: str = ""


HOLDS = Verdict(Result.HOLDS)


def broken(found: str) -> Verdict:
    """The rule is broken."""
    return Verdict(Result.BROKEN, found)


def warning(found: str) -> Verdict:
    """Allowed, but not good."""
    return Verdict(Result.WARNING, found)


def skipped(found: str) -> Verdict:
    """The rule could not be looked at."""
    return Verdict(Result.SKIPPED, found)


@dataclass(frozen=True, slots=True)
class Subject:
    """The runtime that is looked at."""

    client: RuntimeClient
    info: Info
    samples: list[bytes]
    """Valid inputs for the model, serialized; at least three, each another one where the type allows that."""
    failing: list[bytes] = field(default_factory=list)
    """Inputs that make the model raise, if the user named any."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of the contract."""

    name: str
    breaks: str
    """What goes wrong in a cluster where a runtime breaks it."""
    look: Callable[[Subject], Verdict]


@dataclass(frozen=True, slots=True)
class Row:
    """A rule and how it stands."""

    rule: Rule
    verdict: Verdict

    @property
    def data(self) -> dict[str, Any]:
        """For programs and tables."""
        verdict = self.verdict
        is_bad = verdict.result in (Result.BROKEN, Result.WARNING)
        return {
            "rule": self.rule.name,
            "result": str(verdict.result),
            "found": verdict.found,
            "breaks": self.rule.breaks if is_bad else "",
        }
