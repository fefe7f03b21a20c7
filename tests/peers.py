"""Small stand-ins for the frontend's neighbours, on real gRPC: a registry, and a model runtime."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Self

from clipper.model.v1 import model_service_pb2 as model_pb
from clipper.registry.v1 import registry_pb2 as registry_pb
from clipper.v1 import admin_pb2 as admin_pb
from clipper.v1 import values_pb2
from clipper_rpc.errors import LeaseEnded
from clipper_rpc.grpcio_transport import GrpcioTransport
from clipper_rpc.health import Health
from clipper_rpc.services import typed_methods
from clipper_rpc.transport import Server

DOUBLES = values_pb2.INPUT_TYPE_DOUBLES


def application(name: str, *links: str, default: str | None = "-1", objective_ms: int = 2000) -> registry_pb.Entity:
    """An application that takes doubles."""
    message = admin_pb.Application(name=name, input_type=DOUBLES, links=[admin_pb.Link(model=each) for each in links])
    message.latency_objective.FromMilliseconds(objective_ms)
    if default is not None:
        message.default_output.string = default
    return registry_pb.Entity(application=message)


def model(name: str, current: str = "1") -> registry_pb.Entity:
    """A model whose current version takes doubles."""
    return registry_pb.Entity(model=admin_pb.Model(name=name, input_type=DOUBLES, current_version=current))


def version(name: str, label: str = "1", **batching: object) -> registry_pb.Entity:
    """A version that takes doubles."""
    return registry_pb.Entity(
        model_version=admin_pb.ModelVersion(
            model=name,
            version=label,
            input_type=DOUBLES,
            uid=f"uid-{name}-{label}",
            batching=admin_pb.Batching(**batching),  # type: ignore[arg-type]
        )
    )


def replica(name: str, address: str, *, label: str = "1", replica_id: int = 0) -> registry_pb.Entity:
    """A replica."""
    return registry_pb.Entity(
        replica=admin_pb.Replica(model=name, version=label, replica_id=replica_id, address=address, input_type=DOUBLES)
    )


class PeerRegistry:
    """A RegistryService that holds what a test puts into it."""

    def __init__(self) -> None:
        self.entities: dict[bytes, registry_pb.Entity] = {}
        self.epoch = "epoch-1"
        self.revision = 0
        self.instances: dict[str, admin_pb.Instance] = {}
        self.watch_requests: list[registry_pb.WatchRequest] = []
        self.renewals = 0
        self._next_id = 1
        self._log: list[registry_pb.WatchResponse] = []
        self._changed = asyncio.Event()

    def put(self, *entities: registry_pb.Entity, deleted: Iterable[registry_pb.EntityKey] = ()) -> None:
        """Changes the configuration; watchers are told."""
        delta = registry_pb.Delta(put=entities, deleted=deleted)
        for key in delta.deleted:
            self.entities.pop(key.SerializeToString(), None)
        for entity in entities:
            self.entities[key_of(entity).SerializeToString()] = entity
        self.revision += 1
        self._log.append(registry_pb.WatchResponse(epoch=self.epoch, revision=self.revision, delta=delta))
        self._changed.set()
        self._changed = asyncio.Event()

    async def watch(self, request: registry_pb.WatchRequest) -> AsyncIterator[registry_pb.WatchResponse]:
        self.watch_requests.append(request)
        seen = request.revision
        if request.epoch != self.epoch:
            seen = self.revision
            snapshot = registry_pb.Snapshot(entities=self.entities.values())
            yield registry_pb.WatchResponse(epoch=self.epoch, revision=seen, snapshot=snapshot)
        while True:
            changed = self._changed
            for response in self._log[seen:]:
                seen = response.revision
                yield response
            await changed.wait()

    async def reserve_query_ids(
        self, _request: registry_pb.ReserveQueryIdsRequest
    ) -> registry_pb.ReserveQueryIdsResponse:
        first, self._next_id = self._next_id, self._next_id + 2**30
        return registry_pb.ReserveQueryIdsResponse(first=first, count=2**30)

    async def register_instance(
        self, request: registry_pb.RegisterInstanceRequest
    ) -> registry_pb.RegisterInstanceResponse:
        instance = request.instance
        self.instances[instance.instance_id] = instance
        lease = registry_pb.Lease(lease_id=instance.instance_id)
        lease.ttl.FromMilliseconds(300)
        return registry_pb.RegisterInstanceResponse(lease=lease)

    async def renew_lease(self, request: registry_pb.RenewLeaseRequest) -> registry_pb.RenewLeaseResponse:
        if request.lease_id not in self.instances:
            raise LeaseEnded
        self.renewals += 1
        return registry_pb.RenewLeaseResponse(lease=registry_pb.Lease(lease_id=request.lease_id))

    async def end_lease(self, request: registry_pb.EndLeaseRequest) -> registry_pb.EndLeaseResponse:
        self.instances.pop(request.lease_id, None)
        return registry_pb.EndLeaseResponse()

    async def register_replica(
        self, _request: registry_pb.RegisterReplicaRequest
    ) -> registry_pb.RegisterReplicaResponse:
        raise NotImplementedError

    @asynccontextmanager
    async def serving(self, port: int = 0) -> AsyncIterator[str]:
        """Serves it; the address."""
        methods = typed_methods(registry_pb.DESCRIPTOR.services_by_name["RegistryService"], self, process="manager")
        server = await GrpcioTransport().serve(methods, f"127.0.0.1:{port}")
        try:
            yield f"127.0.0.1:{server.port}"
        finally:
            await server.stop(0)


def key_of(entity: registry_pb.Entity) -> registry_pb.EntityKey:
    """The key of an entity."""
    match entity.WhichOneof("entity"):
        case "application":
            return registry_pb.EntityKey(application=entity.application.name)
        case "model":
            return registry_pb.EntityKey(model=entity.model.name)
        case "model_version":
            of = entity.model_version
            return registry_pb.EntityKey(model_version=registry_pb.ModelVersionKey(model=of.model, version=of.version))
        case _:
            copy = entity.replica
            return registry_pb.EntityKey(
                replica=registry_pb.ReplicaKey(model=copy.model, version=copy.version, replica_id=copy.replica_id)
            )


Compute = Callable[[Sequence[values_pb2.Input]], Awaitable[Sequence[model_pb.PredictResult]]]


async def sums(inputs: Sequence[values_pb2.Input]) -> list[model_pb.PredictResult]:
    """The README's model; a negative first element makes it raise."""
    return [_sum(each) for each in inputs]


