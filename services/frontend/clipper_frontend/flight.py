"""One computation for all who want the same answer: what the engine gets instead of a caller's query.

Rules of this file
 1. Pure: no clock, no tasks.
 2. To its callers a flight is the queue that they wait in: whatever ends one of them takes it out.
 3. A flight that nobody waits for any more leaves the engine. One that a replica has goes on past its deadline while
    somebody waits who joined it: they end by their own deadlines, and with the last one the flight does.
"""

from __future__ import annotations

from functools import partial
from typing import Protocol

from clipper_frontend.query import Query


class Home(Protocol):
    """Where a flight began, and where its answer is wanted."""

    def landed(self, flight: Query) -> None:
        """It has ended, with an answer or without."""

    def landed_late(self, key: bytes, output: bytes) -> None:
        """A flight that had ended before got an answer all the same."""

    def abandoned(self, flight: Flight) -> None:
        """It has ended since nobody waits for it."""


class Flight(Query):
    """A query in the name of all its callers."""

    __slots__ = ("_home", "first", "joined", "key")

    def __init__(self, home: Home, key: bytes, first: Query) -> None:
        super().__init__(
            first.query_id, first.route, first.version, first.input, first.arrived_ns, first.deadline_ns, home.landed
        )
        self._home = home
        self.key = key
        self.first: Query | None = first
        """Whose it was; None when that one waits no more."""
        self.joined: dict[Query, None] | None = None
        """Who came later and still waits, in order of arrival."""
        first.queue = self
        first.is_waiting = True

    def join(self, query: Query) -> None:
        """Lets one more query wait for the answer."""
        if self.joined is None:
            self.joined = {}
        self.joined[query] = None
        query.queue = self
        query.is_waiting = True
        query.has_joined = True

    def take(self) -> list[Query]:
        """All who wait, in order of arrival; they do not any more."""
        first, self.first = self.first, None
        callers = [] if first is None else [first]
        if self.joined:
            callers += self.joined
            self.joined = None
        for caller in callers:
            caller.is_waiting = False
        return callers

    def discard(self, item: Query) -> None:
        """Lets a caller go that has ended, by its deadline or by leaving."""
        item.is_waiting = False
        if item is self.first:
            self.first = None
        elif self.joined is not None:
            self.joined.pop(item, None)
        if self.first is None and not self.joined and not self.is_done:
            self._keep_late()
            self.leave()
            self._home.abandoned(self)

    def expire(self) -> None:
        """See Query."""
        if not (self.is_out and self.joined):
            self._keep_late()
            super().expire()

    def _keep_late(self) -> None:
        # no method of its own: it would hold on to itself
        self.on_late = partial(self._home.landed_late, self.key)
