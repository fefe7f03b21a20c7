"""What was shown for a query, kept so that its feedback can be understood later: plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from clipper_selection import Policy, State


@dataclass(frozen=True, slots=True)
class StateKey:
    """Names one state: an application's own (`context` empty), or that of one of its users or sessions."""

    application: str
    policy: str
    context: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """One model that was asked."""

    model: str
    version: str
    propensity: float
    """The probability with which it was to be asked, given the state; 1 if always."""
    output: bytes | None
    """What it answered, a serialized Output; None if it did not answer in time."""
    weight: float
    """Its weight in the answer, 0 if it did not arrive."""


@dataclass(frozen=True, slots=True)
class Shown:
    """One answered query of an application whose policy chooses: recorded once, when the answer goes out."""

    query_id: int
    application: str
    policy: str
    context: str
    input: bytes
    """The serialized Input."""
    output: bytes | None
    """What was shown, a serialized Output; None if the query failed."""
    is_default: bool
    confidence: float
    asked: tuple[Asked, ...]
    models: tuple[str, ...]
    """All linked models, asked or not."""


class Recorder(Protocol):
    """Takes what was shown. Called once per answered query of an application whose policy chooses; must be quick."""

    def shown(self, record: Shown) -> None:
        """Takes one record."""


class States(Protocol):
    """Where the states are known, as the predictor sees it."""

    def state(self, key: StateKey, policy: Policy) -> State:
        """What is known now, at once: for a context that is not known yet, what it inherits; else nothing: empty."""


NO_STATE: Mapping[str, float] = {}
"""The state of what has learned nothing yet."""
