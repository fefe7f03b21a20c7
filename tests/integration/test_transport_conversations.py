"""Calls that stream both ways, made by each transport's channel and served by each.

Each test is one promise of `clipper_rpc.transport`.
"""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import cast

import pytest
from wires import INITIAL, TRAILING, TRANSPORTS, Wire, ask, now_ns

from clipper_rpc.errors import Cancelled, ClipperError, Code, NoReplica
from clipper_rpc.status import RemoteError
from clipper_rpc.transport import AnsweredWithMetadata, StreamCall, Streaming, Unary, UnaryCall

ECHO = "/test.Echo/Echo"
STREAM = "/test.Echo/Stream"


@pytest.fixture(params=[(served, called) for served in TRANSPORTS for called in TRANSPORTS], ids="<-".join)
async def wire(request: pytest.FixtureRequest) -> AsyncIterator[Wire]:
    async with AsyncExitStack() as stack:
        server, called = request.param
        yield Wire(server, called, stack)


async def echo(call: StreamCall) -> None:
    async for payload in call.requests():
        await call.send(b"to " + payload)


def both_metadata(call: object) -> None:
    answered = cast(AnsweredWithMetadata, call)
    answered.set_initial_metadata(INITIAL)
    answered.set_trailing_metadata(TRAILING)


async def test_a_conversation_answers_each_request_before_the_next(wire: Wire) -> None:
    server = await wire.serve({STREAM: Streaming(echo)})
    conversation = wire.channel(server.port).converse(STREAM)
    responses = aiter(conversation)
    for number in range(200):
        await conversation.send(b"%d" % number)
        assert await anext(responses) == b"to %d" % number
    conversation.end()
    assert [each async for each in responses] == []


async def test_a_client_that_streams_gets_its_answer_when_it_ends(wire: Wire) -> None:
    async def total(call: StreamCall) -> None:
        await call.send(b"%d" % sum([len(payload) async for payload in call.requests()]))

    server = await wire.serve({STREAM: Streaming(total)})
    conversation = wire.channel(server.port).converse(STREAM)
    for size in (0, 1, 100_000, 1_000_000):
        await conversation.send(bytes(size))
    conversation.end()
    assert [each async for each in conversation] == [b"1100001"]


async def test_initial_metadata_comes_before_the_first_response_and_trailing_metadata_with_the_end(wire: Wire) -> None:
    async def handle(call: StreamCall) -> None:
        both_metadata(call)
        await echo(call)

    server = await wire.serve({STREAM: Streaming(handle)})
    conversation = wire.channel(server.port).converse(STREAM, metadata=(("a", "b"),))
    await conversation.send(b"x")
    assert set(INITIAL) <= set(await conversation.initial_metadata())
    conversation.end()
    assert [each async for each in conversation] == [b"to x"]
    assert set(TRAILING) <= set(conversation.trailing)


async def test_a_conversation_that_fails_raises_its_error_and_has_its_metadata(wire: Wire) -> None:
    async def handle(call: StreamCall) -> None:
        both_metadata(call)
        await call.send(b"one")
        raise NoReplica(model="m", version="1")

    server = await wire.serve({STREAM: Streaming(handle)})
    conversation = wire.channel(server.port).converse(STREAM)
    got = []
    with pytest.raises(NoReplica) as raised:
        async for each in conversation:
            got.append(each)  # it raises in between
    assert got == [b"one"]
    assert raised.value.fields == {"model": "m", "version": "1"}
    assert set(TRAILING) <= set(conversation.trailing)
    await conversation.send(b"nobody reads it")  # is no error: the responses have told


async def test_a_conversation_ends_at_its_deadline(wire: Wire) -> None:
    server = await wire.serve({STREAM: Streaming(echo)})
    conversation = wire.channel(server.port).converse(STREAM, deadline_ns=now_ns() + 300_000_000)
    with pytest.raises(RemoteError) as raised:
        await anext(aiter(conversation))
    assert raised.value.code == Code.DEADLINE_EXCEEDED


async def test_cancelling_a_conversation_cancels_its_handler(wire: Wire) -> None:
    cancelled = asyncio.Event()

    async def handle(call: StreamCall) -> None:
        try:
            await call.send(await anext(call.requests()))
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    server = await wire.serve({STREAM: Streaming(handle)})
    conversation = wire.channel(server.port).converse(STREAM)
    responses = aiter(conversation)
    await conversation.send(b"x")
    assert await anext(responses) == b"x"
    conversation.cancel()
    with pytest.raises(Cancelled):
        await anext(responses)
    await asyncio.wait_for(cancelled.wait(), 5)


