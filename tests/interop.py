"""gRPC's interoperability TestService on the raw seam, so that any transport can serve it."""

from __future__ import annotations

import asyncio
from functools import cache
from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.message_factory import GetMessageClass
from grpc_tools import protoc  # type: ignore[import-untyped]

from clipper_rpc.errors import Code
from clipper_rpc.status import RemoteError
from clipper_rpc.transport import AnsweredWithMetadata, Methods, Status, StreamCall, Streaming, Unary, UnaryCall

_INITIAL, _TRAILING = "x-grpc-test-echo-initial", "x-grpc-test-echo-trailing-bin"


@cache
def _pool() -> descriptor_pool.DescriptorPool:
    here = Path(__file__).parent
    with TemporaryDirectory() as directory:
        out = Path(directory) / "interop.binpb"
        include = str(resources.files("grpc_tools") / "_proto")
        assert protoc.main(["", f"-I{here}", f"-I{include}", f"-o{out}", "interop.proto"]) == 0
        files = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes())
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)
    return pool


def message(name: str) -> Any:
    return GetMessageClass(_pool().FindMessageTypeByName(f"grpc.testing.{name}"))


def methods() -> Methods:
    service = "/grpc.testing.TestService"
    return {
        f"{service}/EmptyCall": Unary(lambda call: call.reply(b"")),
        f"{service}/UnaryCall": Unary(_unary),
        f"{service}/StreamingOutputCall": Streaming(_stream),
        f"{service}/StreamingInputCall": Streaming(_sum),
        f"{service}/FullDuplexCall": Streaming(_stream),
    }


def _echo_metadata(call: UnaryCall | StreamCall) -> None:
    answered = cast(AnsweredWithMetadata, call)
    initial = tuple(pair for pair in call.metadata if pair[0] == _INITIAL)
    trailing = tuple(pair for pair in call.metadata if pair[0] == _TRAILING)
    if initial:
        answered.set_initial_metadata(initial)
    if trailing:
        answered.set_trailing_metadata(trailing)


def _unary(call: UnaryCall) -> None:
    _echo_metadata(call)
    request = message("SimpleRequest").FromString(call.payload)
    if request.response_status.code:
        call.fail(Status(Code(request.response_status.code), request.response_status.message))
        return
    response = message("SimpleResponse")(server_id="one" if request.fill_server_id else "")
    response.payload.body = bytes(request.response_size)
    call.reply(response.SerializeToString())


async def _stream(call: StreamCall) -> None:
    _echo_metadata(call)
    async for payload in call.requests():
        request = message("StreamingOutputCallRequest").FromString(payload)
        if request.response_status.code:
            raise RemoteError(code=Code(request.response_status.code), problem=request.response_status.message)
        for wanted in request.response_parameters:
            await asyncio.sleep(wanted.interval_us / 1e6)
            response = message("StreamingOutputCallResponse")()
            response.payload.body = bytes(wanted.size)
            await call.send(response.SerializeToString())


async def _sum(call: StreamCall) -> None:
    total = 0
    async for payload in call.requests():
        total += len(message("StreamingInputCallRequest").FromString(payload).payload.body)
    await call.send(message("StreamingInputCallResponse")(aggregated_payload_size=total).SerializeToString())
