"""The way to one replica as the engine sees it: what it can be asked, and what may come back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from clipper_frontend.routes import Replica, Version


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a model gave no answer: to one input, or to a whole batch."""

    kind: str
    problem: str


@dataclass(frozen=True, slots=True)
class Predictions:
    """A batch was answered: one serialized Output or Failure per input, in order."""

    outcomes: Sequence[bytes | Failure]
    model_us: int = 0


@dataclass(frozen=True, slots=True)
class TimedOut:
    """A batch was not answered before its deadline."""


@dataclass(frozen=True, slots=True)
class Lost:
    """A replica cannot be reached, or takes no work."""

    problem: str
    was_refused: bool = False
    """Whether the replica said itself that it did not look at the batch."""


Answer = Predictions | Failure | TimedOut | Lost


@dataclass(frozen=True, slots=True)
class Description:
    """A replica has described itself, and it is the expected model. 0 rows: any number."""

    max_batch_rows: int = 0


class Runtime(Protocol):
    """The way to one replica. Calls back exactly once, never from within the call."""

    def predict(self, inputs: Sequence[bytes], deadline_ns: int, done: Callable[[Answer], None]) -> None:
        """Has a batch computed."""

    def describe(self, deadline_ns: int, done: Callable[[Description | Lost], None]) -> None:
        """Asks whether the replica is up and the one that is expected there."""

    def close(self) -> None:
        """Ends the connection, soon. Nothing is called back any more."""


Connect = Callable[[Version, Replica], Runtime]
"""Makes the way to a replica of a version."""
