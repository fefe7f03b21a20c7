"""Asked before? Answers from the cache, has identical queries computed once, and passes on the rest.

It stands before the engine and looks like it. Of a version whose answers are kept, the engine gets a `Flight` instead
of the caller's query: one computation for all who want the same answer while it is under way.

Rules of this file
 1. Each caller ends by its own deadline. Those who join are timed here, and the first one from then on; while that one
    is alone its deadline is that of the flight, which the engine times.
 2. An answer is kept, and given to all; also one that nobody could wait for. An error is given to all, and not kept.
 3. A flight that was refused, late or lost ends with those callers who had no more time than it had. The others have it
    asked again, with the time of the one who can wait longest.
 4. Who joins with less time than the flight has while that still waits for a replica takes the lead.
 5. A version is known by its uid: one that is deployed anew, by whatever name, starts with nothing.
 6. Very large inputs go on as they are: looking one up would hold up everybody else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Protocol

from clipper_frontend.cache import Keys, PredictionCache
from clipper_frontend.deadlines import Clock, Deadlines
from clipper_frontend.flight import Flight
from clipper_frontend.query import CacheHit, Query, Reason
from clipper_frontend.routes import RouteTable, Version

MAX_INPUT_BYTES = 1 << 20
"""Inputs up to this size are looked up: that takes less than a millisecond."""
_MORE_TIME_MAY_HELP = (Reason.LATE, Reason.OVERLOADED, Reason.REPLICA_LOST)
_deadline = attrgetter("deadline_ns")


class Engine(Protocol):
    """What computes."""

    def apply(self, table: RouteTable) -> None:
        """Makes pools and replicas what the table says."""

    def submit(self, query: Query, now_ns: int) -> None:
        """Takes a query, that it ends by its deadline."""


@dataclass(slots=True)
class Counts:
    """How queries were answered, or are being."""

    hits: int = 0
    """From the cache."""
    joins: int = 0
    """By a computation that was under way."""
    misses: int = 0
    """By a computation of their own."""


class CachedDispatcher:
    """A predictor.Dispatches that asks the engine only for what it does not know.

    Args:
        max_callers: how many may join one computation; more are refused.
    """

    def __init__(self, engine: Engine, cache: PredictionCache, clock: Clock, *, max_callers: int) -> None:
        self.cache = cache
        self._engine = engine
        self._clock = clock
        self._max_callers = max_callers
        self._deadlines = Deadlines(clock)
        self._shelves: dict[str, _Shelf] = {}

    @property
    def counts(self) -> Mapping[Version, Counts]:
        """How the queries for each version that has a cache were answered so far."""
        return {shelf.version: shelf.counts for shelf in self._shelves.values()}

    @property
    def flights(self) -> int:
        """How many computations are under way."""
        return sum(len(shelf.flights) for shelf in self._shelves.values())

    def apply(self, table: RouteTable) -> None:
        """See predictor.Dispatches."""
        self._engine.apply(table)
        versions = {uid: group.version for uid, group in table.groups.items() if not group.version.no_cache}
        for uid in self._shelves.keys() - versions.keys():
            del self._shelves[uid]
        for uid, version in versions.items():
            shelf = self._shelves.get(uid)
            if shelf is None:
                keys = self.cache.keys_of_version()
                self._shelves[uid] = _Shelf(
                    version, keys, self.cache, self._engine, self._clock, self._deadlines, self._max_callers
                )
            else:
                shelf.version = version

    def submit(self, query: Query, now_ns: int) -> None:
        """See predictor.Dispatches. What is known is answered before this returns."""
        version = query.version
        shelf = None if version is None or query.bypass_cache else self._shelves.get(version.uid)
        if shelf is None or len(query.input) > MAX_INPUT_BYTES:
            self._engine.submit(query, now_ns)
        else:
            shelf.submit(query, now_ns)

    def close(self) -> None:
        """Times nobody any more; for after the engine has ended all that it had."""
        self._deadlines.close()


class _Shelf:
    """The answers of one version: those that are kept, and those that are under way. A flight.Home."""

    def __init__(
        self,
        version: Version,
        keys: Keys,
        cache: PredictionCache,
        engine: Engine,
        clock: Clock,
        deadlines: Deadlines,
        max_callers: int,
    ) -> None:
        self.version = version
        self.counts = Counts()
        self.flights: dict[bytes, Flight] = {}
        self._key = keys.key
        self._cache = cache
        self._engine = engine
        self._clock = clock
        self._deadlines = deadlines
        self._max_callers = max_callers

    def submit(self, query: Query, now_ns: int) -> None:
        key = self._key(query.input)
        output = self._cache.get(key, now_ns)
        if output is not None:
            self.counts.hits += 1
            query.succeed(output, CacheHit(now_ns))
            return
        flight = self.flights.get(key)
        if flight is not None:
            self._join(flight, query, now_ns)
        else:
            self.counts.misses += 1
            self._begin(Flight(self, key, query), now_ns)

    def landed(self, flight: Query) -> None:
        """See flight.Home."""
        assert isinstance(flight, Flight)
        del self.flights[flight.key]
        batch = flight.batch
        if batch is not None:
            output = flight.output
            self._cache.put(flight.key, output, batch.replied_ns)
            first = flight.first
            if first is not None and not flight.joined:
                flight.first = None
                first.is_waiting = False
                first.succeed(output, batch)
                return
            for query in flight.take():
                query.succeed(output, batch)
            return
        patient = []
        for query in flight.take():
            if query.deadline_ns > flight.deadline_ns and flight.reason in _MORE_TIME_MAY_HELP:
                patient.append(query)
            else:
                query.fail(flight.reason, flight.problem, flight.kind)
        if patient:
            self._begin_again(flight.key, patient)

    def landed_late(self, key: bytes, output: bytes) -> None:
        """See flight.Home. Those who have asked again meanwhile need not wait any longer."""
        now_ns = self._clock.now_ns()
        self._cache.put(key, output, now_ns)
        flight = self.flights.get(key)
        if flight is not None:
            flight.succeed(output, CacheHit(now_ns))

    def abandoned(self, flight: Flight) -> None:
        """See flight.Home."""
        del self.flights[flight.key]

    def _begin(self, flight: Flight, now_ns: int) -> None:
        self.flights[flight.key] = flight
        self._engine.submit(flight, now_ns)

    def _begin_again(self, key: bytes, patient: list[Query]) -> None:
        flight = self.flights.get(key)  # there is one if a caller that was just told has asked again
        if flight is None:
            last = max(patient, key=_deadline)
            patient.remove(last)
            flight = Flight(self, key, last)
            for query in patient:
                flight.join(query)
            self._begin(flight, self._clock.now_ns())
            return
        if flight.first is not None:
            self._deadlines.add(flight.first)
        for query in patient:
            flight.join(query)

    def _join(self, flight: Flight, query: Query, now_ns: int) -> None:
        joined = flight.joined
        if query.deadline_ns <= now_ns:
            query.expire()
        elif joined is not None and len(joined) >= self._max_callers:
            query.fail(Reason.OVERLOADED, problem=str(len(joined)))
        else:
            self.counts.joins += 1
            self._deadlines.add(query)
            if joined is None and flight.first is not None:
                self._deadlines.add(flight.first)
            if query.deadline_ns < flight.deadline_ns and flight.is_waiting:
                self._overtake(flight, query, now_ns)
            else:
                flight.join(query)

    def _overtake(self, flight: Flight, query: Query, now_ns: int) -> None:
        """Puts a flight in the place of one that can wait longer, unless it is refused."""
        faster = Flight(self, flight.key, query)
        self._begin(faster, now_ns)
        if faster.is_done:
            self.flights[flight.key] = flight
            return
        query.has_joined = True
        for caller in flight.take():
            faster.join(caller)
        flight.leave()
