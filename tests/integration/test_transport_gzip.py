"""What is compressed, and what is read: by each transport, for and from grpcio's own.

Each test is one promise of `clipper_rpc.transport`.
"""

from __future__ import annotations

import asyncio

import grpc
import grpc.aio
import pytest
import raw_http2 as raw
from wires import Wire, ask, grpcios_own_server

from clipper_rpc.errors import Code
from clipper_rpc.transport import (
    StreamCall,
    Streaming,
    Unary,
    UnaryCall,
)

ECHO = "/test.Echo/Echo"
STREAM = "/test.Echo/Stream"


def echo(call: UnaryCall) -> None:
    call.reply(call.payload)


async def response(port: int, path: str, payload: bytes, *headers: tuple[str, str]) -> bytes:
    """The response's messages with their prefixes, as they came."""
    body = b""
    async with raw.connected(port) as connection:
        await connection.send(
            raw.frame(raw.HEADERS, raw.END_HEADERS, 1, raw.request(path, *headers)),
            raw.frame(raw.DATA, raw.END_STREAM, 1, raw.message(payload)),
        )
        while (got := await asyncio.wait_for(connection.read(), 5)) is not None:
            if got.kind == raw.DATA:
                body += got.payload
            if got.stream == 1 and got.flags & raw.END_STREAM:
                return body
    raise AssertionError("the connection has ended")


READS_GZIP = ("grpc-accept-encoding", "identity,deflate,gzip")


@pytest.mark.parametrize("method", [ECHO, STREAM])
async def test_responses_above_the_threshold_are_compressed_for_clients_that_read_that(one: Wire, method: str) -> None:
    methods = {ECHO: Unary(lambda call: call.reply(call.payload)), STREAM: Streaming(_same)}
    server = await one.serve(methods, compress_above_bytes=1000)
    large, small = bytes(10_000), bytes(1000)
    packed = await response(server.port, method, large, READS_GZIP)
    assert packed[0] == 1
    assert len(packed) < 200
    if one.server == "native":  # grpcio takes for granted that every client reads gzip
        assert await response(server.port, method, large) == raw.message(large)
    assert await response(server.port, method, small, READS_GZIP) == raw.message(small), "it is not worth it"
    client = grpc.aio.insecure_channel(f"127.0.0.1:{server.port}")
    async with client as channel:
        assert [each async for each in channel.unary_stream(method)(large)] == [large]


async def _same(call: StreamCall) -> None:
    async for payload in call.requests():
        await call.send(payload)


async def test_nothing_is_compressed_unless_that_was_asked_for(one: Wire) -> None:
    server = await one.serve({ECHO: Unary(lambda call: call.reply(call.payload))})
    assert await response(server.port, ECHO, bytes(10_000), READS_GZIP) == raw.message(bytes(10_000))


async def test_compressed_responses_are_read(one: Wire) -> None:
    async with grpcios_own_server(compression=grpc.Compression.Gzip) as port:
        channel = one.channel(port)
        for size in (0, 100_000, 3_000_000):
            assert (await ask(channel, ECHO, bytes(size))).payload == bytes(size)
            assert [each async for each in channel.stream(STREAM, bytes(size))] == [bytes(size)]


async def test_a_compressed_response_that_unpacks_above_the_limit_is_refused(one: Wire) -> None:
    async with grpcios_own_server(compression=grpc.Compression.Gzip) as port:
        channel = one.channel(port, max_message_bytes=100_000)
        assert (await ask(channel, ECHO, bytes(10_000_000))).status.code == Code.RESOURCE_EXHAUSTED
        assert (await ask(channel, ECHO, b"x")).payload == b"x"


async def test_compressed_requests_are_read(served: Wire) -> None:
    server = await served.serve({ECHO: Unary(echo)})
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}", compression=grpc.Compression.Gzip) as channel:
        assert await channel.unary_unary(ECHO)(bytes(100_000)) == bytes(100_000)
        assert await channel.unary_unary(ECHO)(b"") == b""


async def test_a_compressed_request_that_unpacks_above_the_limit_is_refused(served: Wire) -> None:
    server = await served.serve({ECHO: Unary(echo)}, max_message_bytes=100_000)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}", compression=grpc.Compression.Gzip) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await channel.unary_unary(ECHO)(bytes(50_000_000))
        assert raised.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
