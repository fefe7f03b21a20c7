"""One replica of a pool: whether it may be asked, for how much, and when it is looked at again.

Pure: it decides, the pool acts.

    state      may get queries  leaves it
    CHECKING   no, but queries  to UP when it describes itself as the right model, else to DOWN
               wait for it
    UP         yes              to CHECKING when it is lost, to DOWN when it is lost again before it answered
    DOWN       no               to CHECKING after a while: FIRST_WAIT, doubled each time up to LAST_WAIT

A replica that let the deadline of a batch pass, or was overtaken by a hedge, is on trial: it is asked only when no
other one is idle, one query at a time, until it answers. So a replica that hangs holds its own slots and next to
nothing else.

Among idle replicas the one is asked that has been given the least time of work. So a slow one gets fewer queries, in
proportion to its speed, and one that became faster is noticed.

How long a batch took is counted from when the replica was free for it: it was sent, or the batch before it came back.
How much later than forecast its answers were (see `margin`) is counted from when it should have been free, if the first
query of the batch came before that.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from clipper_frontend.admission import ADMITTED, SURE, Plan, Station, margin_within, target_ns
from clipper_frontend.batch_policies import BatchPolicy
from clipper_frontend.choice import Choice
from clipper_frontend.deadlines import Timer
from clipper_frontend.latency import LatencyCurve
from clipper_frontend.margin import Margin
from clipper_frontend.routes import Replica
from clipper_frontend.runtime import Description, Runtime

if TYPE_CHECKING:
    from clipper_frontend.transit import Attempt

FIRST_WAIT_NS = 100_000_000
LAST_WAIT_NS = 2_000_000_000


class State(Enum):
    """See the table above."""

    CHECKING = "checking"
    UP = "up"
    DOWN = "down"


class Member:
    """The state of one replica. `runtime` and `timer` are kept here for the pool."""

    __slots__ = (
        "_due_ns",
        "_is_unsure",
        "_last_rows",
        "_margin",
        "_objective_ns",
        "_plan",
        "_policy",
        "_replied_ns",
        "_row_limit",
        "_wait_ns",
        "attempts",
        "batches",
        "free_ns",
        "is_on_trial",
        "is_removed",
        "losses",
        "replica",
        "rows",
        "runtime",
        "served_ns",
        "state",
        "timeouts",
        "timer",
    )

    def __init__(self, replica: Replica, runtime: Runtime, policy: BatchPolicy) -> None:
        self.replica = replica
        self.runtime = runtime
        self.timer: Timer | None = None
        self.state = State.CHECKING
        self.attempts: list[Attempt] = []
        """The batches that it has."""
        self.free_ns = 0
        """When it should have computed all that it was given."""
        self.served_ns = 0
        """How much work it was given, in predicted time."""
        self.is_on_trial = False
        self.is_removed = False
        self.batches = self.rows = self.losses = self.timeouts = 0
        self._policy = policy
        self._plan: Plan | None = None
        self._objective_ns = 0
        self._row_limit = 0  # the model's own; 0: none
        self._wait_ns = 0  # the next wait; 0: not lost since it last answered
        self._replied_ns = 0
        self._due_ns = 0  # when what it was given last should be answered, as far as that was known then
        self._last_rows = 0
        self._margin = Margin()
        self._is_unsure = False  # whether it may be busy with what was taken back

    @property
    def is_idle(self) -> bool:
        """Whether it is up and has nothing to do."""
        return self.state is State.UP and not self.attempts

    def is_free(self, max_in_flight: int) -> bool:
        """Whether it may get one more batch."""
        return self.state is State.UP and len(self.attempts) < (1 if self.is_on_trial else max_in_flight)

    def busyness(self) -> tuple[bool, bool, int, int]:
        """Who is asked first among those that are free; those on trial after other idle ones."""
        return bool(self.attempts), self.is_on_trial, len(self.attempts), self.served_ns

    def plan(self, objective_ns: int) -> Plan:
        """What to reckon with until it answers again."""
        plan = self._plan
        if plan is None or objective_ns != self._objective_ns:
            plan = self._plan = self._new_plan(objective_ns)
            self._objective_ns = objective_ns
        return plan

    def _new_plan(self, objective_ns: int) -> Plan:
        curve = self._policy.curve
        fit = curve.fit()
        margin_ns = margin_within(objective_ns, self._margin.largest_ns)
        rows = self._policy.max_rows(target_ns(objective_ns - margin_ns, fit.predict_ns(1) if fit is not None else 0))
        if self._row_limit:
            rows = min(rows, self._row_limit)
        if self.is_on_trial:
            rows = 1
        if fit is None:
            return Plan(rows, 0, 0, is_known=False)
        if curve.knows_slope:
            return Plan(rows, fit.fixed_ns, fit.per_row_ns, margin_ns)
        return Plan(rows, fit.predict_ns(curve.large_rows), 0, margin_ns)  # all batches were alike

    def remaining_ns(self, now_ns: int) -> int:
        """How long what it has will still take. What is late is taken to need as long again."""
        return abs(self.free_ns - now_ns) if self.attempts else 0

    def has_room(self, rows: int, left_ns: int, objective_ns: int, now_ns: int) -> bool:
        """Whether it surely answers in time, even in a full batch, what is the last of `rows` and has `left_ns`."""
        plan = self.plan(objective_ns)
        return (
            rows <= plan.rows
            and plan.is_known
            and self.state is State.UP
            and not self.is_on_trial
            and self.remaining_ns(now_ns) + plan.predict_ns(plan.rows) / SURE
            <= min(ADMITTED * left_ns, left_ns - plan.margin_ns)
        )

    def station(self, objective_ns: int) -> Station:
        """What a forecast must know of it."""
        plan = self.plan(objective_ns)
        free_ns = self.free_ns if self.attempts else 0
        return Station(free_ns, plan.rows, plan.fixed_ns, plan.per_row_ns, plan.margin_ns, self._last_rows)

    def explain(self) -> Choice:
        """How large its batches are, and why."""
        return self._policy.explain()

    @property
    def curve(self) -> LatencyCurve:
        """What was learned of its latency."""
        return self._policy.curve

    def follow(self, policy: BatchPolicy) -> None:
        """Chooses by another policy from now on."""
        self._policy = policy
        self._plan = None

    def sent(self, attempt: Attempt, objective_ns: int, now_ns: int) -> None:
        """It got a batch."""
        rows = len(attempt.queries)
        expected_ns = attempt.expected_ns = self.plan(objective_ns).predict_ns(rows)
        attempt.is_measured = not self._is_unsure
        self._is_unsure = False
        first = attempt.queries[0]
        begin_ns = promised_ns = max(now_ns, self.free_ns) if self.attempts else now_ns
        if first.arrived_ns < self._replied_ns and not first.losses:  # it came while the batch before was computed
            promised_ns = min(begin_ns, self._due_ns)
        attempt.due_ns = promised_ns + expected_ns
        self._due_ns = self.free_ns = begin_ns + expected_ns
        self.served_ns += expected_ns + 1
        self.attempts.append(attempt)
        self.batches += 1
        self.rows += rows
        self._last_rows = rows

    def ended(self, attempt: Attempt, now_ns: int) -> None:
        """A batch came back, in whatever way."""
        self.attempts.remove(attempt)
        self.free_ns = now_ns
        for each in self.attempts:
            self.free_ns += each.expected_ns

    def answered(self, attempt: Attempt, now_ns: int, model_ns: int) -> None:
        """It answered a batch."""
        if self.is_on_trial:
            self.is_on_trial = False
            self._plan = None
        self._wait_ns = 0
        if attempt.is_measured:
            self._observe(attempt, now_ns, model_ns)
        self._replied_ns = now_ns

    def handed_on(self, attempt: Attempt, now_ns: int) -> None:
        """The answers of a batch are on their way to those who wait for them."""
        if self.curve.is_young:
            self._margin.forget()
        elif attempt.is_measured:
            self._margin.observe(now_ns - attempt.due_ns)

    def failed(self) -> None:
        """It answered that it could not compute a batch: it is up all the same."""
        self._wait_ns = 0

    def timed_out(self, attempt: Attempt, now_ns: int) -> None:
        """It did not answer a batch."""
        self.timeouts += 1
        self._goes_on_trial(attempt, now_ns)

    def overtaken(self, attempt: Attempt, now_ns: int) -> None:
        """Another one was asked for the same, and faster; the batch was taken back."""
        is_slow = now_ns > self.free_ns
        self.cancelled(attempt, now_ns)
        if is_slow:
            self._goes_on_trial(attempt, now_ns)

    def cancelled(self, attempt: Attempt, now_ns: int) -> None:
        """A batch was taken back. It may go on with it all the same for a while."""
        self.ended(attempt, now_ns)
        self._is_unsure = True

    def lost(self, *, was_refused: bool) -> int | None:
        """A batch came back undone. Returns after how many nanoseconds to check it; None: that is cared for."""
        self.losses += 1
        if self.is_removed or self.state is not State.UP:
            return None
        if not self._wait_ns and not was_refused:
            self._wait_ns = FIRST_WAIT_NS
            self.state = State.CHECKING
            return 0
        return self.down()

    def up(self, description: Description, served_ns: int) -> None:
        """It described itself as expected. `served_ns`: how much work the others have been given."""
        self.state = State.UP
        self.served_ns = max(self.served_ns, served_ns)
        if description.max_batch_rows != self._row_limit:
            self._row_limit = description.max_batch_rows
            self._plan = None

    def down(self) -> int:
        """It takes no work. Returns after how many nanoseconds to check it again."""
        wait_ns = max(self._wait_ns, FIRST_WAIT_NS)
        self._wait_ns = min(2 * wait_ns, LAST_WAIT_NS)
        self.state = State.DOWN
        return wait_ns

    def _goes_on_trial(self, attempt: Attempt, now_ns: int) -> None:
        self.is_on_trial = True
        if attempt.is_measured:  # at least so long
            self._observe(attempt, now_ns, 0)
        self._plan = None

    def _observe(self, attempt: Attempt, now_ns: int, model_ns: int) -> None:
        from_ns = max(attempt.batch.sent_ns, self._replied_ns)
        self._policy.observe(len(attempt.queries), max(now_ns - from_ns, model_ns))
        self._plan = None
