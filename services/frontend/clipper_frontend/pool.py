"""The queue of one model version, and the decision which of its replicas gets what.

Taken in `_assign` from the state alone, whenever something has happened: a query arrived, a batch was answered, a
replica came up, a linger ended. What it rests on is in `admission`.

An idle replica gets what waits. A busy one may get a further batch, so that it need not wait for the network, but only
a full one, and shortly before it is free: a batch that is sent early can not grow any more, and commits its queries.

A query that cannot be in time is refused as it comes, so that no replica works for nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from clipper_frontend import admission
from clipper_frontend.admission import Forecast, Plan
from clipper_frontend.batch_policies import BatchPolicy
from clipper_frontend.batching import BatchQueue
from clipper_frontend.carriage import Carriage, Counts
from clipper_frontend.deadlines import Clock, Timer
from clipper_frontend.member import Member, State
from clipper_frontend.query import Query, Reason
from clipper_frontend.roster import Roster
from clipper_frontend.routes import Group, Replica, Version
from clipper_frontend.runtime import Connect, Watches

_FEW_ROWS = 8
"""While fewer rows wait, who has room for them is asked replica by replica: a forecast costs as much as a batch."""


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
    """Queues the queries for one version and gives them to its replicas.

    Args:
        objective_ns: the shortest objective of those who ask this version.
        new_policy: makes what chooses the size of one replica's batches.
        watcher: is told of every batch.
    """

    def __init__(
        self,
        group: Group,
        objective_ns: int,
        clock: Clock,
        connect: Connect,
        new_policy: Callable[[Version], BatchPolicy],
        limits: Limits,
        watcher: Watches | None = None,
    ) -> None:
        self.version = group.version
        self.objective_ns = objective_ns
        self._clock = clock
        self._new_policy = new_policy
        self._limits = limits
        self._queue: BatchQueue[Query] = BatchQueue(**self._queue_limits())
        self._roster = Roster(clock, connect, self._changed)
        self._carriage = Carriage(
            group.version,
            clock,
            self._queue,
            self._roster,
            self._changed,
            max_attempts=limits.max_attempts,
            watcher=watcher,
        )
        self.max_batches_in_flight = 1
        self._forecast: Forecast | None = None
        self._has_forecast = False
        self._is_woken = False
        self._timer: Timer | None = None
        self._timer_ns = 0
        self._lingered_from_ns = 0
        self.update(group, objective_ns)

    @property
    def waiting_rows(self) -> int:
        """How many rows wait."""
        return self._queue.waiting_rows

    @property
    def replicas(self) -> dict[Replica, State]:
        """How each replica stands."""
        return {replica: member.state for replica, member in self._roster.members.items()}

    @property
    def members(self) -> list[Member]:
        """The replicas, for those who look on."""
        return list(self._roster.members.values())

    @property
    def counts(self) -> Counts:
        """What became of its queries and batches."""
        return self._carriage.counts

    @property
    def batches_in_flight(self) -> int:
        """How many batches are with replicas that are still part of the pool."""
        return sum(len(member.attempts) for member in self._roster.members.values())

    def update(self, group: Group, objective_ns: int) -> None:
        """Takes over new settings and replicas. Those that stay are not touched; removed ones end what they have."""
        old, new = self.version.batching, group.version.batching
        self.version, self.objective_ns = group.version, objective_ns
        self.max_batches_in_flight = new.max_batches_in_flight or self._limits.max_batches_in_flight
        self._queue.configure(**self._queue_limits())
        self._carriage.follow(group.version, new.max_batch_rows or self._limits.max_batch_rows, objective_ns)
        if (old.policy, old.max_batch_rows) != (new.policy, new.max_batch_rows):
            for member in self._roster.members.values():
                member.follow(self._new_policy(self.version))
        self._roster.follow(group.version, group.replicas, lambda: self._new_policy(self.version))
        self._changed()

    def close(self) -> None:
        """Ends the pool: nothing is sent any more, what waits is told, what is under way may end."""
        self._roster.follow(self.version, (), lambda: self._new_policy(self.version))
        if self._timer is not None:
            self._timer.cancel()

    def submit(self, query: Query, now_ns: int) -> None:
        """Lets a query wait for a replica, or fails it at once where that is hopeless."""
        queue = self._queue
        if not self._roster.is_hopeful:
            query.fail(Reason.NO_REPLICA)
        elif (queue.waiting_rows or not self._is_anyone_idle()) and not self._can_be_in_time(query, now_ns):
            self.counts.hopeless += 1
            query.fail(Reason.OVERLOADED, problem=str(queue.waiting_rows))
        else:
            query.queue = queue
            if queue.add(query, now_ns):
                self._wake()
            else:
                self.counts.full += 1
                query.fail(Reason.OVERLOADED, problem=str(queue.waiting_rows))

    def _is_anyone_idle(self) -> bool:
        for member in self._roster.members.values():  # noqa: SIM110  # any() costs more than all the rest of a query
            if member.is_idle:
                return True
        return False

    def _can_be_in_time(self, query: Query, now_ns: int) -> bool:
        waiting, deadline_ns = self._queue.waiting_rows, query.deadline_ns
        if not self._has_forecast:
            if waiting < _FEW_ROWS and self._has_room(waiting + query.rows, deadline_ns - now_ns, now_ns):
                return True
            self._has_forecast = True
            self._forecast = self._new_forecast(now_ns)
        if self._forecast is None:
            return True
        if self._forecast.admits(now_ns, waiting + query.rows, deadline_ns):
            return True
        before = self._queue.rows_before(deadline_ns)
        return before < waiting and self._forecast.admits(now_ns, before + query.rows, deadline_ns)

    def _has_room(self, rows: int, left_ns: int, now_ns: int) -> bool:
        objective_ns = self.objective_ns
        return any(each.has_room(rows, left_ns, objective_ns, now_ns) for each in self._roster.members.values())

    def _new_forecast(self, now_ns: int) -> Forecast | None:
        """When queries would be answered; None while nobody can know."""
        members = self._roster.up()
        objective_ns = self.objective_ns
        if not members or not all(member.plan(objective_ns).is_known for member in members):
            return None
        useful = [
            member
            for member in members
            if not member.is_on_trial
            and member.remaining_ns(now_ns) <= objective_ns
            and member.plan(objective_ns).predict_ns(1) <= admission.SURE * objective_ns
        ]
        return Forecast([member.station(objective_ns) for member in useful or members], now_ns)

    def _changed(self) -> None:
        """Something has happened that may let somebody go, or give up."""
        self._has_forecast = False
        if not self._roster.is_hopeful:
            for query in self._queue.clear():
                query.fail(Reason.REPLICA_LOST if query.losses else Reason.NO_REPLICA)
        elif self._queue.waiting_rows or self._carriage.overdue:
            self._wake()

    def _wake(self) -> None:
        """Assigns once everything that is happening now has happened: a burst of queries becomes one batch."""
        if not self._is_woken:
            self._is_woken = True
            self._clock.call_soon(self._assign)

    def _assign(self) -> None:
        self._is_woken = False
        now_ns = self._clock.now_ns()
        if self._carriage.overdue:
            self._carriage.hedge(now_ns)
        while self._queue.waiting_rows:
            for member in self._free():
                if self._serve(member, now_ns):
                    break
            else:
                return

    def _free(self) -> list[Member]:
        free = [member for member in self._roster.members.values() if member.is_free(self.max_batches_in_flight)]
        if len(free) > 1:
            free.sort(key=Member.busyness)
        return free

    def _serve(self, member: Member, now_ns: int) -> bool:
        """Gives a replica what it can take. False: nothing, for now."""
        head = self._queue.first(now_ns)
        if head is None:
            return False
        plan = member.plan(self.objective_ns)
        if member.attempts:
            return self._is_time_for_another(member, plan, head, now_ns) and self._send(member, plan.rows, now_ns)
        wanted = min(plan.rows, self._queue.waiting_rows)
        rows = admission.rows_in_time(plan, wanted, head.deadline_ns - now_ns)
        if rows:
            return self._send(member, plan.rows if rows == wanted else rows, now_ns)
        if self._is_better_left(member, plan, head, now_ns):
            is_its_turn = member.served_ns <= min(each.served_ns for each in self._roster.up())
            return is_its_turn and self._send(member, 1, now_ns)
        if self._queue.waiting_rows == head.rows:  # learned latencies can be wrong, and that is how it is noticed
            return self._send(member, 1, now_ns)
        self.counts.given_up += 1
        head.fail(Reason.OVERLOADED, problem=str(self._queue.waiting_rows))
        return True

    def _is_time_for_another(self, member: Member, plan: Plan, head: Query, now_ns: int) -> bool:
        """Whether a busy replica should get a full batch now; looks again when it could be."""
        if self._queue.waiting_rows < plan.rows:
            return False
        remaining_ns = member.remaining_ns(now_ns)
        if admission.may_go_ahead(self.objective_ns - plan.margin_ns, remaining_ns, plan.predict_ns(plan.rows)):
            left_ns = head.deadline_ns - now_ns - remaining_ns
            return admission.rows_in_time(plan, plan.rows, left_ns) == plan.rows
        look_ns = member.free_ns - int(admission.LEAD * self.objective_ns)
        if look_ns > now_ns:
            self._look_at(look_ns)
        return False

    def _is_better_left(self, member: Member, plan: Plan, head: Query, now_ns: int) -> bool:
        """Whether a replica is too slow for a query that another one can answer in time."""
        left_ns = admission.SURE * (head.deadline_ns - now_ns)
        return plan.predict_ns(1) > left_ns and any(
            other.remaining_ns(now_ns) + other.plan(self.objective_ns).predict_ns(1) <= left_ns
            for other in self._roster.up()
            if other is not member and not other.is_on_trial
        )

    def _send(self, member: Member, max_rows: int, now_ns: int) -> bool:
        queries, look_ns = self._queue.next_batch(now_ns, max_rows)
        if look_ns is not None:
            self._lingered_from_ns = self._lingered_from_ns or now_ns
            self._look_at(look_ns)
        if not queries:
            return False
        self._has_forecast = False
        lingered_from_ns, self._lingered_from_ns = self._lingered_from_ns or now_ns, 0
        self._carriage.send(member, self._fitting(queries), lingered_from_ns, now_ns)
        return True

    def _fitting(self, queries: list[Query]) -> list[Query]:
        """The first ones that fit into one message, at least one; the others wait again."""
        if len(queries) == 1 or sum([len(query.input) for query in queries]) <= self._limits.max_batch_bytes:
            return queries
        size = fitting = 0
        for query in queries:
            size += len(query.input)
            if fitting and size > self._limits.max_batch_bytes:
                break
            fitting += 1
        for query in queries[fitting:]:
            self._queue.put_back(query)
        return queries[:fitting]

    def _look_at(self, when_ns: int) -> None:
        if self._timer is None or when_ns < self._timer_ns:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_ns = when_ns
            self._timer = self._clock.call_at(when_ns, self._look)

    def _look(self) -> None:
        self._timer = None
        self._assign()

    def _queue_limits(self) -> dict[str, int]:
        batching = self.version.batching
        return {
            "max_waiting_rows": batching.max_queue_rows or self._limits.max_queue_rows,
            "linger_ns": batching.linger_ns,
        }