def _sum(value: values_pb2.Input) -> model_pb.PredictResult:
    values = value.doubles.values
    if values and values[0] < 0:
        return model_pb.PredictResult(error=model_pb.PredictError(kind="ValueError", message="negative"))
    return model_pb.PredictResult(output=values_pb2.Output(number=sum(values)))


@dataclass
class PeerModel:
    """A ModelService with a Python function behind it, and a record of what it was asked."""

    name: str = "sum"
    version: str = "1"
    compute: Compute = sums
    max_batch_rows: int = 0
    batches: list[list[values_pb2.Input]] = field(default_factory=list)
    server: Server | None = None

    @property
    def inputs(self) -> list[list[float]]:
        """All inputs that it was asked for, in order."""
        return [list(each.doubles.values) for batch in self.batches for each in batch]

    @property
    def address(self) -> str:
        assert self.server is not None
        return f"127.0.0.1:{self.server.port}"

    async def get_model_info(self, _request: model_pb.GetModelInfoRequest) -> model_pb.GetModelInfoResponse:
        return model_pb.GetModelInfoResponse(
            model=self.name, version=self.version, input_type=DOUBLES, max_batch_rows=self.max_batch_rows
        )

    async def predict(self, request: model_pb.PredictRequest) -> model_pb.PredictResponse:
        self.batches.append(list(request.inputs))
        return model_pb.PredictResponse(results=await self.compute(request.inputs), model_us=7)

    async def start(self, port: int = 0) -> PeerModel:
        health = Health("clipper.model.v1.ModelService")
        health.set_serving(True)
        service = model_pb.DESCRIPTOR.services_by_name["ModelService"]
        methods = {**typed_methods(service, self, process="runtime"), **health.methods()}
        self.server = await GrpcioTransport().serve(methods, f"127.0.0.1:{port}")
        return self

    async def stop(self) -> None:
        if self.server is not None:
            await self.server.stop(0)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()


def doubles(*values: float) -> values_pb2.Input:
    """An input of doubles."""
    return values_pb2.Input(doubles=values_pb2.Doubles(values=values))
