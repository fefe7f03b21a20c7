"""One replica of a pool: whether it may be asked, for how much, and when it is looked at again.

Pure: it decides, the pool acts.

    state      may get queries  leaves it
    CHECKING   no, but queries  to UP when it describes itself as the right model, else to DOWN
               wait for it
    UP         yes              to CHECKING when it is lost, to DOWN when it is lost again before it answered
    DOWN       no               to CHECKING after a while: FIRST_WAIT, doubled each time up to LAST_WAIT

A replica that let the deadline of a batch pass is on trial: it is asked only when no other one is idle, one query at a
time, until it answers. So a replica that hangs holds its own slots and next to nothing else.
"""

from __future__ import annotations

from enum import Enum

from clipper_frontend.batch_policies import BatchPolicy
from clipper_frontend.deadlines import Timer
from clipper_frontend.routes import Replica
from clipper_frontend.runtime import Description, Runtime

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
        "_policy",
        "_row_limit",
        "_wait_ns",
        "batches_sent",
        "in_flight",
        "is_on_trial",
        "is_removed",
        "replica",
        "runtime",
        "state",
        "timer",
    )

    def __init__(self, replica: Replica, runtime: Runtime, policy: BatchPolicy) -> None:
        self.replica = replica
        self.runtime = runtime
        self.timer: Timer | None = None
        self.state = State.CHECKING
        self.in_flight = 0
        self.batches_sent = 0
        self.is_on_trial = False
        self.is_removed = False
        self._policy = policy
        self._row_limit = 0  # the model's own; 0: none
        self._wait_ns = 0  # the next wait; 0: not lost since it last answered

    def is_free(self, max_in_flight: int) -> bool:
        """Whether it may get one more batch."""
        return self.state is State.UP and self.in_flight < (1 if self.is_on_trial else max_in_flight)

    def busyness(self) -> tuple[bool, bool, int, int]:
        """Who is asked first among those that are free: the least, those on trial after other idle ones."""
        return self.in_flight > 0, self.is_on_trial, self.in_flight, self.batches_sent

    def max_rows(self) -> int:
        """The largest batch for it now."""
        if self.is_on_trial:
            return 1
        rows = self._policy.max_rows()
        return min(rows, self._row_limit) if self._row_limit else rows

    def follow(self, policy: BatchPolicy) -> None:
        """Chooses by another policy from now on."""
        self._policy = policy

    def sent(self) -> None:
        """It got a batch."""
        self.in_flight += 1
        self.batches_sent += 1

    def answered(self, rows: int, elapsed_ns: int) -> None:
        """It answered a batch."""
        self.is_on_trial = False
        self._wait_ns = 0
        self._policy.observe(rows, elapsed_ns)

    def failed(self) -> None:
        """It answered that it could not compute a batch: it is up all the same."""
        self._wait_ns = 0

    def timed_out(self) -> None:
        """It let the deadline of a batch pass."""
        self.is_on_trial = True

    def lost(self, *, was_refused: bool) -> int | None:
        """A batch came back undone. Returns after how many nanoseconds to check it; None: that is cared for."""
        if self.is_removed or self.state is not State.UP:
            return None
        if not self._wait_ns and not was_refused:
            self._wait_ns = FIRST_WAIT_NS
            self.state = State.CHECKING
            return 0
        return self.down()

    def up(self, description: Description) -> None:
        """It described itself as expected."""
        self.state = State.UP
        self._row_limit = description.max_batch_rows

    def down(self) -> int:
        """It takes no work. Returns after how many nanoseconds to check it again."""
        wait_ns = max(self._wait_ns, FIRST_WAIT_NS)
        self._wait_ns = min(2 * wait_ns, LAST_WAIT_NS)
        self.state = State.DOWN
        return wait_ns
