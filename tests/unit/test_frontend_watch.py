"""Following the configuration, ids in ranges, and this process in the list of instances."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from engine_fakes import FakeSleeps
from peers import application, model, replica, version
from peers import key_of as message_key

from clipper.registry.v1.registry_pb2 import Delta, Entity, EntityKey, ReplicaKey, Snapshot, WatchResponse
from clipper.v1 import admin_pb2, values_pb2
from clipper_frontend.backoff import Backoff
from clipper_frontend.convert import entity_from, key_from
from clipper_frontend.instance import Lease, Registration
from clipper_frontend.query_ids import QueryIds
from clipper_frontend.routes import Application, Batching, Link, Model, Replica, RouteTable, Version, key_of
from clipper_frontend.watch import Watch
from clipper_rpc.errors import LeaseEnded, StoreUnavailable

AWAY = StoreUnavailable(problem="away")


async def settled() -> None:
    """Lets all tasks run until they wait."""
    for _ in range(20):
        await asyncio.sleep(0)


@asynccontextmanager
async def running(*coroutines: object) -> AsyncIterator[None]:
    """Runs endless coroutines while the block does."""
    tasks = [asyncio.ensure_future(each) for each in coroutines]  # type: ignore[call-overload]
    await settled()
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(result, asyncio.CancelledError) for result in results), results


# From messages to values


def test_entities_come_over_as_they_are() -> None:
    message = application("app", "sum", objective_ms=50)
    message.application.links[0].weight = 2.5
    assert entity_from(message) == Application(
        "app", 4, 50_000_000, values_pb2.Output(string="-1").SerializeToString(), (Link("sum", 2.5),)
    )
    assert entity_from(model("sum", "2")) == Model("sum", "2")
    assert entity_from(replica("sum", "a:1", replica_id=3)) == Replica("sum", "1", 3, "a:1")
    with_batching = version("sum", max_batch_rows=8, max_queue_rows=9, max_batches_in_flight=2, no_retry=True)
    with_batching.model_version.no_cache = True
    with_batching.model_version.batching.linger.FromMilliseconds(5)
    assert entity_from(with_batching) == Version(
        "sum", "1", "uid-sum-1", 4, Batching(8, 5_000_000, 9, 2, True), no_cache=True
    )


def test_an_application_without_default_output_has_none_and_an_empty_output_is_one() -> None:
    without = entity_from(application("app", default=None))
    empty = admin_pb2.Application(name="app", default_output=values_pb2.Output())
    with_empty = entity_from(Entity(application=empty))
    assert isinstance(without, Application)
    assert isinstance(with_empty, Application)
    assert without.default_output is None
    assert with_empty.default_output == b""


@pytest.mark.parametrize("message", [application("app"), model("sum"), version("sum"), replica("sum", "a:1")])
def test_the_key_of_an_entity_is_the_same_on_both_sides(message: Entity) -> None:
    entity = entity_from(message)
    assert entity is not None
    assert key_from(message_key(message)) == key_of(entity)


def test_kinds_of_a_newer_manager_are_passed_over() -> None:
    assert entity_from(Entity()) is None
    assert key_from(EntityKey()) is None


# Watch


class FakeSource:
    """A registry whose stream a test feeds: responses, or an error that ends it; None ends it without."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []
        self.feed: asyncio.Queue[WatchResponse | Exception | None] = asyncio.Queue()

    async def watch(self, epoch: str, revision: int) -> AsyncIterator[WatchResponse]:
        self.asked.append((epoch, revision))
        while True:
            match await self.feed.get():
                case None:
                    return
                case Exception() as error:
                    raise error
                case response:
                    yield response

    def snapshot(self, revision: int, *entities: Entity, epoch: str = "e1") -> None:
        self.feed.put_nowait(WatchResponse(epoch=epoch, revision=revision, snapshot=Snapshot(entities=entities)))

    def delta(self, revision: int, *put: Entity, deleted: tuple[EntityKey, ...] = (), epoch: str = "e1") -> None:
        delta = Delta(put=put, deleted=deleted)
        self.feed.put_nowait(WatchResponse(epoch=epoch, revision=revision, delta=delta))


