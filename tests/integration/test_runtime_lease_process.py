"""The runtime process and its manager: it registers, stays registered, and gives its lease back first."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from clipper.model.v1 import model_service_pb2 as pb
from clipper.model.v1 import model_service_pb2_grpc as stubs
from clipper.registry.v1 import registry_pb2
from clipper.v1 import values_pb2 as values
from clipper_rpc.errors import LeaseEnded, NotSupported, VersionNotFound
from clipper_rpc.grpcio_transport import GrpcioTransport
from clipper_rpc.services import typed_methods
from clipper_runtime import save_function
from processes import Process, free_port, module

PATIENCE_S = 30.0


class Registry:
    """A RegistryService that keeps leases and a diary."""

    def __init__(self, ttl_ms: int = 10_000) -> None:
        self.ttl_ms = ttl_ms
        self.diary: list[str] = []
        self.replicas: list[registry_pb2.RegisterReplicaRequest] = []
        self.refuses_first = 0
        self.expired = False
        self._expires: dict[str, float] = {}
        self._changed = asyncio.Event()

    def forget(self) -> None:
        """All leases have ended."""
        self._expires.clear()

    def count(self, what: str) -> int:
        return self.diary.count(what)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                changed = self._changed
                await changed.wait()

    async def register_replica(
        self, request: registry_pb2.RegisterReplicaRequest
    ) -> registry_pb2.RegisterReplicaResponse:
        if self.refuses_first:
            self.refuses_first -= 1
            self._note("refuse")
            raise VersionNotFound(model=request.model, version=request.version)
        async with grpc.aio.insecure_channel(request.address) as channel:  # as the real manager does
            answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=5)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        self.replicas.append(request)
        lease_id = f"lease-{len(self.replicas)}"
        self._expires[lease_id] = time.monotonic() + self.ttl_ms / 1000
        self._note("register")
        return registry_pb2.RegisterReplicaResponse(replica_id=len(self.replicas) - 1, lease=self._lease(lease_id))

    async def renew_lease(self, request: registry_pb2.RenewLeaseRequest) -> registry_pb2.RenewLeaseResponse:
        if request.lease_id not in self._expires:
            self._note("unknown")
            raise LeaseEnded
        self.expired |= time.monotonic() > self._expires[request.lease_id]
        self._expires[request.lease_id] = time.monotonic() + self.ttl_ms / 1000
        self._note("renew")
        return registry_pb2.RenewLeaseResponse(lease=self._lease(request.lease_id))

    async def end_lease(self, request: registry_pb2.EndLeaseRequest) -> registry_pb2.EndLeaseResponse:
        self._expires.pop(request.lease_id, None)
        self._note("end")
        return registry_pb2.EndLeaseResponse()

    async def register_instance(self, request: Any) -> Any:
        raise NotSupported(what="this")

    async def reserve_query_ids(self, request: Any) -> Any:
        raise NotSupported(what="this")

    async def watch(self, request: Any) -> AsyncIterator[Any]:
        for response in list[Any]():
            yield response

    @asynccontextmanager
    async def serving(self, port: int = 0) -> AsyncIterator[str]:
        methods = typed_methods(registry_pb2.DESCRIPTOR.services_by_name["RegistryService"], self, process="manager")
        server = await GrpcioTransport().serve(methods, f"127.0.0.1:{port}")
        try:
            yield f"127.0.0.1:{server.port}"
        finally:
            await server.stop(0)

    def _lease(self, lease_id: str) -> registry_pb2.Lease:
        lease = registry_pb2.Lease(lease_id=lease_id)
        lease.ttl.FromMilliseconds(self.ttl_ms)
        return lease

    def _note(self, what: str) -> None:
        self.diary.append(what)
        self._changed.set()
        self._changed = asyncio.Event()


Start = Callable[..., Any]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """Starts runtimes of a model, which end with the test."""
    started: list[Process] = []

    async def run(func: Callable[[Any], Any], *flags: str) -> Process:
        place = tmp_path / f"model-{len(started)}"
        save_function(place, name="m", version="1", input_type="doubles", func=func)
        command = module("clipper_runtime", "--model-dir", str(place), *flags)
        process = Process(command, log=tmp_path / f"runtime-{len(started)}.log")
        started.append(process)
        return await asyncio.to_thread(process.start)

    yield run
    for process in started:
        await asyncio.to_thread(process.stop, signal.SIGKILL)


def echo(inputs: Any) -> Any:
    return inputs


REQUEST = pb.PredictRequest(inputs=[values.Input(doubles=values.Doubles(values=[1.0]))])


async def test_it_registers_where_it_can_be_reached_once_it_is_healthy(start: Start) -> None:
    registry = Registry()
    async with registry.serving() as manager:
        process = await start(echo, "--manager", manager)
        await registry.until(lambda: bool(registry.replicas))
        [replica] = registry.replicas
        assert (replica.model, replica.version, replica.address) == ("m", "1", process.address)
        assert replica.input_type == values.INPUT_TYPE_DOUBLES
        assert replica.host.endswith(f":{process.pid}")
        assert replica.runtime.startswith("clipper-runtime ")


async def test_it_keeps_its_lease_while_a_prediction_keeps_the_interpreter(start: Start, tmp_path: Path) -> None:
    """Contract W13: the model computes in pure Python, never letting go by itself."""
    done = tmp_path / "done"

    def busy(inputs: Any) -> Any:
        while not done.exists():
            sum(range(100_000))
        return inputs

    registry = Registry(ttl_ms=1500)
    async with registry.serving() as manager:
        process = await start(busy, "--manager", manager)
        await registry.until(lambda: registry.count("register") == 1)
        async with grpc.aio.insecure_channel(process.address) as channel:
            call = stubs.ModelServiceStub(channel).Predict(REQUEST, timeout=PATIENCE_S)  # type: ignore[no-untyped-call]
            await registry.until(lambda: registry.count("renew") >= 6)  # two terms
            assert not call.done()
            done.touch()
            assert len((await call).results) == 1
        assert registry.count("register") == 1
        assert not registry.expired


async def test_it_registers_again_when_its_lease_has_ended(start: Start) -> None:
    registry = Registry(ttl_ms=300)
    async with registry.serving() as manager:
        await start(echo, "--manager", manager)
        await registry.until(lambda: registry.count("renew") >= 1)
        registry.forget()
        await registry.until(lambda: registry.count("register") == 2)
        await registry.until(lambda: registry.diary[-1] == "renew")


async def test_it_waits_for_a_version_that_is_not_registered_yet(start: Start) -> None:
    registry = Registry()
    registry.refuses_first = 3
    async with registry.serving() as manager:
        await start(echo, "--manager", manager)
        await registry.until(lambda: registry.count("register") == 1)
        assert registry.diary == ["refuse"] * 3 + ["register"]


async def test_it_serves_without_its_manager_and_registers_when_that_appears(start: Start) -> None:
    port = free_port()
    process = await start(echo, "--manager", f"127.0.0.1:{port}")
    async with grpc.aio.insecure_channel(process.address) as channel:
        assert len((await stubs.ModelServiceStub(channel).Predict(REQUEST)).results) == 1  # type: ignore[no-untyped-call]
    registry = Registry()
    async with registry.serving(port):
        await registry.until(lambda: registry.count("register") == 1)


async def test_it_survives_its_manager_and_goes_to_another_one(start: Start) -> None:
    first, second = Registry(ttl_ms=600), Registry(ttl_ms=600)
    async with second.serving() as fallback:
        async with first.serving() as manager:
            process = await start(echo, "--manager", f"{manager},{fallback}")
            await first.until(lambda: first.count("renew") >= 1)
            assert second.diary == []
        await second.until(lambda: second.count("renew") >= 1)
        assert second.diary[:2] == ["unknown", "register"]
        assert process.is_running()


async def test_stopping_it_ends_the_lease_first_and_then_the_calls(start: Start, tmp_path: Path) -> None:
    """NOT_SERVING, lease given back, new calls refused, the running one answered, gone."""
    gate, begun = tmp_path / "gate", tmp_path / "begun"
    os.mkfifo(gate)
    os.mkfifo(begun)

    def gated(inputs: Any) -> Any:
        begun.write_text("x")
        gate.read_text()
        return inputs

    registry = Registry()
    async with registry.serving() as manager:
        process = await start(gated, "--manager", manager)
        await registry.until(lambda: registry.count("register") == 1)
        async with grpc.aio.insecure_channel(process.address) as channel:
            model = stubs.ModelServiceStub(channel)  # type: ignore[no-untyped-call]
            health = health_pb2_grpc.HealthStub(channel)
            watch = health.Watch(health_pb2.HealthCheckRequest())
            assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
            running = model.Predict(REQUEST, timeout=PATIENCE_S)
            await asyncio.to_thread(begun.read_text)
            process.send_signal(signal.SIGTERM)
            assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
            await registry.until(lambda: registry.count("end") == 1)
            assert not running.done()
            async with asyncio.timeout(PATIENCE_S):
                while "draining" not in process.log.read_text():
                    await asyncio.sleep(0.01)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await model.Predict(REQUEST, timeout=PATIENCE_S)
            assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
            assert caught.value.details() == "The runtime is stopping."
            await asyncio.to_thread(gate.write_text, "go")
            assert len((await running).results) == 1
        assert await asyncio.to_thread(process.wait) == -signal.SIGTERM


async def test_a_second_signal_ends_it_at_once(start: Start, tmp_path: Path) -> None:
    gate, begun = tmp_path / "gate", tmp_path / "begun"
    os.mkfifo(gate)
    os.mkfifo(begun)

    def gated(inputs: Any) -> Any:
        begun.write_text("x")
        gate.read_text()
        return inputs

    registry = Registry()
    async with registry.serving() as manager:
        process = await start(gated, "--manager", manager, "--grace-s", "600")
        await registry.until(lambda: registry.count("register") == 1)
        async with grpc.aio.insecure_channel(process.address) as channel:
            running = stubs.ModelServiceStub(channel).Predict(REQUEST)  # type: ignore[no-untyped-call]
            await asyncio.to_thread(begun.read_text)
            process.send_signal(signal.SIGTERM)
            await registry.until(lambda: registry.count("end") == 1)
            process.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(process.wait) == -signal.SIGTERM
            with pytest.raises(grpc.aio.AioRpcError):
                await running
