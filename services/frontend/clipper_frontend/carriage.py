"""Brings batches to replicas and their answers back to those who wait.

A batch whose replica is lost goes back into the queue while time is left. One that takes far longer than usual is sent
once more to an idle replica, if the version allows it and its budget is not used up: the first answer counts, and the
other attempt is taken back (see `hedging`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from clipper_frontend.batching import BatchQueue
from clipper_frontend.deadlines import Clock
from clipper_frontend.hedging import HedgeBudget, look_ns
from clipper_frontend.member import Member, State
from clipper_frontend.query import Batch, Query, Reason
from clipper_frontend.roster import Roster
from clipper_frontend.routes import Version
from clipper_frontend.runtime import Answer, Failure, Lost, Metadata, Predictions, TimedOut, Watches
from clipper_frontend.transit import Attempt, Transit

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Counts:
    """What became of the queries and batches of one version, since this process knows it."""

    full: int = 0
    """Queries that were refused since the queue was full."""
    hopeless: int = 0
    """Queries that were refused since they could not be answered in time."""
    given_up: int = 0
    """Queries that were admitted and given up, since the batch for them would have cost others theirs."""
    batches: int = 0
    """Batches that were sent, hedges not counted."""
    rows: int = 0
    """Queries in those batches."""
    moved: int = 0
    """Queries of lost replicas that were queued again."""
    abandoned: int = 0
    """Batches that were taken back since all callers had left."""
    hedges: int = 0
    """Batches that were sent a second time."""
    hedged_rows: int = 0
    """Queries in those."""
    hedges_won: int = 0
    """How many of them were answered first."""
    hedges_denied: int = 0
    """How many were not sent since the budget was used up."""


class Carriage:
    """The batches of one version that are under way. A transit.Carrier."""

    def __init__(
        self,
        version: Version,
        clock: Clock,
        queue: BatchQueue[Query],
        roster: Roster,
        changed: Callable[[], None],
        *,
        max_attempts: int,
        watcher: Watches | None,
    ) -> None:
        self.counts = Counts()
        self.objective_ns = 0
        self._version = version
        self._clock = clock
        self._queue = queue
        self._roster = roster
        self._changed = changed
        self._max_attempts = max_attempts
        self._watcher = watcher
        self._hedges: HedgeBudget | None = None
        self.overdue: list[Transit] = []
        """Batches that wait for an idle replica to be sent to a second time."""

    def follow(self, version: Version, max_batch_rows: int, objective_ns: int) -> None:
        """Takes over new settings."""
        percent = version.batching.hedge_percent
        if self._hedges is None or percent != self._version.batching.hedge_percent:
            self._hedges = HedgeBudget(percent, burst_rows=max_batch_rows) if percent else None
        self._version = version
        self.objective_ns = objective_ns

    def send(self, member: Member, queries: list[Query], lingered_from_ns: int, now_ns: int) -> None:
        """Sends a batch, in order of deadlines, to a replica that is free."""
        transit = Transit(queries, self)
        rows = len(queries)
        self.counts.batches += 1
        self.counts.rows += rows
        attempt = self._attempt(transit, member, queries, lingered_from_ns, now_ns)
        if self._hedges is not None:
            self._hedges.earn(rows)
            when_ns = look_ns(now_ns, member.free_ns, transit.deadline_ns) if attempt.expected_ns else None
            if when_ns is not None:
                transit.timer = self._clock.call_at(when_ns, partial(self._is_overdue, transit))

    def hedge(self, now_ns: int) -> None:
        """Sends what is overdue to replicas that are idle now."""
        overdue, self.overdue = self.overdue, []
        for transit in overdue:
            if transit.attempts and transit.waiting and not self._has_hedged(transit, now_ns):
                self.overdue.append(transit)

    def abandoned(self, transit: Transit) -> None:
        """See transit.Carrier: all callers have left, or another attempt was faster."""
        now_ns = self._clock.now_ns()
        for attempt in transit.attempts:
            call, attempt.call = attempt.call, None
            if call is not None:
                call.cancel()
            if transit.is_answered:
                attempt.member.overtaken(attempt, now_ns)
            else:
                attempt.member.cancelled(attempt, now_ns)
                self.counts.abandoned += 1
            self._roster.ended(attempt.member)
        transit.end()
        self._changed()

    def _is_overdue(self, transit: Transit) -> None:
        transit.timer = None
        self.overdue.append(transit)
        self.hedge(self._clock.now_ns())

    def _has_hedged(self, transit: Transit, now_ns: int) -> bool:
        """Whether a batch needs to be looked at no more."""
        member = self._second_for(transit)
        if member is None:
            return False
        plan = member.plan(self.objective_ns)
        queries = [query for query in transit.queries if not query.is_done][: plan.rows]
        if now_ns + plan.predict_ns(len(queries)) < transit.deadline_ns:
            if self._hedges is not None and self._hedges.spend(len(queries)):
                self.counts.hedges += 1
                self.counts.hedged_rows += len(queries)
                self._attempt(transit, member, queries, now_ns, now_ns).batch.is_hedge = True
            else:
                self.counts.hedges_denied += 1
        return True

    def _second_for(self, transit: Transit) -> Member | None:
        """An idle replica; one on trial where there is no sound one besides, which might become idle yet."""
        asked = [attempt.member for attempt in transit.attempts]
        others = [each for each in self._roster.members.values() if each.state is State.UP and each not in asked]
        sound = [each for each in others if not each.is_on_trial]
        idle = [each for each in sound or others if each.is_idle]
        return min(idle, key=Member.busyness) if idle else None

    def _attempt(
        self, transit: Transit, member: Member, queries: list[Query], lingered_from_ns: int, now_ns: int
    ) -> Attempt:
        batch = Batch(member.replica.replica_id, len(queries), lingered_from_ns, now_ns)
        attempt = Attempt(transit, member, queries, batch)
        transit.attempts.append(attempt)
        member.sent(attempt, self.objective_ns, now_ns)
        inputs = [query.input for query in queries]
        along: Metadata = ()
        if self._watcher is not None:
            along = self._watcher.sending(self._version, member.replica, queries, now_ns)
        answered = partial(self._answered, attempt)
        attempt.call = member.runtime.predict(inputs, queries[-1].deadline_ns, answered, along)
        return attempt

    def _answered(self, attempt: Attempt, answer: Answer) -> None:
        now_ns = attempt.batch.replied_ns = self._clock.now_ns()
        attempt.call = None
        attempt.transit.attempts.remove(attempt)
        member = attempt.member
        member.ended(attempt, now_ns)
        if self._watcher is not None:
            self._watcher.returned(member.replica, attempt.batch, answer)
        match answer:
            case Predictions():
                member.answered(attempt, now_ns, answer.model_us * 1000)
                self._deliver(attempt, answer)
                member.handed_on(attempt, self._clock.now_ns())
            case Failure():
                member.failed()
                for query in _forsaken(attempt):
                    query.fail(Reason.MODEL_ERROR, answer.problem, answer.kind)
            case TimedOut():
                if answer.was_told:
                    member.failed()
                else:
                    member.timed_out(attempt, now_ns)
                for query in _forsaken(attempt):
                    query.expire()
            case Lost():
                self._roster.lost(member, answer.problem, was_refused=answer.was_refused)
                self._retry(_forsaken(attempt), now_ns, was_refused=answer.was_refused)
        transit = attempt.transit
        if not transit.attempts:
            transit.end()
        elif transit.is_answered and not transit.waiting:
            self.abandoned(transit)
        if member.is_removed:
            self._roster.ended(member)
        self._changed()

    def _deliver(self, attempt: Attempt, answer: Predictions) -> None:
        batch = attempt.batch
        batch.model_us = answer.model_us
        attempt.transit.is_answered = True
        self.counts.hedges_won += batch.is_hedge
        for query, outcome in zip(attempt.queries, answer.outcomes, strict=True):
            try:
                if isinstance(outcome, bytes):
                    query.succeed(outcome, batch)
                else:
                    query.fail(Reason.MODEL_ERROR, outcome.problem, outcome.kind)
            except Exception:  # noqa: BLE001  # whatever a caller raises: its neighbours get theirs
                _log.exception("answer_not_taken")

    def _retry(self, queries: list[Query], now_ns: int, *, was_refused: bool) -> None:
        can_retry = was_refused or not self._version.batching.no_retry
        for query in queries:
            query.losses += 1
            if query.deadline_ns <= now_ns:
                query.expire()
            elif not can_retry or not self._roster.is_hopeful or query.losses >= self._max_attempts:
                query.fail(Reason.REPLICA_LOST)
            else:
                self.counts.moved += 1
                self._queue.put_back(query)


def _forsaken(attempt: Attempt) -> list[Query]:
    """Who still waits, but for no replica any more, now that an attempt has failed. They leave the batch."""
    covered = {id(query) for other in attempt.transit.attempts for query in other.queries}
    found = [query for query in attempt.queries if not query.is_done and id(query) not in covered]
    for query in found:
        query.transit = None
    attempt.transit.waiting -= len(found)
    return found