class Following:
    def __init__(self) -> None:
        self.source, self.sleeps = FakeSource(), FakeSleeps()
        self.tables: list[RouteTable] = []
        self.watch = Watch(self.source, self.tables.append, self.sleeps)


async def test_a_snapshot_and_then_each_change_makes_a_table() -> None:
    f = Following()
    async with running(f.watch.run()):
        assert not f.watch.has_table.is_set()
        f.source.snapshot(5, application("app", "sum"), model("sum"), version("sum"))
        f.source.delta(6, replica("sum", "a:1"))
        f.source.delta(7, deleted=(EntityKey(application="app"),))
        await settled()
    assert f.watch.has_table.is_set()
    assert [set(table.routes) for table in f.tables] == [{"app"}, {"app"}, set()]
    assert [len(table.groups["uid-sum-1"].replicas) for table in f.tables] == [0, 1, 1]


async def test_an_empty_configuration_is_one_too() -> None:
    f = Following()
    async with running(f.watch.run()):
        f.source.snapshot(0)
        await settled()
        assert f.watch.has_table.is_set()


@pytest.mark.parametrize("end", [AWAY, None])
async def test_a_stream_that_breaks_is_resumed_where_it_was_and_the_table_stays(end: Exception | None) -> None:
    f = Following()
    async with running(f.watch.run()):
        f.source.snapshot(5, application("app"))
        f.source.delta(6, application("other"))
        f.source.feed.put_nowait(end)
        await settled()
        assert f.source.asked == [("", 0)]
        assert len(f.tables) == 2
        f.sleeps.wake()
        await settled()
        assert f.source.asked == [("", 0), ("e1", 6)]
        f.source.delta(7, application("third"))
        await settled()
    assert set(f.tables[-1].routes) == {"app", "other", "third"}


async def test_while_no_manager_answers_the_waits_grow_and_when_one_does_they_are_short_again() -> None:
    f = Following()
    async with running(f.watch.run()):
        for _ in range(8):
            f.source.feed.put_nowait(AWAY)
            await settled()
            f.sleeps.wake()
            await settled()
        f.source.snapshot(1)
        f.source.feed.put_nowait(AWAY)
        await settled()
    waits_ms = [wait / 1e6 for wait in f.sleeps.waits_ns]
    assert 50 <= waits_ms[0] <= 100
    assert 1000 <= waits_ms[7] <= 2000
    assert 50 <= waits_ms[8] <= 100


async def test_a_snapshot_of_another_history_replaces_everything() -> None:
    f = Following()
    async with running(f.watch.run()):
        f.source.snapshot(50, application("app"))
        f.source.snapshot(2, application("new"), epoch="e2")
        f.source.delta(3, application("newer"), epoch="e2")
        await settled()
    assert set(f.tables[-1].routes) == {"new", "newer"}


async def test_changes_without_their_snapshot_are_not_taken_and_a_snapshot_is_asked_for() -> None:
    f = Following()
    async with running(f.watch.run()):
        f.source.snapshot(5, application("app"))
        f.source.delta(6, application("stray"), epoch="e2")
        await settled()
        f.sleeps.wake()
        await settled()
    assert f.source.asked == [("", 0), ("", 0)]
    assert [set(table.routes) for table in f.tables] == [{"app"}]


async def test_a_replica_that_is_deleted_is_gone() -> None:
    f = Following()
    async with running(f.watch.run()):
        f.source.snapshot(1, version("sum"), replica("sum", "a:1"), replica("sum", "b:1", replica_id=1))
        f.source.delta(2, deleted=(EntityKey(replica=ReplicaKey(model="sum", version="1", replica_id=0)),))
        await settled()
    assert f.tables[-1].groups["uid-sum-1"].replicas == {Replica("sum", "1", 1, "b:1")}


# Query ids


class Ranges:
    """Hands out ranges of ids; `away` makes it fail."""

    def __init__(self, size: int) -> None:
        self.size, self.given, self.away = size, 0, False

    async def __call__(self) -> tuple[int, int]:
        if self.away:
            raise AWAY
        self.given += 1
        return 1 + (self.given - 1) * self.size, self.size


