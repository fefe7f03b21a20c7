"""Two managers on one Redis are one configuration; leases end by Redis' clock, whoever looks."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from managers import LEASE_TTL_S, Client, Watcher, client, manager, replica

from clipper_rpc.errors import ApplicationExists, LeaseEnded
from processes import Process


@pytest.fixture
def processes(redis_url: str, tmp_path: Path) -> Iterator[tuple[Process, Process]]:
    (tmp_path / "other").mkdir()
    with manager(redis_url, tmp_path) as one, manager(redis_url, tmp_path / "other") as other:
        yield one, other


@pytest.fixture
async def two(processes: tuple[Process, Process]) -> AsyncIterator[tuple[Client, Client]]:
    async with client(*processes) as clients:
        yield clients


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
    began = await watchers[0].next()
    await watchers[1].until(began.revision)

    async with asyncio.TaskGroup() as tasks:
        for number in range(200):
            tasks.create_task(two[number % 2].create_application(f"a{number}"))
    names = {f"a{number}" for number in range(200)}
    revisions = []
    for call, watcher in zip(two, watchers, strict=True):
        page = await call("ListApplications", page_size=1000)
        assert {each.name for each in page.applications} >= names  # its own are there for sure
        seen = await watcher.until(began.revision + 200)
        assert {put.application.name for step in seen for put in step.delta.put} >= names
        revisions.append([step.revision for step in seen])
    assert revisions[0] == list(range(began.revision + 1, began.revision + 201))  # no gap, no repetition
    assert revisions[1][-200:] == revisions[0]


async def test_one_change_wins_where_two_contradict(two: tuple[Client, Client]) -> None:
    for number in range(20):
        made = await asyncio.gather(*(call.create_application(f"a{number}") for call in two), return_exceptions=True)
        assert sorted(type(each).__name__ for each in made) == ["Application", "ApplicationExists"]


async def test_both_are_listed(two: tuple[Client, Client], processes: tuple[Process, Process]) -> None:
    for call in two:
        listed = (await call("ListInstances")).instances
        while len(listed) < 2:
            listed = (await call("ListInstances")).instances
        assert {each.address for each in listed} == {process.address for process in processes}


async def test_a_manager_that_stops_leaves_the_list_at_once(
    two: tuple[Client, Client], processes: tuple[Process, Process]
) -> None:
    one, _ = two
    while len((await one("ListInstances")).instances) < 2:
        pass
    processes[1].stop()
    assert [each.address for each in (await one("ListInstances")).instances] == [processes[0].address]


async def test_a_manager_that_dies_leaves_the_list_when_its_lease_ends(
    two: tuple[Client, Client], processes: tuple[Process, Process]
) -> None:
    one, _ = two
    while len((await one("ListInstances")).instances) < 2:
        pass
    processes[1].stop(signal.SIGKILL)
    async with asyncio.timeout(20 * LEASE_TTL_S):
        while len((await one("ListInstances")).instances) == 2:
            await asyncio.sleep(0.02)
    assert [each.address for each in (await one("ListInstances")).instances] == [processes[0].address]


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
