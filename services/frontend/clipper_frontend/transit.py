"""A batch under way: who waits for it, and its attempts at replicas.

Rules of this file
 1. Pure: no clock, no tasks.
 2. Every query in it knows it, and tells it when it ends first: by its deadline, or since its caller has left.
 3. When nobody waits any more, since all were answered or have left, its carrier is told and takes back the attempts
    that are still open. A deadline that ends the last one stops nothing: the runtime is told how long callers wait, and
    a late answer is of use to caches, and shows how fast a replica is.
"""

from __future__ import annotations

from typing import Protocol

from clipper_frontend.deadlines import Timer
from clipper_frontend.member import Member
from clipper_frontend.query import Batch, Query, Reason
from clipper_frontend.runtime import Call

_BY_DEADLINE = (Reason.LATE, Reason.REPLICA_LOST)


class Attempt:
    """A batch at one replica."""

    __slots__ = ("batch", "call", "due_ns", "expected_ns", "is_measured", "member", "queries", "transit")

    def __init__(self, transit: Transit, member: Member, queries: list[Query], batch: Batch) -> None:
        self.transit = transit
        self.member = member
        self.queries = queries
        self.batch = batch
        self.call: Call | None = None
        self.expected_ns = 0
        """What it should take, from when the replica has nothing else to do; 0 if that is not known."""
        self.due_ns = 0
        """When its answer should have been handed on, as far as that was known while its queries came."""
        self.is_measured = True
        """Whether its latency tells something about the replica."""


class Carrier(Protocol):
    """Whoever has sent a batch."""

    def abandoned(self, transit: Transit, /) -> None:
        """Nobody waits for it any more."""


class Transit:
    """A batch that was sent. `attempts` are those that are open."""

    __slots__ = ("_carrier", "attempts", "deadline_ns", "is_answered", "queries", "timer", "waiting")

    def __init__(self, queries: list[Query], carrier: Carrier) -> None:
        self.queries = queries
        self.deadline_ns = queries[-1].deadline_ns  # in order of deadlines: the last caller to stop waiting is the last
        self.waiting = len(queries)
        """How many of its callers still wait."""
        self.is_answered = False
        self.attempts: list[Attempt] = []
        self.timer: Timer | None = None
        self._carrier = carrier
        for query in queries:
            query.transit = self

    def released(self, query: Query) -> None:
        """See query.Carries."""
        self.waiting -= 1
        if not self.waiting and self.attempts and query.reason not in _BY_DEADLINE:
            self._carrier.abandoned(self)

    def end(self) -> None:
        """It is over: nothing will be looked at any more."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        self.attempts.clear()
        self.queries = []