async def test_ids_go_on_from_range_to_range_and_none_is_given_twice() -> None:
    ranges = Ranges(10)
    ids = QueryIds(ranges, FakeSleeps())
    async with running(ids.run()):
        assert ids.has_ids.is_set()
        taken = []
        for _ in range(35):
            taken.append(ids.take())
            await settled()
    assert taken == list(range(1, 36))
    assert ranges.given == 4


async def test_the_next_range_is_reserved_when_half_of_the_current_one_is_used() -> None:
    ranges = Ranges(10)
    ids = QueryIds(ranges, FakeSleeps())
    async with running(ids.run()):
        for taken in range(1, 10):
            assert ids.take() == taken
            await settled()
            assert ranges.given == (1 if taken <= 5 else 2)


async def test_a_manager_that_is_away_is_not_missed_until_all_ids_are_used() -> None:
    ranges, sleeps = Ranges(10), FakeSleeps()
    ids = QueryIds(ranges, sleeps)
    async with running(ids.run()):
        ranges.away = True
        assert [ids.take() for _ in range(10)] == list(range(1, 11))
        await settled()
        with pytest.raises(StoreUnavailable, match="query ids"):
            ids.take()
        ranges.away = False
        sleeps.wake()
        await settled()
        assert ids.take() == 11


async def test_before_the_first_range_there_are_no_ids() -> None:
    ids = QueryIds(Ranges(10), FakeSleeps())
    assert not ids.has_ids.is_set()
    with pytest.raises(StoreUnavailable):
        ids.take()


# This process in the list of instances


class FakeRegistry:
    def __init__(self) -> None:
        self.leases: list[str] = []
        self.renewed: list[str] = []
        self.ended: list[str] = []
        self.instances: list[tuple[str, str]] = []
        self.error: Exception | None = None

    def _check(self) -> None:
        if self.error is not None:
            raise self.error

    async def register(self, instance_id: str, address: str, build: str, started_ns: int) -> Lease:
        self._check()
        assert build
        assert started_ns > 10**18
        self.instances.append((instance_id, address))
        self.leases.append(f"lease-{len(self.leases)}")
        return Lease(self.leases[-1], 9_000_000_000)

    async def renew(self, lease_id: str) -> None:
        self._check()
        if lease_id != self.leases[-1]:
            raise LeaseEnded
        self.renewed.append(lease_id)

    async def end(self, lease_id: str) -> None:
        self._check()
        self.ended.append(lease_id)


async def test_the_lease_is_renewed_after_a_third_of_its_time_and_ended_at_the_end() -> None:
    registry, sleeps = FakeRegistry(), FakeSleeps()
    registration = Registration(registry, "host:7000", "0.1.0", sleeps)
    async with running(registration.run()):
        for _ in range(3):
            sleeps.wake()
            await settled()
    await registration.end()
    assert registry.renewed == ["lease-0"] * 3
    assert set(sleeps.waits_ns) == {3_000_000_000}
    assert registry.ended == ["lease-0"]


async def test_a_lease_that_has_ended_is_replaced_under_the_same_instance() -> None:
    registry, sleeps = FakeRegistry(), FakeSleeps()
    async with running(Registration(registry, "host:7000", "0.1.0", sleeps).run()):
        registry.leases.append("of somebody else")
        sleeps.wake()
        await settled()
    assert len(set(registry.instances)) == 1
    assert len(registry.instances) == 2


async def test_while_no_manager_answers_it_tries_again_and_ending_is_no_error() -> None:
    registry, sleeps = FakeRegistry(), FakeSleeps()
    registry.error = AWAY
    registration = Registration(registry, "host:7000", "0.1.0", sleeps)
    async with running(registration.run()):
        assert len(sleeps.waits_ns) == 1
        registry.error = None
        sleeps.wake()
        await settled()
        assert registry.leases == ["lease-0"]
        registry.error = AWAY
    await registration.end()
    assert registry.ended == []


def test_waits_double_up_to_a_limit_and_no_two_processes_wait_alike() -> None:
    backoff = Backoff(first_ns=100, last_ns=400)
    waits = [backoff.wait_ns() for _ in range(5)]
    for wait, full in zip(waits, [100, 200, 400, 400, 400], strict=True):
        assert full // 2 <= wait <= full
    backoff.reset()
    assert backoff.wait_ns() <= 100
    assert len({Backoff(first_ns=10**9).wait_ns() for _ in range(20)}) > 15
