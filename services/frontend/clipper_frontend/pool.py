"""The replicas of one model version, and the queue that they pull from.

A replica that is free takes a batch; which one, and what, is decided in `_assign` from the state alone, whenever
something has happened: a query arrived, a batch was answered, a replica came up, a linger ended.

    state      may get queries  leaves it
    CHECKING   no, but queries  to UP when it describes itself as the right model, else to DOWN
               wait for it
    UP         yes              to CHECKING when it is lost
    DOWN       no               to CHECKING after a while (backoff, doubled each time up to a limit)

An idle replica gets what waits. A busy one may get a further batch, so that it need not wait for the network, but only
a full one: a batch that is sent early can not grow any more.

A replica that let the deadline of a batch pass is on trial: it is asked only when no other one is idle, one query at a
time, until it answers. So a replica that hangs holds its own slots and next to nothing else.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Protocol

from clipper_frontend.batch_policies import BatchPolicy
from clipper_frontend.batching import BatchQueue
from clipper_frontend.deadlines import Clock, Timer
from clipper_frontend.query import Batch, Query, Reason
from clipper_frontend.routes import Group, Replica, Version

_CHECK_TIMEOUT_NS = 1_000_000_000
_FIRST_BACKOFF_NS = 100_000_000
_LAST_BACKOFF_NS = 2_000_000_000

_log = logging.getLogger(__name__)


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


@dataclass(frozen=True, slots=True)
class Limits:
    """What holds for versions that do not say otherwise."""

    max_batch_rows: int
    max_queue_rows: int
    max_batches_in_flight: int
    max_attempts: int
    """How many replicas a query may be given to, one after the other, when they are lost."""
    max_batch_bytes: int


class _State(Enum):
    CHECKING = "checking"
    UP = "up"
    DOWN = "down"


class _Member:
    """One replica of the pool."""

    __slots__ = (
        "backoff_ns",
        "batches_sent",
        "ceiling_rows",
        "in_flight",
        "is_on_trial",
        "is_removed",
        "policy",
        "replica",
        "runtime",
        "state",
        "timer",
    )

    def __init__(self, replica: Replica, runtime: Runtime, policy: BatchPolicy) -> None:
        self.replica = replica
        self.runtime = runtime
        self.policy = policy
        self.state = _State.CHECKING
        self.in_flight = 0
        self.batches_sent = 0
        self.ceiling_rows = 0
        self.is_on_trial = False
        self.is_removed = False
        self.backoff_ns = 0  # 0: not lost since it last answered
        self.timer: Timer | None = None

    def is_free(self, max_in_flight: int) -> bool:
        return self.state is _State.UP and self.in_flight < (1 if self.is_on_trial else max_in_flight)

    def max_rows(self) -> int:
        if self.is_on_trial:
            return 1
        rows = self.policy.max_rows()
        return min(rows, self.ceiling_rows) if self.ceiling_rows else rows


class Pool:
    """Queues the queries for one version and gives them to its replicas."""

    def __init__(
        self,
        group: Group,
        clock: Clock,
        connect: Connect,
        new_policy: Callable[[Version], BatchPolicy],
        limits: Limits,
    ) -> None:
        self.version = group.version
        self._clock = clock
        self._connect = connect
        self._new_policy = new_policy
        self._limits = limits
        self._members: dict[Replica, _Member] = {}
        self._queue: BatchQueue[Query] = BatchQueue(**self._queue_limits())
        self._max_in_flight = 1
        self._is_hopeful = False  # whether any member is up or being checked
        self._is_woken = False
        self._linger_timer: Timer | None = None
        self._linger_until_ns = 0
        self._lingered_from_ns = 0
        self.update(group)

    @property
    def waiting_rows(self) -> int:
        """How many rows wait."""
        return self._queue.waiting_rows

    @property
    def batches_in_flight(self) -> int:
        """How many batches are with replicas that are still part of the pool."""
        return sum(member.in_flight for member in self._members.values())

    def update(self, group: Group) -> None:
        """Takes over new settings and replicas. Those that stay are not touched; removed ones end what they have."""
        if group.version != self.version:
            self.version = group.version
            self._queue.configure(**self._queue_limits())
            for member in self._members.values():
                member.policy = self._new_policy(self.version)
        self._max_in_flight = self.version.batching.max_batches_in_flight or self._limits.max_batches_in_flight
        for replica in self._members.keys() - group.replicas:
            self._remove(self._members.pop(replica))
        for replica in group.replicas - self._members.keys():
            member = _Member(replica, self._connect(self.version, replica), self._new_policy(self.version))
            self._members[replica] = member
            self._check(member)
        self._look_for_hope()

    def close(self) -> None:
        """Ends the pool: nothing is sent any more, what waits is told, what is under way may end."""
        for member in self._members.values():
            self._remove(member)
        self._members.clear()
        self._look_for_hope()

    def submit(self, query: Query, now_ns: int) -> None:
        """Lets a query wait for a replica, or fails it at once where that is hopeless."""
        if not self._is_hopeful:
            query.fail(Reason.NO_REPLICA)
            return
        query.queue = self._queue
        if self._queue.add(query, now_ns):
            self._wake()
        else:
            query.fail(Reason.OVERLOADED, problem=str(self._queue.waiting_rows))

    def _wake(self) -> None:
        """Assigns once everything that is happening now has happened: a burst of queries becomes one batch."""
        if not self._is_woken:
            self._is_woken = True
            self._clock.call_soon(self._assign)

    def _assign(self) -> None:
        self._is_woken = False
        while self._queue.waiting_rows:
            member = self._freest()
            if member is None or (member.in_flight and self._queue.waiting_rows < member.max_rows()):
                return
            now_ns = self._clock.now_ns()
            queries, look_ns = self._queue.next_batch(now_ns, member.max_rows())
            if queries:
                self._send(member, queries, now_ns)
            else:
                if look_ns is not None:
                    self._linger(now_ns, look_ns)
                return

    def _freest(self) -> _Member | None:
        free = [member for member in self._members.values() if member.is_free(self._max_in_flight)]
        if len(free) <= 1:
            return free[0] if free else None
        return min(free, key=_busyness)

    def _linger(self, now_ns: int, until_ns: int) -> None:
        if not self._lingered_from_ns:
            self._lingered_from_ns = now_ns
        if self._linger_timer is None or until_ns < self._linger_until_ns:
            if self._linger_timer is not None:
                self._linger_timer.cancel()
            self._linger_until_ns = until_ns
            self._linger_timer = self._clock.call_at(until_ns, self._linger_ends)

    def _linger_ends(self) -> None:
        self._linger_timer = None
        self._assign()

    def _send(self, member: _Member, queries: list[Query], now_ns: int) -> None:
        inputs = [query.input for query in queries]
        if sum(map(len, inputs)) > self._limits.max_batch_bytes:
            inputs, queries = self._fitting(inputs, queries)
        batch = Batch(member.replica.replica_id, len(queries), self._lingered_from_ns or now_ns, now_ns)
        self._lingered_from_ns = 0
        member.in_flight += 1
        member.batches_sent += 1
        # in order of deadlines, so the last caller to stop waiting is the last one
        member.runtime.predict(inputs, queries[-1].deadline_ns, partial(self._answered, member, queries, batch))

    def _fitting(self, inputs: list[bytes], queries: list[Query]) -> tuple[list[bytes], list[Query]]:
        """The first ones that fit into one message, at least one; the others wait again."""
        size = fitting = 0
        for value in inputs:
            size += len(value)
            if fitting and size > self._limits.max_batch_bytes:
                break
            fitting += 1
        for query in queries[fitting:]:
            self._queue.put_back(query)
        return inputs[:fitting], queries[:fitting]

    def _answered(self, member: _Member, queries: list[Query], batch: Batch, answer: Answer) -> None:
        batch.replied_ns = self._clock.now_ns()
        member.in_flight -= 1
        self._wake()
        match answer:
            case Predictions():
                member.is_on_trial = False
                member.backoff_ns = 0
                member.policy.observe(batch.rows, batch.replied_ns - batch.sent_ns)
                batch.model_us = answer.model_us
                for query, outcome in zip(queries, answer.outcomes, strict=True):
                    if isinstance(outcome, bytes):
                        query.succeed(outcome, batch)
                    else:
                        query.fail(Reason.MODEL_ERROR, outcome.problem, outcome.kind)
            case Failure():
                member.backoff_ns = 0
                for query in queries:
                    query.fail(Reason.MODEL_ERROR, answer.problem, answer.kind)
            case TimedOut():
                member.is_on_trial = True
                for query in queries:
                    query.expire()
            case Lost():
                self._lose(member, answer)
                self._retry(queries, batch.replied_ns, was_refused=answer.was_refused)
        if member.is_removed and not member.in_flight:
            member.runtime.close()

    def _retry(self, queries: list[Query], now_ns: int, *, was_refused: bool) -> None:
        can_retry = was_refused or not self.version.batching.no_retry
        for query in queries:
            if query.is_done:
                continue
            query.losses += 1
            if query.deadline_ns <= now_ns:
                query.expire()
            elif not can_retry or not self._is_hopeful or query.losses >= self._limits.max_attempts:
                query.fail(Reason.REPLICA_LOST)
            else:
                self._queue.put_back(query)

    def _lose(self, member: _Member, lost: Lost) -> None:
        """A batch came back undone: the replica is checked, at once the first time, else after a while."""
        if member.is_removed or member.state is not _State.UP:
            return
        if member.backoff_ns or lost.was_refused:
            self._take_down(member, lost)
        else:
            member.backoff_ns = _FIRST_BACKOFF_NS
            self._check(member)

    def _check(self, member: _Member) -> None:
        member.timer = None
        member.state = _State.CHECKING
        self._is_hopeful = True
        member.runtime.describe(self._clock.now_ns() + _CHECK_TIMEOUT_NS, partial(self._checked, member))

    def _checked(self, member: _Member, found: Description | Lost) -> None:
        if member.is_removed:
            return
        if isinstance(found, Lost):
            self._take_down(member, found)
            return
        _log.info("replica_up", extra=_named(member.replica))
        member.state = _State.UP
        member.ceiling_rows = found.max_batch_rows
        self._wake()

    def _take_down(self, member: _Member, lost: Lost) -> None:
        if not member.backoff_ns or member.backoff_ns == _FIRST_BACKOFF_NS:  # once, not after every check
            _log.warning("replica_down", extra={**_named(member.replica), "problem": lost.problem})
        wait_ns = max(member.backoff_ns, _FIRST_BACKOFF_NS)
        member.backoff_ns = min(2 * wait_ns, _LAST_BACKOFF_NS)
        member.state = _State.DOWN
        member.timer = self._clock.call_at(self._clock.now_ns() + wait_ns, partial(self._check, member))
        self._look_for_hope()

    def _remove(self, member: _Member) -> None:
        member.is_removed = True
        if member.timer is not None:
            member.timer.cancel()
        if not member.in_flight:
            member.runtime.close()

    def _look_for_hope(self) -> None:
        """Tells those who wait when there is nobody left to wait for."""
        self._is_hopeful = any(member.state is not _State.DOWN for member in self._members.values())
        if not self._is_hopeful:
            for query in self._queue.clear():
                query.fail(Reason.REPLICA_LOST if query.losses else Reason.NO_REPLICA)

    def _queue_limits(self) -> dict[str, int]:
        batching = self.version.batching
        return {
            "max_waiting_rows": batching.max_queue_rows or self._limits.max_queue_rows,
            "linger_ns": batching.linger_ns,
        }


def _busyness(member: _Member) -> tuple[object, ...]:
    return member.in_flight > 0, member.is_on_trial, member.in_flight, member.batches_sent


def _named(replica: Replica) -> dict[str, object]:
    return {
        "model": replica.model,
        "version": replica.version,
        "replica_id": replica.replica_id,
        "address": replica.address,
    }
