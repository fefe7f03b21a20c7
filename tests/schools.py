"""Frontends that learn, for tests: a registry, models in this process, a real Redis, and clients."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis
from peers import PeerModel, PeerRegistry, application, doubles, model, replica, version

from clipper.model.v1 import model_service_pb2 as model_pb
from clipper.v1 import feedback_pb2, predict_pb2, values_pb2
from clipper_rpc import choose
from clipper_rpc.services import TypedClient
from clipper_rpc.transport import Channel
from clipper_selection.stored import Names
from processes import Process, module

NAMES = Names("default-cluster")


def always(answer: float) -> Any:
    """A model that answers the same to everything."""

    async def compute(inputs: Sequence[values_pb2.Input]) -> list[model_pb.PredictResult]:
        return [model_pb.PredictResult(output=values_pb2.Output(number=answer)) for _ in inputs]

    return compute


class Asker:
    """Calls one frontend."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self._predict = TypedClient(channel, predict_pb2.DESCRIPTOR.services_by_name["PredictService"])
        self._feedback = TypedClient(channel, feedback_pb2.DESCRIPTOR.services_by_name["FeedbackService"])

    async def predict(
        self, value: float = 1.0, *, app: str = "app", context: str = "", explain: bool = False
    ) -> predict_pb2.PredictResponse:
        request = predict_pb2.PredictRequest(application=app, input=doubles(value), context=context, explain=explain)
        async with asyncio.timeout(20):
            return await self._predict.call("Predict", request, predict_pb2.PredictResponse)

    async def tell(self, *, app: str = "app", **fields: Any) -> feedback_pb2.SendFeedbackResponse:
        request = feedback_pb2.SendFeedbackRequest(application=app, **fields)
        async with asyncio.timeout(20):
            return await self._feedback.call("SendFeedback", request, feedback_pb2.SendFeedbackResponse)


@dataclass
class Frontends:
    """Frontends of one cluster, and what they stand on."""

    directory: Path
    redis_url: str
    stack: AsyncExitStack
    registry: PeerRegistry = field(default_factory=PeerRegistry)
    manager: str = ""
    started: int = 0

    async def start(self, *flags: str) -> tuple[Process, Asker]:
        """Starts a frontend."""
        self.started += 1
        arguments = ["--port", "0", "--manager", self.manager, "--redis-url", self.redis_url, "--grace-s", "5", *flags]
        process = Process(module("clipper_frontend", *arguments), log=self.directory / f"frontend{self.started}.log")
        self.stack.push_async_callback(asyncio.to_thread, process.stop)
        await asyncio.to_thread(process.start)
        return process, await self.asker(process)

    async def asker(self, process: Process) -> Asker:
        channel = choose.transport("auto").connect(process.address)
        self.stack.push_async_callback(channel.close)
        return Asker(channel)

    async def models(self, **answers: float) -> dict[str, PeerModel]:
        """Models that answer the same to everything, each with one replica."""
        peers = {}
        for name, answer in answers.items():
            peer = PeerModel(name=name, compute=always(answer))
            peers[name] = await self.stack.enter_async_context(peer)
            self.registry.put(model(name), version(name), replica(name, peer.address))
        return peers

    def application(
        self,
        policy: str,
        *models: str,
        name: str = "app",
        generation: int = 1,
        shadows: Sequence[str] = (),
        **given: Any,
    ) -> None:
        """Configures an application."""
        entity = application(name, *models)
        entity.application.selection_policy.name = policy
        entity.application.selection_policy.parameters.update(given)
        entity.application.selection_generation = generation
        for shadow in shadows:
            entity.application.links.add(model=shadow, shadow=True)
        self.registry.put(entity)

    def stored(self, context: str = "", *, app: str = "app", generation: int = 1) -> Mapping[str, float]:
        """A state as it lies in Redis, with what was counted; but for its revision."""
        key = NAMES.context_prefix(app, generation) + context if context else NAMES.state(app, generation)
        with redis.Redis.from_url(self.redis_url, decode_responses=True) as client:
            found: Any = client.hgetall(key)
        found.pop("#revision", None)
        return {name: float(value) for name, value in found.items()}


@asynccontextmanager
async def frontends(directory: Path, redis_url: str) -> AsyncIterator[Frontends]:
    """A cluster without frontends yet."""
    async with AsyncExitStack() as stack:
        made = Frontends(directory, redis_url, stack)
        made.manager = await stack.enter_async_context(made.registry.serving())
        yield made


async def until(holds: Any, *, timeout_s: float = 20) -> Any:
    """What an awaitable gives, once that is true."""
    async with asyncio.timeout(timeout_s):
        while not (found := await holds()):
            await asyncio.sleep(0.01)
        return found
