"""What a watcher is told: everything, then each change; after a break exactly what it missed, or everything again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import redis
from managers import DOUBLES, Client, Watcher, client, manager, replica

from clipper.registry.v1 import registry_pb2
from processes import Process, RedisServer

HISTORY = 10


@pytest.fixture
def process(redis_url: str, tmp_path: Path) -> Iterator[Process]:
    with manager(redis_url, tmp_path, "--history", str(HISTORY), "--lease-ttl-s", "60") as process:
        yield process


@pytest.fixture
async def call(process: Process) -> AsyncIterator[Client]:
    async with client(process) as call:
        # Its own registration is a change, too: the tests begin after it.
        while not (await call("ListInstances")).instances:
            pass
        yield call


def put(step: registry_pb2.WatchResponse) -> list[str]:
    return sorted(str(entity.WhichOneof("entity")) for entity in step.delta.put)


async def test_a_snapshot_has_every_kind_whole(call: Client) -> None:
    await call.create_application("a")
    await call.create_version("m", "1")
    await call("LinkModel", application="a", model="m")
    async with replica() as address:
        await call.register_replica(address)
        step = await Watcher(call.watch()).next()
    assert step.epoch
    assert step.WhichOneof("step") == "snapshot"
    entities = {entity.WhichOneof("entity"): entity for entity in step.snapshot.entities}
    assert len(step.snapshot.entities) == len(entities) == 4
    application = entities["application"].application
    assert (application.name, application.input_type, application.default_output.string) == ("a", DOUBLES, "-1.0")
    assert [link.model for link in application.links] == ["m"]
    assert entities["model"].model.current_version == "1"
    assert entities["model_version"].model_version.uid
    assert entities["replica"].replica.address == address


async def test_each_change_is_one_step_with_all_that_it_touched(call: Client) -> None:
    watcher = Watcher(call.watch())
    began = (await watcher.next()).revision
    await call.create_version("m", "1")
    assert put(await watcher.next()) == ["model", "model_version"]
    await call.create_version("m", "2", activate=False)
    await watcher.next()
    await call("ActivateModelVersion", model="m", version="2")
    step = await watcher.next()
    assert put(step) == ["model", "model_version", "model_version"]
    assert step.revision == began + 3
    await call("DeleteModelVersion", model="m", version="1")
    (key,) = (await watcher.next()).delta.deleted
    assert (key.model_version.model, key.model_version.version) == ("m", "1")
    await call("DeleteModelVersion", model="m", version="2")
    step = await watcher.next()
    assert sorted(str(key.WhichOneof("key")) for key in step.delta.deleted) == ["model", "model_version"]


async def test_who_resumes_gets_exactly_what_it_missed(call: Client) -> None:
    watcher = Watcher(call.watch())
    await watcher.next()
    for number in range(5):
        await call.create_application(f"a{number}")
    resumed = Watcher(call.watch(watcher.epoch, watcher.revision + 2))
    steps = await resumed.until(watcher.revision + 5)
    assert [[put.application.name for put in step.delta.put] for step in steps] == [["a2"], ["a3"], ["a4"]]


async def test_who_resumes_where_it_stands_gets_what_comes_next(call: Client) -> None:
    watcher = Watcher(call.watch())
    await watcher.next()
    resumed = Watcher(call.watch(watcher.epoch, watcher.revision))
    await call.create_application("a")
    assert put(await resumed.next()) == ["application"]


async def test_who_resumes_after_a_restart_of_the_manager_gets_what_it_missed(
    call: Client, process: Process, redis_url: str, tmp_path: Path
) -> None:
    watcher = Watcher(call.watch())
    await watcher.next()
    await call.create_application("a")
    process.stop()
    with manager(redis_url, tmp_path) as again:
        async with client(again) as other:
            step = await Watcher(other.watch(watcher.epoch, watcher.revision)).next()
    assert [each.application.name for each in step.delta.put] == ["a"]


async def test_what_is_no_longer_known_is_told_as_a_whole(call: Client) -> None:
    watcher = Watcher(call.watch())
    await watcher.next()
    for number in range(HISTORY + 1):
        await call.create_application(f"a{number}")
    for epoch, revision in ((watcher.epoch, watcher.revision), ("another", 3), (watcher.epoch, -1)):
        step = await Watcher(call.watch(epoch, revision)).next()
        assert step.WhichOneof("step") == "snapshot"
        assert len(step.snapshot.entities) == HISTORY + 1
    kept = await Watcher(call.watch(watcher.epoch, watcher.revision + 1)).next()
    assert kept.WhichOneof("step") == "delta"


async def test_an_emptied_redis_is_another_epoch(call: Client, redis_server: RedisServer) -> None:
    await call.create_application("a")
    watcher = Watcher(call.watch())
    before = await watcher.next()
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
    await call.create_application("a")  # no conflict: it is gone
    after = await watcher.next()
    assert after.WhichOneof("step") == "snapshot"
    assert after.epoch != before.epoch
    assert after.revision < before.revision


async def test_an_emptied_redis_is_noticed_without_anybody_asking(call: Client, redis_server: RedisServer) -> None:
    await call.create_application("a")
    watcher = Watcher(call.watch())
    before = await watcher.next()
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
    after = await watcher.next(timeout_s=15)
    assert after.epoch != before.epoch
    assert not after.snapshot.entities


async def test_many_watchers_are_told_the_same(call: Client) -> None:
    watchers = [Watcher(call.watch()) for _ in range(20)]
    for watcher in watchers:
        await watcher.next()
    await call.create_application("a")
    for watcher in watchers:
        assert put(await watcher.next()) == ["application"]
