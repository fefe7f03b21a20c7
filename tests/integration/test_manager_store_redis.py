"""The store on a real Redis: the contract of all stores, and what is Redis' own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import redis
from store_contract import HISTORY, TTL_S, Advance, StoreContract, application, instance, names, put, take

from clipper_manager.redis_store import RedisStore
from clipper_manager.state import Change
from clipper_manager.store import HistoryBroken, Position
from clipper_rpc.errors import StoreInterrupted, StoreUnavailable
from processes import RedisServer, free_port


class TestRedisStore(StoreContract):
    @pytest.fixture
    async def store(self, redis_url: str) -> AsyncIterator[RedisStore]:
        store = RedisStore(redis_url, "test", lease_ttl_s=TTL_S, history=HISTORY)
        yield store
        await store.close()

    @pytest.fixture
    def advance(self) -> Advance:
        return asyncio.sleep  # Redis' clock is the machine's


@pytest.fixture
async def store(own_redis: RedisServer) -> AsyncIterator[RedisStore]:
    store = RedisStore(own_redis.url, "test", lease_ttl_s=TTL_S, history=HISTORY)
    yield store
    await store.close()


async def test_clusters_on_one_redis_do_not_see_each_other(store: RedisStore, own_redis: RedisServer) -> None:
    other = RedisStore(own_redis.url, "other", lease_ttl_s=TTL_S, history=HISTORY)
    await put(store, application("a"), instance("i", "lease"))
    assert (await other.load()).entities == ()
    assert not await other.renew_lease("lease")
    await other.close()
    with redis.Redis.from_url(own_redis.url, decode_responses=True) as client:
        assert all(key.startswith(("clipper:test:", "clipper:other:")) for key in client.scan_iter())


async def test_everything_survives_a_killed_redis(store: RedisStore, own_redis: RedisServer) -> None:
    position = await put(store, application("a"), instance("i", "lease"))
    own_redis.kill()
    own_redis.start()
    image = await store.load()
    assert image.position == position
    assert names(image.entities) == ["application/a", "instance/i"]
    assert [entry.revision for entry in image.entries] == [1]


async def test_a_redis_that_is_not_there_is_said_to_be_away_at_once() -> None:
    store = RedisStore(f"redis://127.0.0.1:{free_port()}/0", "test", lease_ttl_s=TTL_S, history=HISTORY)
    base = Position("epoch", 0)
    began = time.monotonic()
    for call in (
        store.load(),
        store.head(),
        store.begin_epoch("x"),
        store.commit(base, Change((application("a"),)), "id"),
        store.renew_lease("lease"),
        store.end_lease("lease"),
        store.expire_leases(),
        store.reserve_query_ids(1),
        anext(store.follow(base, "0-0")),
    ):
        with pytest.raises(StoreUnavailable):
            await call
    assert time.monotonic() - began < 15
    await store.close()


async def test_a_redis_that_hangs_is_said_to_be_away_within_its_time(store: RedisStore, own_redis: RedisServer) -> None:
    base = (await store.load()).position
    with own_redis.paused():
        began = time.monotonic()
        with pytest.raises(StoreUnavailable):
            await store.head()
        assert time.monotonic() - began < 15
        with pytest.raises(StoreUnavailable):
            await store.commit(base, Change((application("a"),)), "id")
    assert (await store.load()).position == base


async def test_a_commit_whose_answer_never_comes_is_not_said_to_be_undone(
    store: RedisStore, own_redis: RedisServer
) -> None:
    base = (await store.load()).position
    with own_redis.paused(), pytest.raises(StoreInterrupted):
        await store.commit(base, Change((application("a"),)), "id")


async def test_a_commit_that_breaks_off_is_made_once_on_another_connection(
    store: RedisStore, own_redis: RedisServer
) -> None:
    base = (await store.load()).position
    with redis.Redis.from_url(own_redis.url) as client:
        client.client_kill_filter(_type="normal", skipme=True)  # as a proxy does that drops idle connections
    await store.commit(base, Change((application("a"),)), "id")
    assert (await store.load()).position.revision == 1


async def test_a_redis_that_takes_no_writes_is_said_to_be_away(store: RedisStore, own_redis: RedisServer) -> None:
    base = (await store.load()).position
    with redis.Redis.from_url(own_redis.url) as client:
        client.config_set("maxmemory", 1)
        with pytest.raises(StoreUnavailable):
            await store.commit(base, Change((application("a"),)), "id")
        client.config_set("maxmemory", 0)
    assert (await store.load()).entities == ()


async def test_followers_learn_of_an_emptied_redis_when_somebody_loads_it(
    store: RedisStore, own_redis: RedisServer
) -> None:
    await put(store, application("a"))
    image = await store.load()
    following = asyncio.ensure_future(take(store, image, 1))
    with redis.Redis.from_url(own_redis.url) as client:
        while client.info("clients")["blocked_clients"] == 0:
            await asyncio.sleep(0.01)
        client.flushall()
    assert (await store.load()).position.epoch != image.position.epoch
    began = time.monotonic()
    with pytest.raises(HistoryBroken):
        await following
    assert time.monotonic() - began < 15


async def test_a_lost_revision_does_not_block_the_stream(store: RedisStore, own_redis: RedisServer) -> None:
    await put(store, application("a"))
    with redis.Redis.from_url(own_redis.url) as client:
        client.delete("clipper:test:meta")  # as an eviction policy may do
    assert (await put(store, application("b"))).revision == 2


async def test_a_redis_at_a_socket_works(tmp_path: Path, own_redis: RedisServer) -> None:
    own_redis.kill()
    own_redis.start("--unixsocket", str(tmp_path / "s"))
    store = RedisStore(f"unix://{tmp_path / 's'}", "test", lease_ttl_s=TTL_S, history=HISTORY)
    await put(store, application("a"))
    await store.close()
