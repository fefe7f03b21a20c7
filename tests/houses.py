"""A real frontend process among neighbours that a test plays: registry, models, clients."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import grpc
import grpc.aio
from peers import PeerModel, PeerRegistry, application, doubles, model, replica, sums, version

from clipper.v1 import predict_pb2, predict_pb2_grpc
from processes import Process, module


@dataclass
class House:
    """A frontend process and its neighbours."""

    log: Path
    transport: str = "auto"
    registry: PeerRegistry = field(default_factory=PeerRegistry)
    manager: str = ""

    async def __aenter__(self) -> Self:
        self.stack = AsyncExitStack()
        self.manager = await self.stack.enter_async_context(self.registry.serving())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stack.aclose()

    async def start(self, *flags: str, manager: str = "") -> Process:
        """Starts a frontend, without a cache unless a flag says so, and waits until it is ready."""
        arguments = ["--port", "0", "--manager", manager or self.manager, "--transport", self.transport]
        arguments += ["--cache-bytes", "0", *flags]
        process = Process(module("clipper_frontend", "--grace-s", "5", *arguments), log=self.log)
        self.stack.push_async_callback(asyncio.to_thread, process.stop)
        await asyncio.to_thread(process.start)
        return process

    async def channel(self, process: Process) -> grpc.aio.Channel:
        channel = grpc.aio.insecure_channel(process.address, options=[("grpc.use_local_subchannel_pool", 1)])
        return await self.stack.enter_async_context(channel)

    async def stub(self, process: Process) -> predict_pb2_grpc.PredictServiceStub:
        return predict_pb2_grpc.PredictServiceStub(await self.channel(process))

    async def model(self, compute: object = sums, **fields: object) -> PeerModel:
        peer = PeerModel(compute=compute, **fields)  # type: ignore[arg-type]
        return await self.stack.enter_async_context(peer)

    async def serving(self, *flags: str, **fields: object) -> tuple[PeerModel, predict_pb2_grpc.PredictServiceStub]:
        """A frontend with application "app" and one replica of "sum"."""
        peer = await self.model(**fields)
        self.registry.put(application("app", "sum"), model("sum"), version("sum"), replica("sum", peer.address))
        return peer, await self.stub(await self.start(*flags))


def asking(*values: float, app: str = "app", **fields: object) -> predict_pb2.PredictRequest:
    return predict_pb2.PredictRequest(application=app, input=doubles(*values), **fields)  # type: ignore[arg-type]


async def eventually(
    stub: predict_pb2_grpc.PredictServiceStub, request: predict_pb2.PredictRequest, **want: object
) -> predict_pb2.PredictResponse:
    """Asks until the answer has the wanted fields."""
    async with asyncio.timeout(20):
        while True:
            reply = await stub.Predict(request)
            if all(getattr(reply, name) == value for name, value in want.items()):
                return reply
            await asyncio.sleep(0.01)
