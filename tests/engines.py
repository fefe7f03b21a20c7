"""The engine on fakes: a dispatcher, a clock that the test moves, and replicas that answer when told or by a model."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine_fakes import MS, FakeClock, FakeCluster, FakeReplica

from clipper_frontend.batch_policies import Policy
from clipper_frontend.dispatch import Dispatcher
from clipper_frontend.pool import Limits
from clipper_frontend.query import Query, Reason
from clipper_frontend.routes import Application, Batching, Link, Model, Replica, RouteTable, Version
from clipper_frontend.runtime import Answer, Description, Lost, Metadata, Predictions, TimedOut

LIMITS = Limits(max_batch_rows=4, max_queue_rows=8, max_batches_in_flight=1, max_attempts=3, max_batch_bytes=1_000_000)
PLANT_LIMITS = Limits(
    max_batch_rows=1000, max_queue_rows=20_000, max_batches_in_flight=2, max_attempts=3, max_batch_bytes=1_000_000
)


def version(label: str = "1", **batching: Any) -> Version:
    batching.setdefault("policy", Policy.FIXED)
    return Version("m", label, f"uid-{label}", 4, Batching(**batching))


def copy(number: int = 0, label: str = "1", address: str | None = None) -> Replica:
    return Replica("m", label, number, address or f"host:{label}{number}")


def table(*entities: Version | Replica, objective_ms: int = 100) -> RouteTable:
    return RouteTable.of([Application("app", 4, objective_ms * MS, b"d", (Link("m"),)), Model("m", "1"), *entities])


@dataclass
class Engine:
    """A dispatcher on fakes."""

    limits: Limits = LIMITS
    clock: FakeClock = field(default_factory=FakeClock)
    done: list[Query] = field(default_factory=list)
    raising: set[int] = field(default_factory=set)
    """Whose callers raise when they get a prediction, by query id."""

    def __post_init__(self) -> None:
        self.cluster = FakeCluster(self.clock)
        self.dispatcher = Dispatcher(self.clock, self.cluster.connect, self.limits)
        self.table = table()
        self.count = 0

    def apply(self, *entities: Version | Replica, objective_ms: int = 100) -> None:
        self.table = table(*entities, objective_ms=objective_ms)
        self.dispatcher.apply(self.table)
        self.clock.settle()

    def submit(self, value: bytes = b"x", *, in_ms: float = 100, label: str = "1") -> Query:
        group = self.table.groups.get(f"uid-{label}")
        self.count += 1
        now = self.clock.ns
        query = Query(
            self.count,
            self.table.route("app"),
            group.version if group else None,
            value,
            now,
            now + int(in_ms * MS),
            self._told,
        )
        self.dispatcher.submit(query, now)
        return query

    def _told(self, query: Query) -> None:
        self.done.append(query)
        if query.query_id in self.raising and query.batch is not None:
            raise ValueError("a fault of the caller")

    def ask(self, values: bytes = b"x", **how: Any) -> list[Query]:
        """One query per byte, at once; then everything settles."""
        queries = [self.submit(bytes([each]), **how) for each in values]
        self.clock.settle()
        return queries


def engine_with(*replicas: Replica, limits: Limits = LIMITS, **batching: Any) -> tuple[Engine, list[FakeReplica]]:
    engine = Engine(limits)
    engine.apply(version(**batching), *replicas)
    return engine, [engine.cluster[each.address] for each in replicas]


def outcomes(queries: list[Query]) -> list[bytes | Reason]:
    return [query.output if query.batch is not None else query.reason for query in queries]


# Replicas that compute


@dataclass
class Pace:
    """How fast a model is: a batch of n takes fixed + per_row · n milliseconds, with noise."""

    fixed_ms: float
    per_row_ms: float = 0.0
    noise: float = 0.0
    network_ms: float = 0.2
    """There and back."""
    pause_share: float = 0.0
    """Which share of batches is held up before it begins..."""
    pause_ms: float = 0.0
    """...for so long."""


class Computing:
    """A call to a computing replica."""

    is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


class ComputingReplica:
    """A runtime.Runtime that computes one batch after the other, as a runtime does, and takes its time."""

    def __init__(self, clock: FakeClock, pace: Pace, seed: int = 1) -> None:
        self.pace = pace
        self.sizes: list[int] = []
        self.expired = 0
        self.cancelled = 0
        self.is_closed = False
        self._clock = clock
        self._free_ns = 0
        self._rng = random.Random(seed)

    def predict(
        self, inputs: Sequence[bytes], deadline_ns: int, done: Callable[[Answer], None], metadata: Metadata = ()
    ) -> Computing:
        call = Computing()
        begin_ns = max(self._clock.ns + self._way_ns, self._free_ns)
        self.sizes.append(len(inputs))
        if begin_ns >= deadline_ns:
            self.expired += 1
            self._answer(begin_ns, call, done, TimedOut(was_told=True))
            return call
        took_ms = self.pace.fixed_ms + self.pace.per_row_ms * len(inputs)
        took_ns = int(took_ms * MS * self._rng.lognormvariate(0, self.pace.noise))
        if self.pace.pause_share and self._rng.random() < self.pace.pause_share:
            begin_ns += int(self.pace.pause_ms * MS)
        self._free_ns = begin_ns + took_ns
        self._answer(self._free_ns, call, done, Predictions(list(inputs), took_ns // 1000))
        return call

    def _answer(self, at_ns: int, call: Computing, done: Callable[[Answer], None], answer: Answer) -> None:
        def arrives() -> None:
            if call.is_cancelled:
                self.cancelled += 1
            else:
                done(answer)

        self._clock.call_at(at_ns + self._way_ns, arrives)

    @property
    def _way_ns(self) -> int:
        return int(self.pace.network_ms * MS) // 2

    def describe(self, deadline_ns: int, done: Callable[[Description | Lost], None]) -> None:
        self._clock.call_soon(lambda: done(Description()))

    def close(self) -> None:
        self.is_closed = True


class Plant:
    """A dispatcher before computing replicas, and a load."""

    def __init__(
        self, *paces: Pace, objective_ms: float, limits: Limits = PLANT_LIMITS, seed: int = 1, **batching: Any
    ) -> None:
        self.clock = FakeClock()
        self.replicas = [ComputingReplica(self.clock, pace, seed + number) for number, pace in enumerate(paces)]
        self.dispatcher = Dispatcher(self.clock, lambda _, replica: self.replicas[replica.replica_id], limits)
        self.objective_ns = int(objective_ms * MS)
        batching.setdefault("policy", Policy.QUANTILE)
        self.version = version(**batching)
        self.table = RouteTable.of(
            [
                Application("app", 4, self.objective_ns, b"d", (Link("m"),)),
                Model("m", "1"),
                self.version,
                *(copy(number) for number in range(len(paces))),
            ]
        )
        self.dispatcher.apply(self.table)
        self.clock.settle()
        self.done: list[tuple[Query, int]] = []
        """Queries with the time of their answer."""
        self._rng = random.Random(seed)

    def ask(self) -> Query:
        now_ns = self.clock.ns
        query = Query(
            len(self.done),
            self.table.route("app"),
            self.version,
            b"x",
            now_ns,
            now_ns + self.objective_ns,
            lambda query: self.done.append((query, self.clock.ns)),
        )
        self.dispatcher.submit(query, now_ns)
        return query

    def load(self, per_s: float, seconds: float) -> list[tuple[Query, int]]:
        """Queries that come by chance, whatever becomes of them; and what became of them."""
        del self.done[:]
        end_ns = self.clock.ns + int(seconds * 1e9)

        def arrive() -> None:
            if self.clock.ns < end_ns:
                self.ask()
                self.clock.call_at(self.clock.ns + max(1, int(self._rng.expovariate(per_s) * 1e9)), arrive)

        arrive()
        self.clock.advance(end_ns - self.clock.ns + 2 * self.objective_ns)
        return self.done
