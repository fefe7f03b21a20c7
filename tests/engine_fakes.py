"""Fakes that follow the rules of what they stand for: a clock that only the test moves, replicas, calls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count

from clipper_frontend.routes import Replica, Version
from clipper_frontend.runtime import Answer, Description, Failure, Lost, Predictions, TimedOut
from clipper_frontend.selection.records import StateKey
from clipper_rpc.errors import ClipperError
from clipper_rpc.transport import Metadata, Status
from clipper_selection import Policy, State

MS = 1_000_000


class FakeTimer:
    """A timer of the fake clock."""

    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self.callback = None


class FakeClock:
    """Time moves only when the test moves it. What is due happens in order, each with what it sets off."""

    def __init__(self, now_ns: int = 1_000_000_000) -> None:
        self.ns = now_ns
        self._numbers = count()
        self._timers: list[tuple[int, int, FakeTimer]] = []
        self._soon: list[Callable[[], None]] = []

    def now_ns(self) -> int:
        return self.ns

    def call_at(self, when_ns: int, callback: Callable[[], None]) -> FakeTimer:
        timer = FakeTimer(callback)
        heappush(self._timers, (when_ns, next(self._numbers), timer))
        return timer

    def call_soon(self, callback: Callable[[], None]) -> None:
        self._soon.append(callback)

    def settle(self) -> None:
        """Lets everything happen that happens now."""
        while self._soon or (self._timers and self._timers[0][0] <= self.ns):
            while self._soon:
                self._soon.pop(0)()
            if self._timers and self._timers[0][0] <= self.ns:
                callback = heappop(self._timers)[2].callback
                if callback is not None:
                    callback()

    def advance(self, by_ns: int) -> None:
        """Moves time, stopping wherever something is due."""
        until_ns = self.ns + by_ns
        self.settle()
        while self._timers and self._timers[0][0] <= until_ns:
            self.ns = max(self.ns, self._timers[0][0])
            self.settle()
        self.ns = until_ns
        self.settle()

    @property
    def pending_timers(self) -> int:
        """How many timers would still fire."""
        return sum(timer.callback is not None for _, _, timer in self._timers)


class FakeSleeps:
    """Sleeps that end when the test says so, and a record of them."""

    def __init__(self) -> None:
        self.waits_ns: list[int] = []
        self._wakers: list[asyncio.Future[None]] = []

    async def __call__(self, wait_ns: int) -> None:
        self.waits_ns.append(wait_ns)
        waker = asyncio.get_running_loop().create_future()
        self._wakers.append(waker)
        await waker

    def wake(self) -> None:
        """Ends all sleeps."""
        for waker in self._wakers:
            if not waker.done():
                waker.set_result(None)
        self._wakers.clear()


@dataclass
class SentBatch:
    """A batch that a fake replica has, to be answered by the test."""

    inputs: list[bytes]
    deadline_ns: int
    done: Callable[[Answer], None]
    is_open: bool = True
    is_cancelled: bool = False

    def cancel(self) -> None:
        """Nobody waits any more: it can not be answered then."""
        self.is_open = False
        self.is_cancelled = True

    def answer(self, answer: Answer | None = None) -> None:
        """Answers it, by default with each input as its own output."""
        assert self.is_open
        self.is_open = False
        self.done(Predictions(list(self.inputs), model_us=5) if answer is None else answer)

    def lose(self, problem: str = "connection closed", *, was_refused: bool = False) -> None:
        self.answer(Lost(problem, was_refused=was_refused))

    def time_out(self) -> None:
        self.answer(TimedOut())

    def fail(self, problem: str = "broken") -> None:
        self.answer(Failure("ValueError", problem))


class FakeReplica:
    """A runtime.Runtime: keeps what it is sent until the test answers; checks are answered as `is_up` says."""

    def __init__(self, clock: FakeClock, *, is_up: bool = True) -> None:
        self.is_up = is_up
        self.is_checked_by_test = False
        self.max_batch_rows = 0
        self.batches: list[SentBatch] = []
        self.checks = 0
        self.is_closed = False
        self.held_checks: list[Callable[[Description | Lost], None]] = []
        self._clock = clock

    @property
    def open(self) -> list[SentBatch]:
        """The batches that wait for an answer."""
        return [batch for batch in self.batches if batch.is_open]

    @property
    def sizes(self) -> list[int]:
        return [len(batch.inputs) for batch in self.batches]

    @property
    def inputs(self) -> list[bytes]:
        return [value for batch in self.batches for value in batch.inputs]

    def predict(
        self, inputs: Sequence[bytes], deadline_ns: int, done: Callable[[Answer], None], metadata: Metadata = ()
    ) -> SentBatch:
        assert not self.is_closed
        batch = SentBatch(list(inputs), deadline_ns, done)
        self.batches.append(batch)
        return batch

    def describe(self, deadline_ns: int, done: Callable[[Description | Lost], None]) -> None:
        assert not self.is_closed
        self.checks += 1
        if self.is_checked_by_test:
            self.held_checks.append(done)
        else:
            self._clock.call_soon(lambda: done(self.description()))

    def description(self) -> Description | Lost:
        return Description(self.max_batch_rows) if self.is_up else Lost("connection refused")

    def close(self) -> None:
        self.is_closed = True


@dataclass
class FakeCluster:
    """Makes fake replicas by address."""

    clock: FakeClock
    replicas: dict[str, FakeReplica] = field(default_factory=dict)
    """The last one at each address."""
    connected: list[str] = field(default_factory=list)
    everyone: list[FakeReplica] = field(default_factory=list)
    """Each one that was connected to: a connection has its own, also when another one to its address is still there."""

    def __getitem__(self, address: str) -> FakeReplica:
        if address not in self.replicas or self.replicas[address].is_closed:
            self.replicas[address] = FakeReplica(self.clock)
        return self.replicas[address]

    def connect(self, _version: Version, replica: Replica) -> FakeReplica:
        self.connected.append(replica.address)
        found = self[replica.address]
        if found in self.everyone:
            found = self.replicas[replica.address] = FakeReplica(self.clock, is_up=found.is_up)
        self.everyone.append(found)
        return found


class NoStates:
    """States where nobody has learned anything."""

    def state(self, key: StateKey, policy: Policy) -> State:
        return {}


class FakeCall:
    """A transport.UnaryCall."""

    def __init__(self, payload: bytes = b"", *, deadline_ns: int | None = None, method: str = "/test/Call") -> None:
        self.payload = payload
        self.deadline_ns = deadline_ns
        self.method = method
        self.metadata: Metadata = ()
        self.on_leave: Callable[[], object] | None = None
        self.replies: list[bytes] = []
        self.errors: list[ClipperError | Status] = []

    @property
    def answers(self) -> int:
        return len(self.replies) + len(self.errors)

    def reply(self, payload: bytes, trailing: Metadata = ()) -> None:
        self.replies.append(payload)

    def fail(self, error: ClipperError | Status) -> None:
        self.errors.append(error)

    def leave(self) -> None:
        """The caller leaves: the handler is told unless it has answered."""
        if not self.answers and self.on_leave is not None:
            self.on_leave()
