"""Two managers on one Redis are one configuration; leases end by Redis' clock, whoever looks."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from managers import LEASE_TTL_S, Client, Watcher, client, manager, replica

from clipper_rpc.errors import ApplicationExists, LeaseEnded
from processes import Process, RedisServer


async def both_listed(call: Client) -> None:
    while len((await call("ListInstances")).instances) < 2:
        await asyncio.sleep(0.01)


@contextmanager
def pair(redis_url: str, directory: Path, cluster: str) -> Iterator[tuple[Process, Process]]:
    (directory / "other").mkdir()
    flags = ("--cluster", cluster)
    with manager(redis_url, directory, *flags) as one, manager(redis_url, directory / "other", *flags) as other:
        yield one, other


@pytest.fixture(scope="module")
def processes(redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Process, Process]]:
    """Two managers for the whole file; tests that stop them take `mortals`."""
    with pair(redis_server.url, tmp_path_factory.mktemp("managers"), "pair") as both:
        yield both


@pytest.fixture
async def two(processes: tuple[Process, Process], redis_url: str) -> AsyncIterator[tuple[Client, Client]]:
    """Clients of both, on an empty Redis: both have followed it there when the test begins."""
    async with client(*processes) as clients:
        await clients[0].create_application("empty")
        await clients[1]("DeleteApplication", application="empty")
        for call in clients:
            await both_listed(call)
        yield clients


@pytest.fixture
def mortals(redis_url: str, tmp_path: Path) -> Iterator[tuple[Process, Process]]:
    with pair(redis_url, tmp_path, "mortals") as both:
        yield both


async def renew_until_cancelled(call: Client, lease_id: str) -> None:
    while True:
        await call("RenewLease", lease_id=lease_id)
        await asyncio.sleep(LEASE_TTL_S / 3)


async def test_what_one_did_the_other_knows(two: tuple[Client, Client]) -> None:
    one, other = two
    for number in range(20):
        name = f"a{number}"
        await one.create_application(name)
        assert (await other("GetApplication", application=name)).application.name == name
        with pytest.raises(ApplicationExists):
            await other.create_application(name)
        await other("DeleteApplication", application=name)
        await one.create_application(name)


async def test_changes_at_both_at_once_all_take_effect(two: tuple[Client, Client]) -> None:
    watchers = [Watcher(call.watch()) for call in two]
    for watcher in watchers:
        await watcher.next()

    async with asyncio.TaskGroup() as tasks:
        for number in range(200):
            tasks.create_task(two[number % 2].create_application(f"a{number}"))
    names = {f"a{number}" for number in range(200)}
    told: list[dict[str, int]] = []
    for call, watcher in zip(two, watchers, strict=True):
        revisions = [watcher.revision]
        found: dict[str, int] = {}
        while found.keys() < names:
            step = await watcher.next()
            revisions.append(step.revision)
            found.update({put.application.name: step.revision for put in step.delta.put if put.HasField("application")})
        assert all(later == earlier + 1 for earlier, later in pairwise(revisions))  # no gap, no repetition
        assert {each.name for each in (await call("ListApplications", page_size=1000)).applications} == names
        told.append(found)
    assert told[0] == told[1]


async def test_one_change_wins_where_two_contradict(two: tuple[Client, Client]) -> None:
    for number in range(20):
        made = await asyncio.gather(*(call.create_application(f"a{number}") for call in two), return_exceptions=True)
        assert sorted(type(each).__name__ for each in made) == ["Application", "ApplicationExists"]


async def test_both_are_listed(two: tuple[Client, Client], processes: tuple[Process, Process]) -> None:
    for call in two:
        await both_listed(call)
        listed = (await call("ListInstances")).instances
        assert {each.address for each in listed} == {process.address for process in processes}


async def test_a_manager_that_stops_leaves_the_list_at_once(mortals: tuple[Process, Process]) -> None:
    async with client(mortals[0]) as call:
        await both_listed(call)
        mortals[1].stop()
        assert [each.address for each in (await call("ListInstances")).instances] == [mortals[0].address]


async def test_a_manager_that_dies_leaves_the_list_when_its_lease_ends(mortals: tuple[Process, Process]) -> None:
    async with client(mortals[0]) as call, asyncio.timeout(40 * LEASE_TTL_S):
        await both_listed(call)
        mortals[1].stop(signal.SIGKILL)
        while len((await call("ListInstances")).instances) == 2:
            await asyncio.sleep(0.02)
        assert [each.address for each in (await call("ListInstances")).instances] == [mortals[0].address]


async def test_a_replica_lives_as_long_as_its_lease_is_renewed_at_any_manager(two: tuple[Client, Client]) -> None:
    one, other = two
    await one.create_version("m", "1")
    async with replica() as address, asyncio.timeout(30):
        watcher = Watcher(other.watch())
        await watcher.next()
        lease = (await one.register_replica(address)).lease.lease_id
        renewing = asyncio.ensure_future(renew_until_cancelled(other, lease))
        while not any(put.HasField("replica") for put in (await watcher.next()).delta.put):
            pass
        await asyncio.sleep(3 * LEASE_TTL_S)  # time itself is what is tested
        assert len((await one("ListReplicas")).replicas) == 1
        renewing.cancel()
        await asyncio.wait((renewing,))
        gone = await watcher.until_deleted("replica")
    (key,) = gone.delta.deleted
    assert (key.replica.model, key.replica.version, key.replica.replica_id) == ("m", "1", 0)
    for call in two:
        while len((await call("ListReplicas")).replicas) > 0:  # the other's mirror may be a moment behind
            pass
        with pytest.raises(LeaseEnded):
            await call("RenewLease", lease_id=lease)


async def test_leases_end_once_though_both_look(two: tuple[Client, Client]) -> None:
    one, other = two
    await one.create_version("m", "1")
    watcher = Watcher(other.watch())
    await watcher.next()
    async with replica() as address, replica() as second:
        for each in (address, second):
            await one.register_replica(each)
        seen = [await watcher.until_deleted("replica")]
        while sum(len(step.delta.deleted) for step in seen) < 2:
            seen.append(await watcher.until_deleted("replica"))
    assert sorted(key.replica.replica_id for step in seen for key in step.delta.deleted) == [0, 1]


async def test_a_replica_that_comes_back_at_its_address_replaces_itself(two: tuple[Client, Client]) -> None:
    one, other = two
    await one.create_version("m", "1")
    async with replica() as address:
        first = await one.register_replica(address)
        again = await other.register_replica(address)
        assert (first.replica_id, again.replica_id) == (0, 1)
        with pytest.raises(LeaseEnded):
            await one("RenewLease", lease_id=first.lease.lease_id)
        assert [each.replica_id for each in (await other("ListReplicas")).replicas] == [1]


async def test_deleting_a_version_ends_its_replicas_and_a_redeployed_one_is_another(two: tuple[Client, Client]) -> None:
    one, other = two
    created = await one.create_version("m", "1")
    async with replica() as address:
        registered = await one.register_replica(address)
        await other("DeleteModelVersion", model="m", version="1")
        with pytest.raises(LeaseEnded):
            await one("RenewLease", lease_id=registered.lease.lease_id)
        again = await one.create_version("m", "1")
        assert again.uid != created.uid
        assert (await other.register_replica(address)).replica_id == 1


async def test_query_ids_of_both_never_overlap(two: tuple[Client, Client]) -> None:
    ranges = await asyncio.gather(*(two[number % 2]("ReserveQueryIds") for number in range(20)))
    firsts = sorted(each.first for each in ranges)
    assert all(later - earlier >= ranges[0].count for earlier, later in pairwise(firsts))
