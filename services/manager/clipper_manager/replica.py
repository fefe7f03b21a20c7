"""Calls replicas: dials one back before it is registered, and puts an operator's questions to one."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from grpc_health.v1 import health_pb2

from clipper.model.v1 import model_service_pb2
from clipper.v1 import trial_pb2, values_pb2
from clipper_manager.convert import trial
from clipper_manager.pages import PageRequest
from clipper_manager.registry import Registry
from clipper_rpc.errors import ClipperError, Code, NoReplica
from clipper_rpc.services import TypedClient
from clipper_rpc.transport import Channel, Transport

TIMEOUT_S = 2.0
_HEALTH = health_pb2.DESCRIPTOR.services_by_name["Health"]
_MODEL = model_service_pb2.DESCRIPTOR.services_by_name["ModelService"]


class TrialService:
    """clipper.v1.TrialService: hands the questions of an operator to a replica."""

    def __init__(self, registry: Registry, transport: Transport) -> None:
        self._registry = registry
        self._transport = transport

    async def ask_model_version(self, request: trial_pb2.AskModelVersionRequest) -> trial_pb2.AskModelVersionResponse:
        """See trial.proto."""
        timeout_s = trial.to_timeout_s(request)
        found = await self._registry.replicas(request.model, request.version, PageRequest(1, ""))
        if not found.items:
            raise NoReplica(model=request.model, version=request.version)
        results = await self._ask(found.items[0].address, request.inputs, timeout_s)
        return trial_pb2.AskModelVersionResponse(answers=map(trial.from_result, results))

    async def _ask(
        self, address: str, inputs: Iterable[values_pb2.Input], timeout_s: float
    ) -> Sequence[model_service_pb2.PredictResult]:
        deadline_ns = time.monotonic_ns() + int(timeout_s * 1e9)
        request = model_service_pb2.PredictRequest(inputs=inputs)
        channel = self._transport.connect(address)
        try:
            reply = await TypedClient(channel, _MODEL).call(
                "Predict", request, model_service_pb2.PredictResponse, deadline_ns=deadline_ns
            )
        finally:
            await channel.close()
        return reply.results


class DialBack:
    """A ReplicaChecker that calls the replica over the network."""

    def __init__(self, transport: Transport, timeout_s: float = TIMEOUT_S) -> None:
        self._transport = transport
        self._timeout_s = timeout_s

    async def check(self, model: str, version: str, address: str) -> str | None:
        """See ReplicaChecker.check. Takes at most the timeout."""
        deadline_ns = time.monotonic_ns() + int(self._timeout_s * 1e9)
        channel = self._transport.connect(address)
        try:
            return await self._wrong_health(channel, deadline_ns) or await self._wrong_model(
                channel, model, version, deadline_ns
            )
        finally:
            await channel.close()

    async def _wrong_health(self, channel: Channel, deadline_ns: int) -> str | None:
        try:
            health = await TypedClient(channel, _HEALTH).call(
                "Check", health_pb2.HealthCheckRequest(), health_pb2.HealthCheckResponse, deadline_ns=deadline_ns
            )
        except ClipperError as error:
            if error.code == Code.DEADLINE_EXCEEDED:
                return f"no answer within {self._timeout_s:g} s"
            return f"{error.code.name}: {error.message}"
        if health.status != health_pb2.HealthCheckResponse.SERVING:
            return f"it says {health_pb2.HealthCheckResponse.ServingStatus.Name(health.status)}"
        return None

    async def _wrong_model(self, channel: Channel, model: str, version: str, deadline_ns: int) -> str | None:
        try:
            info = await TypedClient(channel, _MODEL).call(
                "GetModelInfo",
                model_service_pb2.GetModelInfoRequest(),
                model_service_pb2.GetModelInfoResponse,
                deadline_ns=deadline_ns,
            )
        except ClipperError as error:
            if error.code == Code.UNIMPLEMENTED:
                return None  # health is all that can be asked of it
            return f"GetModelInfo fails with {error.code.name}: {error.message}"
        if (info.model, info.version) != (model, version):
            return f"it serves {info.model}:{info.version}, not {model}:{version}"
        return None
