"""The way to one replica as the engine sees it: what it can be asked, and what may come back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from clipper_frontend.query import Batch, Query
from clipper_frontend.routes import Replica, Version

Metadata = tuple[tuple[str, str | bytes], ...]
"""What goes along with a batch: which request, which trace."""


class Along(tuple[tuple[str, str | bytes], ...]):
    """A batch's metadata, of whose end somebody wants to be told."""

    ended: Callable[[str], None]
    """Called once: with what went wrong, or nothing."""


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
    """A batch was not answered for a long while after its deadline."""

    was_told: bool = False
    """Whether the replica said itself that nobody waits any more: it had too much to do before."""


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


class Call(Protocol):
    """A batch that a replica was given."""

    def cancel(self) -> None:
        """Tells the replica that nobody waits any more. Nothing is called back then."""


class Runtime(Protocol):
    """The way to one replica. Calls back exactly once, never from within the call."""

    def predict(
        self, inputs: Sequence[bytes], deadline_ns: int, done: Callable[[Answer], None], metadata: Metadata = ()
    ) -> Call:
        """Has a batch computed.

        Args:
            inputs: serialized, at least one.
            done: gets the answer.
            metadata: goes along with the call.
            deadline_ns: when the last caller stops waiting: a replica does not begin after it. An answer that comes a
                while later is handed on all the same.
        """

    def describe(self, deadline_ns: int, done: Callable[[Description | Lost], None]) -> None:
        """Asks whether the replica is up and the one that is expected there."""

    def close(self) -> None:
        """Ends the connection, soon. Nothing is called back any more."""


Connect = Callable[[Version, Replica], Runtime]
"""Makes the way to a replica of a version."""


class Watches(Protocol):
    """Is told of every batch."""

    def sending(self, version: Version, replica: Replica, queries: Sequence[Query], now_ns: int) -> Metadata:
        """One is about to be sent. Says what goes along with it."""

    def returned(self, replica: Replica, batch: Batch, answer: Answer) -> None:
        """One has come back, answered or not; those who wait for it are told next."""
