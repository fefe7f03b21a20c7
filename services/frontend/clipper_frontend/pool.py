"""The replicas of one model version, and the queue that they pull from.

A replica that is free takes a batch; which one, and what, is decided in `_assign` from the state alone, whenever
something has happened: a query arrived, a batch was answered, a replica came up, a linger ended.

An idle replica gets what waits. A busy one may get a further batch, so that it need not wait for the network, but only
a full one: a batch that is sent early can not grow any more.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from clipper_frontend.batch_policies import BatchPolicy
from clipper_frontend.batching import BatchQueue
from clipper_frontend.deadlines import Clock, Timer
from clipper_frontend.member import FIRST_WAIT_NS, Member, State
from clipper_frontend.query import Batch, Query, Reason
from clipper_frontend.routes import Group, Replica, Version
from clipper_frontend.runtime import Answer, Connect, Description, Failure, Lost, Predictions, TimedOut

_CHECK_TIMEOUT_NS = 1_000_000_000

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """What holds for versions that do not say otherwise."""

    max_batch_rows: int
    max_queue_rows: int
    max_batches_in_flight: int
    max_attempts: int
    """How many replicas a query may be given to, one after the other, when they are lost."""
    max_batch_bytes: int


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
        self._members: dict[Replica, Member] = {}
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
                member.follow(self._new_policy(self.version))
        self._max_in_flight = self.version.batching.max_batches_in_flight or self._limits.max_batches_in_flight
        for replica in self._members.keys() - group.replicas:
            self._remove(self._members.pop(replica))
        for replica in group.replicas - self._members.keys():
            member = Member(replica, self._connect(self.version, replica), self._new_policy(self.version))
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

    def _freest(self) -> Member | None:
        free = [member for member in self._members.values() if member.is_free(self._max_in_flight)]
        if len(free) <= 1:
            return free[0] if free else None
        return min(free, key=Member.busyness)

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

    def _send(self, member: Member, queries: list[Query], now_ns: int) -> None:
        inputs = [query.input for query in queries]
        if sum(map(len, inputs)) > self._limits.max_batch_bytes:
            inputs, queries = self._fitting(inputs, queries)
        batch = Batch(member.replica.replica_id, len(queries), self._lingered_from_ns or now_ns, now_ns)
        self._lingered_from_ns = 0
        member.sent()
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

    def _answered(self, member: Member, queries: list[Query], batch: Batch, answer: Answer) -> None:
        batch.replied_ns = self._clock.now_ns()
        member.in_flight -= 1
        self._wake()
        match answer:
            case Predictions():
                member.answered(batch.rows, batch.replied_ns - batch.sent_ns)
                batch.model_us = answer.model_us
                for query, outcome in zip(queries, answer.outcomes, strict=True):
                    if isinstance(outcome, bytes):
                        query.succeed(outcome, batch)
                    else:
                        query.fail(Reason.MODEL_ERROR, outcome.problem, outcome.kind)
            case Failure():
                member.failed()
                for query in queries:
                    query.fail(Reason.MODEL_ERROR, answer.problem, answer.kind)
            case TimedOut():
                member.timed_out()
                for query in queries:
                    query.expire()
            case Lost():
                wait_ns = member.lost(was_refused=answer.was_refused)
                if wait_ns is not None:
                    self._check_after(member, wait_ns, answer.problem)
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

    def _check(self, member: Member) -> None:
        member.timer = None
        member.state = State.CHECKING
        self._is_hopeful = True
        member.runtime.describe(self._clock.now_ns() + _CHECK_TIMEOUT_NS, partial(self._checked, member))

    def _checked(self, member: Member, found: Description | Lost) -> None:
        if member.is_removed:
            return
        if isinstance(found, Lost):
            self._check_after(member, member.down(), found.problem)
            return
        _log.info("replica_up", extra=_named(member.replica))
        member.up(found)
        self._wake()

    def _check_after(self, member: Member, wait_ns: int, problem: str) -> None:
        if not wait_ns:
            self._check(member)
            return
        if wait_ns == FIRST_WAIT_NS:  # told once, not after every check
            _log.warning("replica_down", extra={**_named(member.replica), "problem": problem})
        member.timer = self._clock.call_at(self._clock.now_ns() + wait_ns, partial(self._check, member))
        self._look_for_hope()

    def _remove(self, member: Member) -> None:
        member.is_removed = True
        if member.timer is not None:
            member.timer.cancel()
        if not member.in_flight:
            member.runtime.close()

    def _look_for_hope(self) -> None:
        """Tells those who wait when there is nobody left to wait for."""
        self._is_hopeful = any(member.state is not State.DOWN for member in self._members.values())
        if not self._is_hopeful:
            for query in self._queue.clear():
                query.fail(Reason.REPLICA_LOST if query.losses else Reason.NO_REPLICA)

    def _queue_limits(self) -> dict[str, int]:
        batching = self.version.batching
        return {
            "max_waiting_rows": batching.max_queue_rows or self._limits.max_queue_rows,
            "linger_ns": batching.linger_ns,
        }


def _named(replica: Replica) -> dict[str, object]:
    return {
        "model": replica.model,
        "version": replica.version,
        "replica_id": replica.replica_id,
        "address": replica.address,
    }
