"""Real managers for tests, and a client that calls them by the names of their methods."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from clipper.model.v1 import model_service_pb2
from clipper.registry.v1 import registry_pb2
from clipper.v1 import admin_pb2, values_pb2
from clipper_rpc.grpcio_transport import GrpcioTransport
from clipper_rpc.health import Health
from clipper_rpc.services import TypedClient, typed_methods
from clipper_rpc.transport import Methods
from processes import Process, module, running

DOUBLES = values_pb2.INPUT_TYPE_DOUBLES
STRINGS = values_pb2.INPUT_TYPE_STRINGS
LEASE_TTL_S = 0.5
"""Short, so that a test sees a lease end."""


@contextmanager
def manager(redis_url: str, directory: Path, *flags: str) -> Iterator[Process]:
    """A manager process on a free port."""
    arguments = ["--port", "0", "--redis-url", redis_url, "--lease-ttl-s", str(LEASE_TTL_S), *flags]
    with running(module("clipper_manager", *arguments), log=directory / "manager.log") as process:
        yield process


class Client:
    """Calls one server: `await client("GetModel", model="m")`."""

    def __init__(self, address: str) -> None:
        self.channel = GrpcioTransport().connect(address)
        self._services = {
            method: (TypedClient(self.channel, service), package)
            for package, name in ((admin_pb2, "AdminService"), (registry_pb2, "RegistryService"))
            for service in [package.DESCRIPTOR.services_by_name[name]]
            for method in service.methods_by_name
        }

    async def __call__(self, name: str, **fields: Any) -> Any:
        """Calls a method with a request of these fields."""
        client, package = self._services[name]
        request = getattr(package, f"{name}Request")(**fields)
        async with asyncio.timeout(20):
            return await client.call(name, request, getattr(package, f"{name}Response"))

    def watch(self, epoch: str = "", revision: int = 0) -> AsyncIterator[registry_pb2.WatchResponse]:
        """Watches the configuration."""
        request = registry_pb2.WatchRequest(epoch=epoch, revision=revision)
        return self._services["Watch"][0].stream("Watch", request, registry_pb2.WatchResponse)

    async def create_application(self, name: str, input_type: int = DOUBLES) -> admin_pb2.Application:
        """Creates an application with Clipper's usual default."""
        wanted = admin_pb2.Application(name=name, input_type=input_type, default_output={"string": "-1.0"})  # type: ignore[arg-type]
        response = await self("CreateApplication", application=wanted)
        created: admin_pb2.Application = response.application
        return created

    async def create_version(
        self, model: str, version: str, input_type: int = DOUBLES, *, activate: bool = True
    ) -> admin_pb2.ModelVersion:
        """Registers a version."""
        wanted = admin_pb2.ModelVersion(model=model, version=version, input_type=input_type)  # type: ignore[arg-type]
        response = await self("CreateModelVersion", model_version=wanted, activate=activate)
        created: admin_pb2.ModelVersion = response.model_version
        return created

    async def register_replica(self, address: str, model: str = "m", version: str = "1") -> Any:
        """Registers a replica of a model that takes doubles."""
        return await self("RegisterReplica", model=model, version=version, address=address, input_type=DOUBLES)


@asynccontextmanager
async def client(*processes: Process) -> AsyncIterator[Any]:
    """A client of one manager, or a tuple of clients of several."""
    clients = tuple(Client(process.address) for process in processes)
    try:
        yield clients[0] if len(clients) == 1 else clients
    finally:
        for each in clients:
            await each.channel.close()


class _Info:
    def __init__(self, model: str, version: str) -> None:
        self._response = model_service_pb2.GetModelInfoResponse(model=model, version=version)

    async def get_model_info(self, request: object) -> model_service_pb2.GetModelInfoResponse:
        return self._response

    async def predict(self, request: object) -> model_service_pb2.PredictResponse:
        return model_service_pb2.PredictResponse()


@asynccontextmanager
async def replica(model: str = "m", version: str = "1", *, serving: bool = True) -> AsyncIterator[str]:
    """What a manager sees of a runtime: health, and whom it serves. Yields its address."""
    health = Health()
    health.set_serving(serving)
    service = model_service_pb2.DESCRIPTOR.services_by_name["ModelService"]
    methods: Methods = {**health.methods(), **typed_methods(service, _Info(model, version), process="replica")}
    server = await GrpcioTransport().serve(methods, "127.0.0.1:0")
    try:
        yield f"127.0.0.1:{server.port}"
    finally:
        await server.stop(0)


class Watcher:
    """Follows a watch as a frontend does, and keeps what it was told."""

    def __init__(self, steps: AsyncIterator[registry_pb2.WatchResponse]) -> None:
        self._steps = steps
        self.epoch = ""
        self.revision = 0

    async def next(self, timeout_s: float = 20) -> registry_pb2.WatchResponse:
        """The next step."""
        async with asyncio.timeout(timeout_s):
            step = await anext(self._steps)
        self.epoch, self.revision = step.epoch, step.revision
        return step

    async def until(self, revision: int) -> list[registry_pb2.WatchResponse]:
        """All steps up to that of a revision."""
        steps: list[registry_pb2.WatchResponse] = []
        while not steps or steps[-1].revision < revision:
            steps.append(await self.next())
        return steps

    async def until_deleted(self, kind: str) -> registry_pb2.WatchResponse:
        """The next step that deletes something of a kind."""
        while True:
            step = await self.next()
            if any(key.WhichOneof("key") == kind for key in step.delta.deleted):
                return step
