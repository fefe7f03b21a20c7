"""grpcio's own server, which knows nothing of Clipper, called by each transport's channel.

Each test is one promise of `clipper_rpc.transport`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import raw_http2 as raw
import trustme
from wires import DETAILS, INITIAL, TRAILING, Wire, ask, grpcios_own_server, now_ns, transport

from clipper_rpc.errors import Code
from clipper_rpc.transport import ClientTls, Identity, Status

ECHO, HOLD, POUR = "/test.Echo/Echo", "/test.Echo/Hold", "/test.Echo/Pour"
STREAM = "/test.Echo/Stream"
SOON_S = 20
"""Far less than what would be waited for otherwise, and far more than a busy machine needs."""


async def test_calls_of_every_kind_are_answered_with_their_metadata(one: Wire) -> None:
    async with grpcios_own_server() as port:
        channel = one.channel(port)
        reply = await ask(channel, ECHO, b"x")
        assert (reply.payload, set(reply.trailing)) == (b"x", set(TRAILING))
        assert set(INITIAL) <= set(reply.initial)
        assert [each async for each in channel.stream(STREAM, b"y")] == [b"y"]
        conversation = channel.converse(STREAM)
        for each in (b"1", b"2"):
            await conversation.send(each)
        conversation.end()
        assert [each async for each in conversation] == [b"1", b"2"]


@pytest.mark.parametrize("size", [0, 16_384, 65_536, 3_000_000])
async def test_payloads_of_any_size_go_there_and_back(one: Wire, size: int) -> None:
    async with grpcios_own_server() as port:
        channel = one.channel(port)
        assert (await ask(channel, ECHO, bytes(size))).payload == bytes(size)
        assert [each async for each in channel.stream(STREAM, bytes(size))] == [bytes(size)]


async def test_many_calls_at_once_get_their_own_answers(one: Wire) -> None:
    async with grpcios_own_server() as port:
        channel = one.channel(port)
        replies = await asyncio.gather(*(ask(channel, ECHO, b"%d" % number) for number in range(500)))
        assert [reply.payload for reply in replies] == [b"%d" % number for number in range(500)]


async def test_request_metadata_and_the_deadline_reach_the_handler(one: Wire) -> None:
    sent = (("twice", "a"), ("twice", "b, c"), ("raw-bin", bytes(range(256))))
    seen: asyncio.Future[tuple[Any, float]] = asyncio.get_running_loop().create_future()

    async def look(request: bytes, context: Any) -> bytes:
        seen.set_result((context.invocation_metadata(), context.time_remaining()))
        return b""

    async with grpcios_own_server({HOLD: grpc.unary_unary_rpc_method_handler(look)}) as port:
        await ask(one.channel(port), HOLD, metadata=sent, deadline_ns=now_ns() + 30_000_000_000)
    metadata, left_s = await seen
    assert [tuple(each) for each in metadata if each[0] in dict(sent)] == list(sent)
    assert 20 < left_s <= 30


@pytest.mark.parametrize("code", [code for code in Code if code != Code.OK], ids=lambda code: code.name)
async def test_every_status_arrives_with_its_text_and_details(one: Wire, code: Code) -> None:
    text, details = f"{code.name}: 100 %\r\nzwei Zeilen, 模型 %41", bytes(range(256))

    async def fail(request: bytes, context: Any) -> bytes:
        context.set_trailing_metadata(((DETAILS, details),))
        await context.abort(next(each for each in grpc.StatusCode if each.value[0] == code), text)

    async with grpcios_own_server({HOLD: grpc.unary_unary_rpc_method_handler(fail)}) as port:
        assert (await ask(one.channel(port), HOLD)).status == Status(code, text, details)


async def test_an_unknown_method_is_unimplemented(one: Wire) -> None:
    async with grpcios_own_server({HOLD: None}) as port:
        assert (await ask(one.channel(port), HOLD)).status.code == Code.UNIMPLEMENTED


async def test_a_call_ends_at_its_deadline(one: Wire) -> None:
    async with grpcios_own_server() as port:
        late = await ask(one.channel(port), ECHO, b"slow", deadline_ns=now_ns() + 100_000_000)
        assert late.status.code == Code.DEADLINE_EXCEEDED


async def test_cancelling_a_call_cancels_its_handler(one: Wire) -> None:
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def hold(request: bytes, context: Any) -> bytes:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async with grpcios_own_server({HOLD: grpc.unary_unary_rpc_method_handler(hold)}) as port:
        call = one.channel(port).call(HOLD, b"", lambda reply: None)
        await asyncio.wait_for(begun.wait(), SOON_S)
        call.cancel()
        await asyncio.wait_for(cancelled.wait(), SOON_S)


async def test_a_response_above_the_limit_is_refused_and_others_go_on(one: Wire) -> None:
    async def large(request: bytes, context: Any) -> bytes:
        return bytes(1_000_001)

    async with grpcios_own_server({HOLD: grpc.unary_unary_rpc_method_handler(large)}) as port:
        channel = one.channel(port, max_message_bytes=1_000_000)
        assert (await ask(channel, HOLD)).status.code == Code.RESOURCE_EXHAUSTED
        assert (await ask(channel, ECHO, bytes(1_000_000))).payload == bytes(1_000_000)


async def test_a_reader_that_is_slow_holds_the_server_back(one: Wire) -> None:
    sent = 0

    async def pour(request: bytes, context: Any) -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(1000):
            yield bytes(100_000)
            sent += 1

    async with grpcios_own_server({POUR: grpc.unary_stream_rpc_method_handler(pour)}) as port:
        channel = one.channel(port)
        stream = channel.stream(POUR, b"")
        await anext(stream)
        before = -1
        while before != sent:  # until it stands still
            before = sent
            await asyncio.sleep(0.2)
        assert sent * 100_000 < 50_000_000, "an unread stream is held back"
        assert (await ask(channel, ECHO, bytes(100_000))).status.is_ok, "and holds back nobody else"
        assert [len(each) async for each in stream] == [100_000] * 999


async def test_a_server_that_does_not_read_holds_its_client_back(one: Wire) -> None:
    read_on = asyncio.Event()

    async def add(requests: AsyncIterator[bytes], context: Any) -> bytes:
        await read_on.wait()
        return b"%d" % sum([len(each) async for each in requests])

    written = 0
    async with grpcios_own_server({HOLD: grpc.stream_unary_rpc_method_handler(add)}) as port:
        conversation = one.channel(port).converse(HOLD)

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
        assert written * 100_000 < 30_000_000
        read_on.set()
        assert [each async for each in conversation] == [b"50000000"]
        await writing


async def test_connections_that_are_too_old_end_without_an_error(one: Wire) -> None:
    async with grpcios_own_server(options=[("grpc.max_connection_age_ms", 100)]) as port:
        channel = one.channel(port)
        until_ns = now_ns() + 1_000_000_000
        while now_ns() < until_ns:
            message = (await ask(channel, ECHO, b"x")).status.message
            # grpcio's own client gives up a call that crosses the server's GOAWAY, and says so; native asks again.
            assert message == "" or (one.client == "grpcio" and "GOAWAY" in message)
            await asyncio.sleep(0.01)


async def test_a_server_that_has_been_away_is_found_again(one: Wire) -> None:
    async with grpcios_own_server() as port:
        channel = one.channel(port)
        assert (await ask(channel, ECHO, b"x")).payload == b"x"
    assert (await ask(channel, ECHO, b"x")).status.code == Code.UNAVAILABLE
    async with grpcios_own_server(address=f"127.0.0.1:{port}"):

        async def until_answered() -> None:
            while not (await ask(channel, ECHO)).status.is_ok:  # the condition is the channel's
                await asyncio.sleep(0.02)

        await asyncio.wait_for(until_answered(), SOON_S)


async def test_calls_go_over_a_unix_socket(one: Wire, tmp_path: Path) -> None:
    address = f"unix:{tmp_path}/own.sock"
    async with grpcios_own_server(address=address):
        made = transport(one.client).connect(address)
        assert (await ask(made, ECHO, b"x")).payload == b"x"
        await made.close()


@pytest.mark.parametrize("mutual", [False, True], ids=["tls", "mutual-tls"])
async def test_calls_go_through_tls(one: Wire, mutual: bool) -> None:
    authority = trustme.CA()
    roots = authority.cert_pem.bytes()
    ours, theirs = _identity(authority, "me@localhost"), _identity(authority, "localhost")
    credentials = grpc.ssl_server_credentials([(theirs.key, theirs.certificate)], roots if mutual else None, mutual)
    async with grpcios_own_server(address="localhost:0", credentials=credentials) as port:
        made = transport(one.client).connect(f"localhost:{port}", tls=ClientTls(roots, ours if mutual else None))
        assert (await ask(made, ECHO, bytes(100_000))).payload == bytes(100_000)
        await made.close()


def _identity(authority: trustme.CA, name: str) -> Identity:
    made = authority.issue_cert(name)
    return Identity(b"".join(each.bytes() for each in made.cert_chain_pems), made.private_key_pem.bytes())


async def test_a_web_page_is_no_answer(one: Wire) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = raw.Connection(reader, writer)
        await reader.readexactly(len(raw.PREFACE))
        await connection.send(raw.frame(raw.SETTINGS, 0, 0), raw.frame(raw.SETTINGS, raw.ACK, 0))
        asked = await connection.read_until(raw.HEADERS, 1)
        assert asked is not None
        head = raw.block((":status", "200"), ("content-type", "text/html"))
        await connection.send(
            raw.frame(raw.HEADERS, raw.END_HEADERS, 1, head),
            raw.frame(raw.DATA, raw.END_STREAM, 1, b"<html>welcome</html>"),
        )
        await connection.ended()

    async with raw.listening(serve) as port:
        status = (await ask(one.channel(port), ECHO)).status
        assert status.code == Code.UNKNOWN
        if one.client == "native":
            assert "text/html" in status.message
