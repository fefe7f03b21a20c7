"""Methods that stream: served by each transport, to each transport's channel and to grpcio's own client.

Each test is one promise of `clipper_rpc.transport`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import grpc
import pytest
from wires import ForeignClient, Wire, ask, now_ns

from clipper_rpc.errors import Cancelled, ClipperError, Code, NoReplica
from clipper_rpc.status import RemoteError
from clipper_rpc.transport import (
    Methods,
    StreamCall,
    Streaming,
    Unary,
    UnaryCall,
)

ECHO = "/test.Echo/Echo"
STREAM = "/test.Echo/Stream"


def echo(call: UnaryCall) -> None:
    call.reply(call.payload)


def streaming(handle: Callable[[StreamCall], Awaitable[None]]) -> Methods:
    return {STREAM: Streaming(handle), ECHO: Unary(echo)}


async def count(call: StreamCall) -> None:
    async for payload in call.requests():
        for number in range(int(payload)):
            await call.send(b"%d" % number)


async def test_a_stream_yields_its_responses_in_order_and_ends(wire: Wire) -> None:
    caller = await wire.both(streaming(count))
    assert [int(each) async for each in caller.stream(STREAM, b"1000")] == list(range(1000))


async def test_a_stream_may_be_empty(wire: Wire) -> None:
    caller = await wire.both(streaming(count))
    assert [each async for each in caller.stream(STREAM, b"0")] == []


async def test_large_responses_stream(wire: Wire) -> None:
    async def handle(call: StreamCall) -> None:
        for number in range(5):
            await call.send(bytes([number]) * 3_000_000)

    caller = await wire.both(streaming(handle))
    assert [each async for each in caller.stream(STREAM, b"")] == [bytes([n]) * 3_000_000 for n in range(5)]


async def test_a_stream_that_fails_yields_what_came_before(wire: Wire) -> None:
    async def handle(call: StreamCall) -> None:
        await call.send(b"one")
        raise NoReplica(model="m", version="1")

    caller = await wire.both(streaming(handle))
    got = []
    with pytest.raises(NoReplica) as raised:
        async for each in caller.stream(STREAM, b""):
            got.append(each)  # it raises in between
    assert got == [b"one"]
    assert raised.value.fields == {"model": "m", "version": "1"}


async def test_a_stream_handler_that_breaks_answers_internal(wire: Wire, caplog: pytest.LogCaptureFixture) -> None:
    async def handle(call: StreamCall) -> None:
        raise KeyError("secret")

    caller = await wire.both(streaming(handle))
    with pytest.raises(ClipperError) as raised:
        await anext(caller.stream(STREAM, b""))
    assert raised.value.code == Code.INTERNAL
    assert "secret" not in raised.value.message
    assert any(record.exc_info for record in caplog.records)


async def test_metadata_and_deadline_reach_a_stream_handler(wire: Wire) -> None:
    seen: asyncio.Future[StreamCall] = asyncio.get_running_loop().create_future()

    async def handle(call: StreamCall) -> None:
        seen.set_result(call)
        assert call.deadline_ns is not None
        await call.send(b"%d" % call.deadline_ns)

    caller = await wire.both(streaming(handle))
    deadline_ns = now_ns() + 5_000_000_000
    (got,) = [each async for each in caller.stream(STREAM, b"", deadline_ns=deadline_ns, metadata=(("a", "b"),))]
    assert abs(int(got) - deadline_ns) < 500_000_000
    assert ("a", "b") in (await seen).metadata
    assert (await seen).method == STREAM


async def test_a_stream_ends_at_its_deadline_and_its_handler_is_cancelled(wire: Wire) -> None:
    cancelled = asyncio.Event()

    async def handle(call: StreamCall) -> None:
        await call.send(b"one")
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    caller = await wire.both(streaming(handle))
    got = []
    with pytest.raises(RemoteError) as raised:
        async for each in caller.stream(STREAM, b"", deadline_ns=now_ns() + 300_000_000):
            got.append(each)
    assert got == [b"one"]
    assert raised.value.code == Code.DEADLINE_EXCEEDED
    await asyncio.wait_for(cancelled.wait(), 5)


async def test_leaving_a_stream_cancels_its_handler(wire: Wire) -> None:
    cancelled = asyncio.Event()

    async def handle(call: StreamCall) -> None:
        try:
            while True:
                await call.send(b"more")
        except asyncio.CancelledError:
            cancelled.set()
            raise

    caller = await wire.both(streaming(handle))
    stream = caller.stream(STREAM, b"")
    assert await anext(stream) == b"more"
    await stream.aclose()  # type: ignore[attr-defined]  # they are generators
    await asyncio.wait_for(cancelled.wait(), 5)
    assert (await ask(caller, ECHO, b"x")).payload == b"x"


async def test_a_cancelled_reader_ends_its_stream(wire: Wire) -> None:
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def handle(call: StreamCall) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    caller = await wire.both(streaming(handle))

    async def read() -> None:
        async for _ in caller.stream(STREAM, b""):
            pass

    reading = asyncio.create_task(read())
    await asyncio.wait_for(started.wait(), 5)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    await asyncio.wait_for(cancelled.wait(), 5)


async def test_closing_the_channel_ends_a_stream_as_cancelled(wire: Wire) -> None:
    started = asyncio.Event()

    async def handle(call: StreamCall) -> None:
        started.set()
        await asyncio.Event().wait()

    caller = await wire.both(streaming(handle))
    if isinstance(caller, ForeignClient):
        pytest.skip("grpcio's own client has its own way")
    reading = asyncio.ensure_future(anext(caller.stream(STREAM, b"")))
    await asyncio.wait_for(started.wait(), 5)
    await caller.close()
    with pytest.raises(Cancelled):
        await reading


async def test_a_sender_waits_for_a_reader_that_is_slow(wire: Wire) -> None:
    sent = 0
    size = 100_000

    async def handle(call: StreamCall) -> None:
        nonlocal sent
        for number in range(1000):
            await call.send(number.to_bytes(4, "big") + bytes(size))
            sent += 1

    caller = await wire.both(streaming(handle))
    stream = caller.stream(STREAM, b"")
    await anext(stream)
    before = -1
    while before != sent:  # until it stands still
        before = sent
        await asyncio.sleep(0.2)
    assert sent * size < 50_000_000, "an unread stream is held back"  # windows and sockets take some
    got = [int.from_bytes(each[:4], "big") async for each in stream]
    assert got == list(range(1, 1000))


async def test_an_unread_stream_does_not_hold_back_other_calls(wire: Wire) -> None:
    async def handle(call: StreamCall) -> None:
        while True:
            await call.send(bytes(100_000))

    caller = await wire.both(streaming(handle))
    stream = caller.stream(STREAM, b"")
    await anext(stream)
    for number in range(20):
        assert len((await ask(caller, ECHO, bytes(100_000 + number))).payload) == 100_000 + number
    await stream.aclose()  # type: ignore[attr-defined]


async def test_a_bidirectional_stream_answers_each_request_before_the_next(served: Wire) -> None:
    async def handle(call: StreamCall) -> None:
        async for payload in call.requests():
            await call.send(b"to " + payload)

    caller = await served.both(streaming(handle))
    assert isinstance(caller, ForeignClient)
    rpc = caller.channel.stream_stream(STREAM)()
    for number in range(200):
        await rpc.write(b"%d" % number)
        assert await rpc.read() == b"to %d" % number
    await rpc.done_writing()
    assert await rpc.read() is grpc.aio.EOF
    assert await rpc.code() == grpc.StatusCode.OK


async def test_a_handler_may_end_a_stream_before_its_requests_do(served: Wire) -> None:
    async def handle(call: StreamCall) -> None:
        async for payload in call.requests():
            await call.send(payload)
            return

    caller = await served.both(streaming(handle))
    assert isinstance(caller, ForeignClient)
    rpc = caller.channel.stream_stream(STREAM)()
    await rpc.write(b"one")
    assert await rpc.read() == b"one"
    assert await rpc.read() is grpc.aio.EOF
    assert await rpc.code() == grpc.StatusCode.OK


async def test_a_client_that_streams_is_held_back_while_the_handler_does_not_read(served: Wire) -> None:
    read_on = asyncio.Event()
    total = 0

    async def handle(call: StreamCall) -> None:
        nonlocal total
        await read_on.wait()
        async for payload in call.requests():
            total += len(payload)
        await call.send(b"%d" % total)

    caller = await served.both(streaming(handle))
    assert isinstance(caller, ForeignClient)
    rpc = caller.channel.stream_stream(STREAM)()
    written = 0

    async def write() -> None:
        nonlocal written
        for _ in range(1000):
            await rpc.write(bytes(100_000))
            written += 1
        await rpc.done_writing()

    writing = asyncio.create_task(write())
    before = -1
    while before != written:
        before = written
        await asyncio.sleep(0.2)
    assert written * 100_000 < 50_000_000, "an unread client is held back"
    read_on.set()
    assert await rpc.read() == b"100000000"
    await writing


async def test_a_stopping_server_ends_its_streams_after_the_grace(wire: Wire) -> None:
    cancelled = asyncio.Event()

    async def handle(call: StreamCall) -> None:
        await call.send(b"one")
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    server = await wire.serve(streaming(handle))
    stream = wire.connect(server).stream(STREAM, b"")
    assert await anext(stream) == b"one"
    await server.stop(0.1)
    await asyncio.wait_for(cancelled.wait(), 5)
    with pytest.raises(ClipperError) as raised:
        await anext(stream)
    assert raised.value.code in {Code.UNAVAILABLE, Code.CANCELLED}


async def test_many_large_messages_on_many_streams_do_not_block_one_another(wire: Wire) -> None:
    async def handle(call: StreamCall) -> None:
        for _ in range(3):
            await call.send(bytes(1_000_000))

    caller = await wire.both(streaming(handle))

    async def read() -> int:
        return sum([len(each) async for each in caller.stream(STREAM, b"")])

    assert set(await asyncio.gather(*(read() for _ in range(50)))) == {3_000_000}