async def test_closing_the_channel_ends_a_conversation_as_cancelled(wire: Wire) -> None:
    server = await wire.serve({STREAM: Streaming(echo)})
    channel = wire.channel(server.port)
    conversation = channel.converse(STREAM)
    responses = aiter(conversation)
    await conversation.send(b"x")
    assert await anext(responses) == b"to x"
    await channel.close()
    with pytest.raises(Cancelled):
        await anext(responses)
    with pytest.raises(Cancelled):
        channel.converse(STREAM)


async def test_a_conversation_with_nobody_is_unavailable(one: Wire) -> None:
    server = await one.serve({})
    await server.stop(0)
    conversation = one.channel(server.port).converse(STREAM)
    with pytest.raises(ClipperError) as raised:
        await anext(aiter(conversation))
    assert raised.value.code == Code.UNAVAILABLE


async def test_a_sender_of_requests_waits_for_a_server_that_does_not_read(wire: Wire) -> None:
    read_on = asyncio.Event()

    async def handle(call: StreamCall) -> None:
        await read_on.wait()
        await call.send(b"%d" % sum([len(payload) async for payload in call.requests()]))

    server = await wire.serve({STREAM: Streaming(handle)})
    conversation = wire.channel(server.port).converse(STREAM)
    written = 0

    async def write() -> None:
        nonlocal written
        for _ in range(500):
            await conversation.send(bytes(100_000))
            written += 1
        conversation.end()

    writing = asyncio.create_task(write())
    before = -1
    while before != written:  # until it stands still
        before = written
        await asyncio.sleep(0.2)
    assert written * 100_000 < 30_000_000, "an unread client is held back"
    read_on.set()
    assert [each async for each in conversation] == [b"50000000"]
    await writing


async def test_initial_and_trailing_metadata_of_a_unary_call_reach_its_caller(wire: Wire) -> None:
    def handle(call: UnaryCall) -> None:
        both_metadata(call)
        call.reply(b"x")

    server = await wire.serve({ECHO: Unary(handle)})
    reply = await ask(wire.channel(server.port), ECHO)
    assert (reply.payload, set(reply.trailing)) == (b"x", set(TRAILING))
    assert set(INITIAL) <= set(reply.initial)


async def test_a_conversation_that_has_ended_leaves_nothing_behind(wire: Wire) -> None:
    server = await wire.serve({STREAM: Streaming(echo)})
    channel = wire.channel(server.port)

    async def talk() -> weakref.ref[object]:
        conversation = channel.converse(STREAM)
        await conversation.send(b"x")
        conversation.end()
        assert [each async for each in conversation] == [b"to x"]
        return weakref.ref(conversation)

    ended = await talk()
    for _ in range(3):
        await asyncio.sleep(0)  # what the loop still holds
        gc.collect()
    assert ended() is None


async def test_several_senders_on_one_stream_all_go_on_when_there_is_room(one: Wire) -> None:
    if one.server == "grpcio":
        pytest.skip("grpcio takes one message at a time")
    read_on = asyncio.Event()

    async def handle(call: StreamCall) -> None:
        await read_on.wait()
        await call.send(b"%d" % sum([len(payload) async for payload in call.requests()]))

    server = await one.serve({STREAM: Streaming(handle)})
    conversation = one.channel(server.port).converse(STREAM)
    sending = [asyncio.ensure_future(conversation.send(bytes(100_000))) for _ in range(50)]
    _, waiting = await asyncio.wait(sending, timeout=0.2)
    assert waiting
    read_on.set()
    await asyncio.wait_for(asyncio.gather(*sending), 20)
    conversation.end()
    assert [each async for each in conversation] == [b"5000000"]


async def test_trailing_metadata_that_is_the_protocols_own_fails_the_stream(one: Wire) -> None:
    if one.server == "grpcio":
        pytest.skip("grpcio sends it")

    async def handle(call: StreamCall) -> None:
        cast(AnsweredWithMetadata, call).set_trailing_metadata((("grpc-status", "0"),))

    server = await one.serve({STREAM: Streaming(handle)})
    with pytest.raises(ClipperError, match="the protocol's own") as raised:
        await anext(aiter(one.channel(server.port).converse(STREAM)))
    assert raised.value.code == Code.INTERNAL
