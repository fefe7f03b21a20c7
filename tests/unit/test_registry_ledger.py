"""The use cases over a store that others change, that goes away and that loses its memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from clipper_manager.feed import Feed, Step, Whole
from clipper_manager.ledger import Ledger
from clipper_manager.pages import PageRequest
from clipper_manager.registry import Registry
from clipper_manager.resources import (
    Application,
    InputType,
    Instance,
    InstanceKind,
    ModelVersion,
    Replica,
    VersionState,
)
from clipper_manager.store import Position
from clipper_rpc.errors import (
    ApplicationExists,
    ApplicationNotFound,
    InternalError,
    InvalidField,
    LeaseEnded,
    ModelNotFound,
    ReplicaUnhealthy,
    Stopping,
    StoreInterrupted,
    StoreUnavailable,
    VersionNotFound,
)
from fakes import FakeStore

DOUBLES = InputType.DOUBLES


class Checker:
    """A replica checker that says what it is told to."""

    def __init__(self) -> None:
        self.problem: str | None = None
        self.asked: list[tuple[str, str, str]] = []

    async def check(self, model: str, version: str, address: str) -> str | None:
        self.asked.append((model, version, address))
        return self.problem


class Manager:
    """A manager without a wire."""

    def __init__(self, store: FakeStore, history: int = 100) -> None:
        self.checker = Checker()
        self.feed = Feed(store, history=history)
        self.registry = Registry(store, Ledger(store, self.feed), self.checker, now_ns=lambda: 42)


@asynccontextmanager
async def running(store: FakeStore, *, history: int = 100) -> AsyncIterator[Manager]:
    manager = Manager(store, history)
    feeding = asyncio.ensure_future(manager.feed.run())
    try:
        if not store.is_away:
            await manager.feed.connected()
        yield manager
    finally:
        feeding.cancel()
        await asyncio.wait((feeding,))


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
async def manager(store: FakeStore) -> AsyncIterator[Manager]:
    async with running(store) as manager:
        yield manager


@pytest.fixture
async def registry(manager: Manager) -> Registry:
    return manager.registry


@pytest.fixture
async def two(store: FakeStore) -> AsyncIterator[tuple[Registry, Registry]]:
    async with AsyncExitStack() as stack:
        one, other = [await stack.enter_async_context(running(store)) for _ in range(2)]
        yield one.registry, other.registry


def application(name: str) -> Application:
    return Application(name, DOUBLES)


def version(name: str, model: str = "m") -> ModelVersion:
    return ModelVersion(model, name, DOUBLES)


def replica(address: str = "h:1", name: str = "1") -> Replica:
    return Replica("m", name, 0, address, DOUBLES, "")


def instance(name: str = "f") -> Instance:
    return Instance(InstanceKind.FRONTEND, name, "h:1", "")


async def taken(steps: AsyncIterator[Whole | Step], count: int) -> list[Whole | Step]:
    async with asyncio.timeout(10):
        return [await anext(steps) for _ in range(count)]


async def test_a_change_is_seen_by_the_next_read(registry: Registry) -> None:
    created = await registry.create_application(application("a"))
    assert created == Application("a", DOUBLES, create_time_ns=42, revision=1, selection_generation=1)
    assert await registry.application("a") == created


async def test_a_version_gets_an_id_and_an_age(registry: Registry) -> None:
    first = await registry.create_version(version("1"), activate=True)
    assert first.state is VersionState.ACTIVE
    assert first.create_time_ns == 42
    await registry.delete_version("m", "1", force=False)
    again = await registry.create_version(version("1"), activate=True)
    assert again.uid
    assert again.uid != first.uid


async def test_a_value_that_is_not_valid_gets_nowhere(registry: Registry, store: FakeStore) -> None:
    for call in (
        registry.create_application(application("A")),
        registry.create_version(version("1", "M"), activate=False),
        registry.register_replica(replica("nowhere")),
        registry.register_instance(instance("")),
        registry.link_model("a", "m", -1),
        registry.renew_lease(""),
    ):
        with pytest.raises(InvalidField):
            await call
    assert (await store.load()).position.revision == 0


async def test_changes_of_two_managers_all_take_effect(two: tuple[Registry, Registry], store: FakeStore) -> None:
    async with asyncio.TaskGroup() as tasks:
        for number in range(100):
            tasks.create_task(two[number % 2].create_application(application(f"a{number}")))
    assert (await store.load()).position.revision == 100
    for each in two:
        assert len((await each.applications(PageRequest(1000))).items) == 100


async def test_of_two_equal_changes_at_two_managers_one_is_refused(two: tuple[Registry, Registry]) -> None:
    outcomes = await asyncio.gather(
        *(each.create_application(application("a")) for each in two), return_exceptions=True
    )
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Application", "ApplicationExists"]


async def test_what_one_manager_did_is_known_to_the_next_that_is_asked(two: tuple[Registry, Registry]) -> None:
    one, other = two
    for number in range(20):
        name = f"a{number}"
        await one.create_application(application(name))
        assert (await other.application(name)).name == name  # not refused for what its mirror lacks
        await other.delete_application(name)
        await one.create_application(application(name))
        with pytest.raises(ApplicationExists):
            await other.create_application(application(name))


async def test_a_change_that_changes_nothing_is_made_sure_of_too(
    two: tuple[Registry, Registry], store: FakeStore
) -> None:
    one, other = two
    await one.create_version(version("1"), activate=True)
    await one.create_version(version("2"), activate=False)
    await other.version("m", "2")
    store.hold_stream(True)
    await one.activate_version("m", "2")
    activating = asyncio.ensure_future(other.activate_version("m", "1"))  # there, it is still the current one
    await asyncio.sleep(0)
    store.hold_stream(False)
    assert (await activating).model.current_version == "1"
    assert (await store.load()).position.revision == 4


async def test_while_the_store_is_away_reads_go_on_and_changes_are_refused(manager: Manager, store: FakeStore) -> None:
    registry = manager.registry
    await registry.create_application(application("a"))
    await registry.create_version(version("1"), activate=True)
    lease = (await registry.register_instance(instance())).lease_id
    store.go_away()
    for call in (
        registry.create_application(application("b")),
        registry.delete_application("missing"),
        registry.link_model("a", "m", 1),
        registry.renew_lease(lease),
        registry.end_lease(lease),
        registry.reserve_query_ids(),
        registry.register_replica(replica()),
    ):
        with pytest.raises(StoreUnavailable):
            await call
    assert (await registry.application("a")).links == ()
    with pytest.raises(ApplicationNotFound):
        await registry.application("b")
    assert isinstance((await taken(registry.watch(None), 1))[0], Whole)
    store.come_back()
    await manager.feed.connected()
    await registry.link_model("a", "m", 1)


async def test_before_the_store_was_ever_reached_there_is_nothing_to_read(store: FakeStore) -> None:
    store.go_away()
    async with running(store) as manager:
        with pytest.raises(StoreUnavailable):
            await manager.registry.applications(PageRequest())
        with pytest.raises(StoreUnavailable):
            await manager.registry.create_application(application("a"))
        with pytest.raises(StoreUnavailable):
            await anext(aiter(manager.registry.watch(None)))
        store.come_back()
        await manager.feed.connected()
        await manager.registry.create_application(application("a"))


async def test_that_the_store_is_away_is_said_once(
    manager: Manager, store: FakeStore, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    store.go_away()
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            await manager.registry.create_application(application("a"))
    store.come_back()
    await manager.feed.connected()
    events = [record.message for record in caplog.records if record.message.startswith("store_")]
    assert events == ["store_away", "store_reached"]


async def test_a_change_whose_answer_got_lost_is_not_said_to_be_undone(manager: Manager, store: FakeStore) -> None:
    store.commits_break_off = True
    with pytest.raises(StoreInterrupted):
        await manager.registry.create_application(application("a"))
    store.commits_break_off = False
    await manager.feed.connected()
    assert (await manager.registry.application("a")).name == "a"


async def test_watchers_get_everything_and_then_each_change(registry: Registry) -> None:
    await registry.create_application(application("a"))
    steps = registry.watch(None)
    (whole,) = await taken(steps, 1)
    assert isinstance(whole, Whole)
    assert [entity.key for entity in whole.entities] == ["application/a"]
    for name in "bc":
        await registry.create_application(application(name))
    got = await taken(steps, 2)
    assert [step.position for step in got] == [Position(whole.position.epoch, 2), Position(whole.position.epoch, 3)]


async def test_who_resumes_gets_exactly_what_it_missed(registry: Registry) -> None:
    await registry.create_application(application("a"))
    (whole,) = await taken(registry.watch(None), 1)
    for name in "bcd":
        await registry.create_application(application(name))
    resumed = await taken(registry.watch(Position(whole.position.epoch, 2)), 2)
    assert [step.entry.puts[0].key for step in resumed if isinstance(step, Step)] == ["application/c", "application/d"]


async def test_who_falls_behind_the_history_gets_everything_again(store: FakeStore) -> None:
    async with running(store, history=3) as manager:
        steps = manager.registry.watch(None)
        await taken(steps, 1)
        for number in range(5):
            await manager.registry.create_application(application(f"a{number}"))
        (step,) = await taken(steps, 1)
        assert isinstance(step, Whole)
        assert step.position.revision == 5


async def test_an_emptied_store_begins_another_epoch_and_watchers_are_told(
    two: tuple[Registry, Registry], store: FakeStore
) -> None:
    one, other = two
    await one.create_application(application("a"))
    await other.application("a")
    steps = other.watch(None)
    (before,) = await taken(steps, 1)
    store.flush()
    await one.create_application(application("b"))
    (after,) = await taken(steps, 1)
    assert isinstance(after, Whole)
    assert after.position.epoch != before.position.epoch
    with pytest.raises(ApplicationNotFound):
        await other.application("a")


async def test_a_store_that_lost_changes_begins_another_epoch_for_all(
    two: tuple[Registry, Registry], store: FakeStore
) -> None:
    one, other = two
    await one.create_application(application("kept"))
    saved = store.snapshot()
    await one.create_application(application("lost"))
    await other.application("lost")
    steps = other.watch(None)
    (before,) = await taken(steps, 1)
    store.go_away()
    with pytest.raises(StoreUnavailable):
        await one.create_application(application("x"))
    store.restore(saved)
    store.come_back()
    (after,) = await taken(steps, 1)
    assert isinstance(after, Whole)
    assert after.position.epoch != before.position.epoch
    assert [entity.key for entity in after.entities] == ["application/kept"]


async def test_watchers_end_when_the_manager_stops(manager: Manager) -> None:
    steps = manager.registry.watch(None)
    await taken(steps, 1)
    manager.feed.close()
    with pytest.raises(Stopping):
        await anext(steps)


async def test_a_replica_is_dialled_back_before_it_is_registered(manager: Manager) -> None:
    registry = manager.registry
    with pytest.raises(ModelNotFound):
        await registry.register_replica(replica())
    await registry.create_version(version("1"), activate=True)
    manager.checker.problem = "it says NOT_SERVING"
    with pytest.raises(ReplicaUnhealthy, match="NOT_SERVING"):
        await registry.register_replica(replica())
    manager.checker.problem = None
    new = await registry.register_replica(replica())
    assert new.lease_id
    assert manager.checker.asked == [("m", "1", "h:1")] * 2
    assert (await registry.replicas("m", "1", PageRequest())).items == (new,)


async def test_a_lease_that_has_ended_cannot_be_renewed(registry: Registry) -> None:
    lease = (await registry.register_instance(instance())).lease_id
    await registry.renew_lease(lease)
    await registry.end_lease(lease)
    assert (await registry.instances(PageRequest())).items == ()
    with pytest.raises(LeaseEnded):
        await registry.renew_lease(lease)
    await registry.end_lease(lease)  # no error


async def test_deleting_a_version_ends_the_leases_of_its_replicas(registry: Registry) -> None:
    await registry.create_version(version("1"), activate=True)
    new = await registry.register_replica(replica())
    await registry.delete_version("m", "1", force=False)
    with pytest.raises(LeaseEnded):
        await registry.renew_lease(new.lease_id)


async def test_lists_tell_what_there_is_and_what_their_parent_is_not(registry: Registry) -> None:
    for name in ("m", "n"):
        for number in ("1", "2"):
            await registry.create_version(version(number, name), activate=number == "1")
    assert [(each.model, each.version) for each in (await registry.versions("", PageRequest())).items] == [
        ("m", "1"),
        ("m", "2"),
        ("n", "1"),
        ("n", "2"),
    ]
    assert [each.version for each in (await registry.versions("n", PageRequest())).items] == ["1", "2"]
    assert [each.model.name for each in (await registry.models(PageRequest())).items] == ["m", "n"]
    for call in (registry.versions("o", PageRequest()), registry.replicas("o", "", PageRequest())):
        with pytest.raises(ModelNotFound):
            await call
    with pytest.raises(VersionNotFound):
        await registry.replicas("m", "9", PageRequest())
    with pytest.raises(InvalidField, match="version"):
        await registry.replicas("", "1", PageRequest())


async def test_replicas_are_listed_for_a_version_a_model_and_all(registry: Registry) -> None:
    for name in ("1", "2"):
        await registry.create_version(version(name), activate=True)
        for port in (1, 2):
            await registry.register_replica(replica(f"h{name}:{port}", name))

    async def listed(model: str, name: str) -> list[str]:
        return [each.address for each in (await registry.replicas(model, name, PageRequest())).items]

    assert await listed("", "") == await listed("m", "") == ["h1:1", "h1:2", "h2:1", "h2:2"]
    assert await listed("m", "2") == ["h2:1", "h2:2"]
    assert (await registry.replica("m", "2", 1)).address == "h2:2"


async def test_a_model_tells_where_it_is_linked(registry: Registry) -> None:
    await registry.create_version(version("1"), activate=False)
    for name in ("b", "a"):
        await registry.create_application(application(name))
        await registry.link_model(name, "m", 1)
    assert (await registry.model("m")).linked_applications == ("a", "b")
    assert (await registry.activate_version("m", "1")).linked_applications == ("a", "b")


async def test_query_ids_come_in_ranges_from_one(two: tuple[Registry, Registry]) -> None:
    assert await two[0].reserve_query_ids() == (1, 2**30)
    assert await two[1].reserve_query_ids() == (2**30 + 1, 2**30)


async def test_query_ids_never_exceed_what_json_keeps_exact(
    registry: Registry, store: FakeStore, caplog: pytest.LogCaptureFixture
) -> None:
    await store.reserve_query_ids(2**53 - 2**30 - 1)
    assert await registry.reserve_query_ids() == (2**53 - 2**30, 2**30)
    with pytest.raises(InternalError):
        await registry.reserve_query_ids()


async def test_calls_that_fail_while_the_feed_waits_to_try_again_say_that_the_store_is_away(
    manager: Manager, store: FakeStore
) -> None:
    store.go_away()
    async with asyncio.timeout(10):
        while manager.feed.connected_at_s is not None:  # the feed has noticed, and waits
            await asyncio.sleep(0)
    manager.feed.suspect("a call that was under way failed, too")
    manager.feed.suspect("and another one")
    store.come_back()
    await manager.feed.connected()
    await manager.registry.create_application(application("a"))
