"""The lease keeper, step by step, without a thread and without a manager; its thread, without a wire."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import pytest

from clipper_rpc.errors import Cancelled, ClipperError, LeaseEnded, StoreUnavailable, VersionNotFound
from clipper_runtime import InputType
from clipper_runtime.client import Lease, Replica
from clipper_runtime.lease import LeaseKeeper

REPLICA = Replica("m", "1", InputType.DOUBLES, "127.0.0.1:1", "here:1", "test")
TTL_S = 9.0


class FakeRegistry:
    """A manager that answers as it is told; notes what it was asked."""

    def __init__(self) -> None:
        self.address = "manager:1"
        self.asked: list[str] = []
        self.errors: list[Exception | None] = []
        self.happened = threading.Condition()
        self.hangs: threading.Event | None = None
        """Calls hang until they are cancelled."""
        self.takes_s = 0.0
        """How long calls take, unless they are cancelled."""
        self._cancelled = threading.Event()
        self._count = 0

    def register(self, replica: Replica) -> Lease:
        assert replica == REPLICA
        self._answer("register")
        self._count += 1
        return Lease(f"lease-{self._count}", TTL_S, self._count - 1)

    def renew(self, lease: Lease) -> Lease:
        self._answer(f"renew {lease.lease_id}")
        return lease

    def end(self, lease: Lease, timeout_s: float) -> None:
        self._answer(f"end {lease.lease_id}")

    def switch(self) -> None:
        self._answer("switch", is_call=False)

    def cancel(self) -> None:
        self._cancelled.set()
        if self.hangs is not None:
            self.hangs.set()

    def close(self) -> None:
        self._answer("close", is_call=False)

    def _answer(self, what: str, *, is_call: bool = True) -> None:
        with self.happened:
            self.asked.append(what)
            self.happened.notify_all()
        if is_call and self.hangs is not None and not what.startswith("end"):
            self.hangs.wait(20)
            raise Cancelled
        if is_call and self.takes_s and self._cancelled.wait(self.takes_s):
            raise Cancelled
        if is_call and self.errors:
            error = self.errors.pop(0)
            if error is not None:
                raise error

    def wait_for(self, condition: Callable[[], bool]) -> None:
        with self.happened:
            assert self.happened.wait_for(condition, 20)


@pytest.fixture
def registry() -> FakeRegistry:
    return FakeRegistry()


def unavailable() -> ClipperError:
    return StoreUnavailable(problem="away")


def test_it_registers_and_renews_every_third_of_the_term(registry: FakeRegistry) -> None:
    keeper = LeaseKeeper(registry, REPLICA)
    assert keeper.step() == TTL_S / 3
    assert keeper.lease == Lease("lease-1", TTL_S, 0)
    assert [keeper.step(), keeper.step()] == [TTL_S / 3] * 2
    assert registry.asked == ["register", "renew lease-1", "renew lease-1"]


def test_a_lease_that_has_ended_is_followed_by_a_new_one_at_once(registry: FakeRegistry) -> None:
    registry.errors = [None, LeaseEnded()]
    keeper = LeaseKeeper(registry, REPLICA)
    keeper.step()
    assert keeper.step() == 0.0
    assert keeper.lease is None
    assert keeper.step() == TTL_S / 3
    assert keeper.lease == Lease("lease-2", TTL_S, 1)


def test_while_no_manager_answers_it_goes_from_one_to_the_next_with_growing_pauses(registry: FakeRegistry) -> None:
    registry.errors = [unavailable() for _ in range(12)]
    keeper = LeaseKeeper(registry, REPLICA)
    pauses = [keeper.step() for _ in range(12)]
    assert registry.asked == ["register", "switch"] * 12
    assert 0.05 <= pauses[0] <= 0.1
    assert all(1.0 <= pause <= 2.0 for pause in pauses[5:])
    assert keeper.step() == TTL_S / 3


def test_a_lease_is_kept_while_no_manager_answers(registry: FakeRegistry) -> None:
    registry.errors = [None, unavailable(), unavailable(), None]
    keeper = LeaseKeeper(registry, REPLICA)
    for _ in range(4):
        keeper.step()
    assert registry.asked == ["register", "renew lease-1", "switch", "renew lease-1", "switch", "renew lease-1"]


def test_a_refusal_is_tried_again_at_the_same_manager(registry: FakeRegistry) -> None:
    """The version may not be registered yet."""
    registry.errors = [VersionNotFound(model="m", version="1")]
    keeper = LeaseKeeper(registry, REPLICA)
    assert 0.0 < keeper.step() <= 0.1
    assert keeper.step() == TTL_S / 3
    assert registry.asked == ["register", "register"]


def test_an_unforeseen_error_does_not_get_out(registry: FakeRegistry, caplog: pytest.LogCaptureFixture) -> None:
    registry.errors = [RuntimeError("surprise")]
    keeper = LeaseKeeper(registry, REPLICA)
    assert 0.0 < keeper.step() <= 0.1
    assert keeper.step() == TTL_S / 3
    assert "lease_failed" in caplog.text


def test_an_outage_is_told_once_and_so_is_its_end(registry: FakeRegistry, caplog: pytest.LogCaptureFixture) -> None:
    registry.errors = [unavailable(), unavailable(), unavailable()]
    keeper = LeaseKeeper(registry, REPLICA)
    with caplog.at_level(logging.INFO):
        for _ in range(5):
            keeper.step()
    assert [record.message for record in caplog.records] == [
        "registering_failed",
        "registered",
        "manager_answers_again",
    ]


def test_stopping_gives_the_lease_back(registry: FakeRegistry) -> None:
    keeper = LeaseKeeper(registry, REPLICA)
    keeper.start()
    registry.wait_for(lambda: "register" in registry.asked)
    keeper.stop(20)
    assert registry.asked == ["register", "end lease-1", "close"]
    assert keeper.lease is None


def test_stopping_ends_a_call_that_hangs(registry: FakeRegistry) -> None:
    registry.hangs = threading.Event()
    keeper = LeaseKeeper(registry, REPLICA)
    keeper.start()
    registry.wait_for(lambda: "register" in registry.asked)
    keeper.stop(0.05)
    assert registry.asked == ["register", "close"], "there is no lease to give back"


def test_a_manager_that_is_away_at_the_end_does_not_matter(registry: FakeRegistry) -> None:
    registry.errors = [None, unavailable()]
    keeper = LeaseKeeper(registry, REPLICA)
    keeper.start()
    registry.wait_for(lambda: "register" in registry.asked)
    keeper.stop(20)
    assert registry.asked == ["register", "end lease-1", "close"]


def test_stopping_waits_for_a_registration_that_is_under_way_and_gives_it_back(registry: FakeRegistry) -> None:
    registry.takes_s = 0.2
    keeper = LeaseKeeper(registry, REPLICA)
    keeper.start()
    registry.wait_for(lambda: "register" in registry.asked)
    keeper.stop(20)
    assert registry.asked == ["register", "end lease-1", "close"]
