"""The manager as a process: how it starts, stops, idles, and outlives Redis."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from grpc_health.v1 import health_pb2
from managers import LEASE_TTL_S, Client, Watcher, client, manager, replica

from clipper_rpc.errors import ApplicationNotFound, ClipperError, Code, ReplicaUnhealthy, Stopping, StoreUnavailable
from clipper_rpc.grpcio_transport import GrpcioTransport
from clipper_rpc.services import TypedClient
from processes import Process, RedisServer, free_port, module, running

HEALTH = health_pb2.DESCRIPTOR.services_by_name["Health"]


@pytest.fixture
def process(own_redis: RedisServer, tmp_path: Path) -> Iterator[Process]:
    with manager(own_redis.url, tmp_path) as process:
        yield process


def events(directory: Path) -> list[str]:
    return [json.loads(line)["event"] for line in (directory / "manager.log").read_text().splitlines()]


async def is_serving(address: str) -> bool:
    channel = GrpcioTransport().connect(address)
    try:
        answer = await TypedClient(channel, HEALTH).call(
            "Check", health_pb2.HealthCheckRequest(), health_pb2.HealthCheckResponse
        )
    finally:
        await channel.close()
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


async def changed(call: Client, name: str) -> None:
    """Creates an application as soon as the manager takes changes again."""
    async with asyncio.timeout(30):
        while True:
            try:
                await call.create_application(name)
            except ClipperError as error:
                if error.code != Code.UNAVAILABLE:
                    raise
                await asyncio.sleep(0.02)
            else:
                return


async def test_while_redis_is_dead_reads_and_watches_go_on_and_nothing_is_lost(
    process: Process, own_redis: RedisServer, tmp_path: Path
) -> None:
    async with client(process) as call, replica() as address:
        await call.create_application("a")
        await call.create_version("m", "1")
        await call("LinkModel", application="a", model="m")
        lease = (await call.register_replica(address)).lease.lease_id
        watcher = Watcher(call.watch())
        before = await watcher.next()
        own_redis.kill()
        began = time.monotonic()
        for name, fields in (
            ("DeleteApplication", {"application": "a"}),
            ("RenewLease", {"lease_id": lease}),
            ("ReserveQueryIds", {}),
        ):
            with pytest.raises(StoreUnavailable):
                await call(name, **fields)
        assert time.monotonic() - began < 15
        assert (await call("GetApplication", application="a")).application.links[0].model == "m"
        assert len((await Watcher(call.watch()).next()).snapshot.entities) == len(before.snapshot.entities)
        assert await is_serving(process.address)
        await asyncio.sleep(2 * LEASE_TTL_S)  # leases run out meanwhile, but nobody could renew them
        own_redis.start()
        await changed(call, "b")
        await call("RenewLease", lease_id=lease)
        step = await watcher.next()
        while not any(put.application.name == "b" for put in step.delta.put):
            assert step.WhichOneof("step") == "delta"  # the history goes on
            step = await watcher.next()
        assert step.epoch == before.epoch
        assert [each.address for each in (await call("ListReplicas")).replicas] == [address]
    assert events(tmp_path).count("store_away") == 1


async def test_a_redis_that_hangs_makes_changes_fail_soon_and_together(
    process: Process, own_redis: RedisServer
) -> None:
    async with client(process) as call:
        await call.create_application("a")
        with own_redis.paused():
            began = time.monotonic()
            made = await asyncio.gather(
                *(call.create_application(f"b{number}") for number in range(50)), return_exceptions=True
            )
            assert time.monotonic() - began < 6
            assert {getattr(each, "code", None) for each in made} == {Code.UNAVAILABLE}
            assert (await call("GetApplication", application="a")).application.name == "a"
        await changed(call, "c")


async def test_everything_is_there_after_a_restart_of_manager_and_redis(own_redis: RedisServer, tmp_path: Path) -> None:
    with manager(own_redis.url, tmp_path) as process:
        async with client(process) as call:
            await call.create_application("a")
            await call.create_version("m", "1")
            await call("LinkModel", application="a", model="m")
            before = (await call("GetApplication", application="a")).application
            version = (await call("GetModelVersion", model="m", version="1")).model_version
        process.stop(signal.SIGKILL)
    own_redis.kill()
    own_redis.start()
    with manager(own_redis.url, tmp_path) as process:
        async with client(process) as call:
            assert (await call("GetApplication", application="a")).application == before
            assert (await call("GetModelVersion", model="m", version="1")).model_version == version


async def test_replicas_outlive_a_manager_that_is_killed_and_started_again(
    own_redis: RedisServer, tmp_path: Path
) -> None:
    async with replica() as address:
        with manager(own_redis.url, tmp_path) as process:
            async with client(process) as call:
                await call.create_version("m", "1")
                lease = (await call.register_replica(address)).lease.lease_id
            process.stop(signal.SIGKILL)
        await asyncio.sleep(2 * LEASE_TTL_S)  # longer than the lease, with nobody there to renew it at
        with manager(own_redis.url, tmp_path) as process:
            async with client(process) as call:
                await call("RenewLease", lease_id=lease)
                assert len((await call("ListReplicas")).replicas) == 1


async def test_a_manager_waits_for_redis_without_serving_and_says_so_once(tmp_path: Path) -> None:
    directory = tmp_path / "redis"
    directory.mkdir()
    server = RedisServer(directory)
    port = free_port()
    arguments = module("clipper_manager", "--port", str(port), "--redis-url", server.url)
    process = Process(arguments, log=tmp_path / "manager.log").start(wait=False)
    try:
        async with asyncio.timeout(60):
            while "store_away" not in (tmp_path / "manager.log").read_text():
                await asyncio.sleep(0.02)
            assert not await is_serving(f"127.0.0.1:{port}")
            call = Client(f"127.0.0.1:{port}")
            for name in ("ListApplications", "ListInstances", "ReserveQueryIds"):
                with pytest.raises(StoreUnavailable):
                    await call(name)
            with pytest.raises(StoreUnavailable):
                await Watcher(call.watch()).next()
            server.start()
            while not await is_serving(f"127.0.0.1:{port}"):
                await asyncio.sleep(0.02)
        await call.create_application("a")
        await call.channel.close()
    finally:
        process.stop()
        server.kill()
    assert [event for event in events(tmp_path) if event.startswith("store_")] == ["store_away", "store_reached"]


async def test_a_manager_that_is_asked_to_stop_ends_watches_so_that_they_go_on_elsewhere(
    process: Process, tmp_path: Path
) -> None:
    async with client(process) as call:
        watcher = Watcher(call.watch())
        await watcher.next()
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        with pytest.raises(Stopping):
            while True:
                await watcher.next()
        assert await asyncio.to_thread(process.wait) == -signal.SIGTERM
        assert time.monotonic() - began < 9  # the grace period is for calls that run
    assert events(tmp_path)[-1] == "stopped"


async def test_a_manager_that_is_asked_to_stop_answers_the_calls_that_run(process: Process, tmp_path: Path) -> None:
    async with client(process) as call, silent_server() as (address, connected):
        await call.create_version("m", "1")
        running_call = asyncio.ensure_future(call.register_replica(address))
        await connected.wait()  # the manager dials back, and waits for an answer
        process.send_signal(signal.SIGTERM)
        with pytest.raises(ReplicaUnhealthy, match=r"no answer|UNAVAILABLE"):
            await running_call
        assert await asyncio.to_thread(process.wait) == -signal.SIGTERM


@asynccontextmanager
async def silent_server() -> AsyncIterator[tuple[str, asyncio.Event]]:
    """Takes connections and never says a word."""
    connected = asyncio.Event()
    ended = asyncio.Event()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.set()
        await ended.wait()
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", connected
    finally:
        ended.set()
        server.close()


async def test_the_ready_line_tells_the_address_and_the_process(process: Process) -> None:
    metrics = str(process.ready["metrics"])
    assert process.ready == {"address": process.address, "metrics": metrics, "pid": process.pid}
    assert "clipper_manager_store_up 1.0" in httpx.get(f"http://{metrics}/metrics").text
    with pytest.raises(ApplicationNotFound):
        async with client(process) as call:
            await call("GetApplication", application="a")


def test_a_taken_port_is_said_plainly(process: Process, own_redis: RedisServer) -> None:
    port = process.address.rpartition(":")[2]
    failed = subprocess.run(
        module("clipper_manager", "--port", port, "--redis-url", own_redis.url),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert failed.returncode == 1
    assert "Traceback" not in failed.stderr
    assert f":{port}" in failed.stderr


@pytest.mark.parametrize(
    ("flags", "env", "told"),
    [
        (["--port", "99999"], {}, "--port"),
        (["--redis-url", "http://x"], {}, "redis://HOST:PORT/DB"),
        (["--cluster", "a/b"], {}, "--cluster"),
        ([], {"CLIPPER_MANAGER_LEASE_TTL_S": "0"}, "--lease-ttl-s"),
    ],
)
def test_settings_that_cannot_be_are_refused_by_their_flag(flags: list[str], env: dict[str, str], told: str) -> None:
    failed = subprocess.run(
        module("clipper_manager", *flags),
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **env},
        check=False,
    )
    assert failed.returncode == 2
    assert told in failed.stderr


async def test_an_idle_manager_uses_next_to_no_cpu(own_redis: RedisServer, tmp_path: Path) -> None:
    arguments = module("clipper_manager", "--port", "0", "--redis-url", own_redis.url)
    with running(arguments, log=tmp_path / "manager.log") as process:
        async with client(process) as call:
            watcher = Watcher(call.watch())
            await watcher.next()
            before = cpu_seconds(process.pid)
            await asyncio.sleep(6)  # idling is what is tested
            used = cpu_seconds(process.pid) - before
    print(f"idle manager: {used / 6:.2%} of a core")
    assert used / 6 < 0.02


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
