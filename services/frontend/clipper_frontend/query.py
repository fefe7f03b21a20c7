"""One query on its way: a plain object that is answered exactly once.

Rules of this file
 1. Pure: no clock, no tasks, no wire.
 2. `on_done` is called exactly once, by whichever of `succeed`, `fail` and `expire` comes first; never after `leave`.
    All four may be called at any time, in any order, as often as anyone likes.
 3. Whatever ends a query also takes it out of the queue that it waits in, or tells the batch that it is in.
 4. An answer that comes after the query has ended goes to `on_late`, at most once: it is of use to a cache.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import ClassVar, Protocol

from clipper_frontend.routes import Route, Version

WAITED = "It waited for a replica when its time was up."
SENT = "A replica had it when its time was up."
JOINED = "It waited for the answer to an identical query when its time was up."


class Reason(IntEnum):
    """Why there is no prediction, numbered as clipper.v1.DefaultReason."""

    NONE = 0
    NO_MODEL = 1
    NO_REPLICA = 2
    LATE = 3
    OVERLOADED = 4
    MODEL_ERROR = 5
    REPLICA_LOST = 6
    LOW_CONFIDENCE = 7


class Discards(Protocol):
    """A queue, as a query that waits in it knows it."""

    def discard(self, item: Query, /) -> None:
        """Takes the query out."""


class Carries(Protocol):
    """A batch under way, as a query in it knows it."""

    def released(self, query: Query, /) -> None:
        """The query has ended before the batch was answered."""


class Batch:
    """One batch that was sent to a replica, and what became of it."""

    is_cached: ClassVar = False
    """Whether there was none, since the answer was known."""

    __slots__ = ("is_hedge", "lingered_from_ns", "model_us", "replica_id", "replied_ns", "rows", "sent_ns")

    def __init__(self, replica_id: int, rows: int, lingered_from_ns: int, sent_ns: int) -> None:
        self.replica_id = replica_id
        self.rows = rows
        self.lingered_from_ns = lingered_from_ns
        """Since when a replica was free but waited for more; sent_ns when it did not."""
        self.sent_ns = sent_ns
        self.replied_ns = 0
        self.model_us = 0
        self.is_hedge = False
        """Whether it was a second try, since another replica took too long."""


class CacheHit(Batch):
    """What stands for a batch where the prediction cache has answered."""

    __slots__ = ()
    is_cached = True

    def __init__(self, now_ns: int) -> None:
        super().__init__(0, 0, now_ns, now_ns)
        self.replied_ns = now_ns


class Query:
    """One input of one application, to be answered by one model version.

    `input` is the serialized value; it is dropped when the query ends, so that nothing holds on to it. Once the query
    is done, either `output` and `batch` are set, or `reason` with its `kind` and `problem`.
    """

    __slots__ = (
        "arrived_ns",
        "batch",
        "bypass_cache",
        "deadline_ns",
        "has_joined",
        "input",
        "is_done",
        "is_waiting",
        "kind",
        "losses",
        "on_done",
        "on_late",
        "output",
        "problem",
        "query_id",
        "queue",
        "reason",
        "route",
        "transit",
        "version",
    )

    rows = 1

    def __init__(
        self,
        query_id: int,
        route: Route,
        version: Version | None,
        value: bytes,
        arrived_ns: int,
        deadline_ns: int,
        on_done: Callable[[Query], None],
    ) -> None:
        self.query_id = query_id
        self.route = route
        self.version = version
        self.input = value
        self.arrived_ns = arrived_ns
        self.deadline_ns = deadline_ns
        self.on_done = on_done
        self.on_late: Callable[[bytes], None] | None = None
        """Gets a model's serialized output that comes when the query has ended already."""
        self.bypass_cache = False
        """Whether it must be computed for itself."""
        self.is_done = False
        self.has_joined = False
        """Whether it waits, or waited, for the computation of an identical one."""
        self.is_waiting = False
        self.queue: Discards | None = None
        self.transit: Carries | None = None
        """The batch that it is in while a replica has it; kept by the engine."""
        self.losses = 0
        """How many replicas were lost while they had it."""
        self.output = b""
        self.batch: Batch | None = None
        self.reason = Reason.NONE
        self.kind = ""
        self.problem = ""

    @property
    def is_out(self) -> bool:
        """Whether a replica has it."""
        return self.transit is not None

    def succeed(self, output: bytes, batch: Batch) -> None:
        """Ends it with a model's serialized output."""
        if not self.is_done:
            self.output = output
            self.batch = batch
            self._end()(self)
        elif self.on_late is not None and self.batch is None:
            on_late, self.on_late = self.on_late, None
            on_late(output)

    def fail(self, reason: Reason, problem: str = "", kind: str = "") -> None:
        """Ends it without a prediction. `kind` and `problem` say more where the reason alone does not."""
        if not self.is_done:
            self.reason = reason
            self.kind = kind
            self.problem = problem
            self._end()(self)

    def expire(self) -> None:
        """Ends it since its deadline has passed. `problem` tells where it was then."""
        self.fail(Reason.REPLICA_LOST if self.losses else Reason.LATE, self._where())

    def leave(self) -> None:
        """Ends it without telling anybody: its caller has left."""
        if not self.is_done:
            self._end()

    def _where(self) -> str:
        if self.has_joined:
            return JOINED
        waits_for = self.queue if self.is_waiting else None  # where there is a cache, a query that asks for it
        carried = waits_for if isinstance(waits_for, Query) else self
        return SENT if carried.is_out else WAITED

    def _end(self) -> Callable[[Query], None]:
        self.is_done = True
        if self.is_waiting and self.queue is not None:
            self.queue.discard(self)
        self.input = b""
        if self.transit is not None:
            transit, self.transit = self.transit, None
            transit.released(self)
        on_done, self.on_done = self.on_done, _nobody
        return on_done


def _nobody(_query: Query) -> None:
    """Stands where the callback of an ended query was, so that nothing holds on to its call."""
