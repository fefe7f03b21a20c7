"""What is taught, and what came of it: plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from clipper_frontend.selection.learned import Change
from clipper_selection import Bound, Value


@dataclass(frozen=True, slots=True)
class Truth:
    """What turned out: exactly one of both."""

    label: Value | None = None
    """The true output."""
    reward: float | None = None
    """How good the shown answer was, from 0 to 1."""


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The outcome is stored, if it changed anything."""

    learned: bool
    is_duplicate: bool = False


@dataclass(frozen=True, slots=True)
class Lesson:
    """What is to be added to the states of an application, at once and once only."""

    application: str
    generation: int
    context: str
    """Empty: only the application's own state learns."""
    token: str
    """Whoever comes second with the same one changes nothing. Empty: no check."""
    own: Mapping[str, float]
    """Increments for the application's own state."""
    contexts_own: Mapping[str, float] = field(default_factory=dict)
    """Increments for the context's state."""
    inherited: Mapping[str, float] = field(default_factory=dict)
    """What the context's state starts from, if there is none yet."""
    bounds: tuple[Bound, ...] = ()


@dataclass(frozen=True, slots=True)
class Taught:
    """What came of a lesson."""

    change: Change | None = None
    is_duplicate: bool = False
    is_stale: bool = False
    """The application has got another policy: nothing was done."""
