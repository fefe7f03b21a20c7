"""Peers that misbehave: the native server neither dies nor grows, and others go on being served."""

from __future__ import annotations

import asyncio
import gzip
import os
import random
import signal
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import raw_http2 as raw
from wires import HAS_NATIVE, ask, transport

from clipper_rpc.errors import Code
from clipper_rpc.transport import Channel, OutgoingCall, Reply

pytestmark = pytest.mark.skipif(not HAS_NATIVE, reason="the native transport was not built")

ECHO, HOLD, STREAM = "/test.Echo/Echo", "/test.Echo/Hold", "/test.Echo/Stream"
ROUNDS = int(os.environ.get("CLIPPER_TEST_FUZZ_ROUNDS", "1000"))
"""How many random conversations are tried."""

SERVER = """
    import asyncio, sys, time
    import uvloop
    from clipper_rpc.transport import Streaming, Unary
    from wires import transport

    async def stream(call):
        async for payload in call.requests():
            await call.send(payload)

    async def main():
        methods = {
            "/test.Echo/Echo": Unary(lambda call: call.reply(call.payload)),
            "/test.Echo/Hold": Unary(lambda call: None),
            "/test.Echo/Length": Unary(lambda call: call.reply(b"%d" % len(call.payload))),
            "/test.Echo/Block": Unary(lambda call: (time.sleep(2), call.reply(b""))),
            "/test.Echo/Stream": Streaming(stream),
        }
        server = await transport("native").serve(methods, "127.0.0.1:0")
        print(server.port, flush=True)
        await asyncio.Event().wait()

    uvloop.run(main())
"""


class Victim:
    """A server in a process of its own, and a well-behaved channel to it."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, channel: Channel) -> None:
        self.process = process
        self.port = port
        self.channel = channel

    def rss_kb(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0])

    async def is_well(self) -> bool:
        reply: Reply = await ask(self.channel, ECHO, b"well?")
        return self.process.poll() is None and reply.payload == b"well?"


@pytest.fixture
async def victim() -> AsyncIterator[Victim]:
    async with AsyncExitStack() as stack:
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(SERVER)], stdout=subprocess.PIPE, cwd=Path(__file__).parents[1]
        )
        assert process.stdout is not None
        stack.callback(process.stdout.close)
        stack.callback(process.wait)
        stack.callback(process.send_signal, signal.SIGKILL)
        port = int(process.stdout.readline())
        channel = transport("native").connect(f"127.0.0.1:{port}")
        stack.push_async_callback(channel.close)
        victim = Victim(process, port, channel)
        assert await victim.is_well()
        yield victim
        assert await victim.is_well()


async def status_of(connection: raw.Connection, stream: int) -> bytes:
    """The header block in which a call's status came (HPACK of its own, so only looked at for literals)."""
    got = await asyncio.wait_for(connection.read_until(raw.HEADERS, stream, raw.END_STREAM), 5)
    assert got is not None
    return got.payload


async def call(victim: Victim, *frames: bytes) -> bytes:
    async with raw.connected(victim.port) as connection:
        await connection.send(*frames)
        return await status_of(connection, 1)


def headers(path: str = ECHO, flags: int = raw.END_HEADERS, stream: int = 1, *more: tuple[str, str]) -> bytes:
    return raw.frame(raw.HEADERS, flags, stream, raw.request(path, *more))


def data(payload: bytes, flags: int = raw.END_STREAM, stream: int = 1) -> bytes:
    return raw.frame(raw.DATA, flags, stream, payload)


# ---------------------------------------------------------------- calls that are no calls


async def test_a_body_that_ends_inside_a_message_fails_its_call(victim: Victim) -> None:
    for body in (b"\x00", raw.message(b"short", length=100)):
        assert b"inside a message" in raw.texts(await call(victim, headers(), data(body)))


async def test_a_unary_call_without_a_message_or_with_two_fails(victim: Victim) -> None:
    for body in (b"", raw.message(b"a") + raw.message(b"b")):
        assert b"a unary call has one" in raw.texts(await call(victim, headers(), data(body)))


async def test_a_compressed_message_without_encoding_fails(victim: Victim) -> None:
    assert b"undeclared" in raw.texts(await call(victim, headers(), data(raw.message(b"x", flag=1))))


async def test_a_message_that_is_no_gzip_fails(victim: Victim) -> None:
    head = headers(ECHO, raw.END_HEADERS, 1, ("grpc-encoding", "gzip"))
    assert b"no gzip" in raw.texts(await call(victim, head, data(raw.message(b"xyz", flag=1))))


async def test_an_unknown_compression_is_unimplemented(victim: Victim) -> None:
    head = headers(ECHO, raw.END_HEADERS, 1, ("grpc-encoding", "snappy"))
    assert b"snappy" in raw.texts(await call(victim, head, data(raw.message(b"x"))))


async def test_a_malformed_timeout_fails_its_call(victim: Victim) -> None:
    head = headers(ECHO, raw.END_HEADERS, 1, ("grpc-timeout", "soon"))
    assert b"grpc-timeout" in raw.texts(await call(victim, head, data(raw.message(b"x"))))


async def test_a_message_of_four_gigabytes_is_refused_before_it_comes(victim: Victim) -> None:
    before = victim.rss_kb()
    for path in (ECHO, STREAM):
        body = data(raw.message(b"", length=2**32 - 1), 0)
        assert b"are taken" in raw.texts(await call(victim, headers(path), body))
    assert victim.rss_kb() - before < 10_000


@pytest.mark.parametrize(("method", "content", "status"), [("GET", "application/grpc", "405"), ("POST", "a/b", "415")])
async def test_what_is_no_grpc_gets_an_http_status(victim: Victim, method: str, content: str, status: str) -> None:
    head = raw.request(ECHO, method=method, content=content)
    answer = await call(victim, raw.frame(raw.HEADERS, raw.END_HEADERS | raw.END_STREAM, 1, head))
    assert status.encode() in raw.texts(answer)


# ---------------------------------------------------------------- connections that are no connections


async def test_http_1_and_noise_end_their_connection_only(victim: Victim) -> None:
    for noise in (b"GET / HTTP/1.1\r\nhost: a\r\n\r\n", bytes(1000), b"\x16\x03\x01" + bytes(200)):
        async with raw.connected(victim.port, preface=False) as connection:
            await connection.send(noise)
            await asyncio.wait_for(connection.ended(), 5)


async def test_connections_that_say_nothing_hold_nobody_back(victim: Victim) -> None:
    async with AsyncExitStack() as stack:
        for number in range(200):
            connection = await stack.enter_async_context(raw.connected(victim.port, preface=False))
            await connection.send(raw.PREFACE[: number % 24])
        assert await victim.is_well()


async def test_calls_that_never_end_their_body_hold_nobody_back(victim: Victim) -> None:
    async with raw.connected(victim.port) as connection:
        for number in range(500):
            stream = 2 * number + 1
            await connection.send(headers(stream=stream), data(raw.message(b"", length=1000)[: number % 6], 0, stream))
        assert await victim.is_well()


async def test_huge_headers_end_their_connection(victim: Victim) -> None:
    before = victim.rss_kb()
    async with raw.connected(victim.port) as connection:
        try:
            await connection.send(raw.frame(raw.HEADERS, 0, 1, raw.request(ECHO)))
            for _ in range(5000):
                await connection.send(raw.frame(raw.CONTINUATION, 0, 1, raw.block(("x-more", "y" * 10_000))))
        except ConnectionError:
            pass
        await asyncio.wait_for(connection.ended(), 5)
    assert victim.rss_kb() - before < 20_000


async def test_headers_above_the_limit_fail_their_call_only(victim: Victim) -> None:
    async with raw.connected(victim.port) as connection:
        big = headers(ECHO, raw.END_HEADERS | raw.END_STREAM, 1, *[(f"x-{n}", "y" * 60) for n in range(200)])
        await connection.send(big, *[headers(stream=3), data(raw.message(b"x"), stream=3)])
        assert await status_of(connection, 3)


async def flood(connection: raw.Connection, what: bytes, times: int) -> None:
    """Sends the same many times while what comes back is read; ends early when the peer has had enough."""
    reading = asyncio.ensure_future(connection.ended())
    try:
        for _ in range(times):
            await connection.send(what)
    except ConnectionError:
        pass
    reading.cancel()


async def test_a_flood_of_reset_streams_ends_or_is_served_without_growth(victim: Victim) -> None:
    async def attack(first: int, count: int) -> None:
        async with raw.connected(victim.port) as connection:
            reading = asyncio.ensure_future(connection.ended())
            try:
                for start in range(first, first + count, 100):
                    parts = []
                    for number in range(start, start + 100):
                        stream = 2 * number + 1
                        parts += [headers(HOLD, stream=stream), data(raw.message(b"x"), stream=stream)]
                        parts.append(raw.frame(raw.RST_STREAM, 0, stream, b"\x00\x00\x00\x08"))
                    await connection.send(*parts)
            except ConnectionError:
                pass
            reading.cancel()

    await attack(0, 10_000)
    before = victim.rss_kb()
    for _ in range(10):
        await attack(0, 10_000)
        assert await victim.is_well()
    assert victim.rss_kb() - before < 20_000


@pytest.mark.parametrize(
    "what",
    [
        raw.frame(raw.PING, 0, 0, bytes(8)) * 100,
        raw.frame(raw.SETTINGS, 0, 0) * 100,
        raw.frame(raw.SETTINGS, 0, 0, b"\x00\x04\x00\x00\xff\xff") * 100,
        raw.frame(raw.WINDOW_UPDATE, 0, 0, b"\x00\x00\x00\x01") * 100,
    ],
    ids=["pings", "settings", "windows", "updates"],
)
async def test_floods_of_control_frames_are_survived(victim: Victim, what: bytes) -> None:
    before = victim.rss_kb()
    async with raw.connected(victim.port) as connection:
        await flood(connection, what, 1000)
        assert await victim.is_well()
    assert victim.rss_kb() - before < 30_000


async def test_a_client_that_never_reads_its_answers_holds_nobody_back(victim: Victim) -> None:
    payload = raw.message(bytes(16_000))

    async def ask_for_much() -> None:
        async with raw.connected(victim.port) as connection:
            await asyncio.wait_for(connection.read_until(raw.WINDOW_UPDATE, 0), 5)  # it may send more than 64 KiB now
            for number in range(200):
                stream = 2 * number + 1
                await connection.send(headers(stream=stream), data(payload, stream=stream))
            assert await victim.is_well()

    await ask_for_much()
    before = victim.rss_kb()
    for _ in range(10):
        await ask_for_much()
    assert victim.rss_kb() - before < 20_000, "what was never read is let go with its connection"


async def test_clients_that_vanish_in_the_middle_of_a_body_leave_nothing_behind(victim: Victim) -> None:
    async def vanish(times: int) -> None:
        for number in range(times):
            async with raw.connected(victim.port) as connection:
                path = STREAM if number % 2 else ECHO
                await connection.send(headers(path), data(raw.message(bytes(16_000), length=1_000_000), 0))

    await vanish(200)
    before = victim.rss_kb()
    await vanish(1000)
    assert await victim.is_well()
    assert victim.rss_kb() - before < 10_000


async def test_a_server_that_falls_behind_takes_a_bounded_amount_and_then_catches_up(victim: Victim) -> None:
    before = victim.rss_kb()
    blocked = asyncio.create_task(ask(victim.channel, "/test.Echo/Block"))
    asked = [asyncio.create_task(ask(victim.channel, "/test.Echo/Length", bytes(1_000_000))) for _ in range(200)]
    most = before
    while not blocked.done():
        most = max(most, victim.rss_kb())
        await asyncio.sleep(0.05)
    assert {(await each).payload for each in asked} == {b"1000000"}
    assert most - before > 20_000, "it took something"
    assert most - before < 130_000, "64 MiB of large messages, and a window for each other call"


@pytest.mark.parametrize("path", [HOLD, STREAM])
async def test_calls_that_come_and_go_while_the_server_is_behind_leave_nothing(victim: Victim, path: str) -> None:
    before = most = victim.rss_kb()
    payload = raw.message(bytes(16_000))
    blocked = asyncio.create_task(ask(victim.channel, "/test.Echo/Block"))
    sent = 0
    async with raw.connected(victim.port) as connection:
        await asyncio.wait_for(connection.read_until(raw.WINDOW_UPDATE, 0), 5)  # it may send more than 64 KiB now
        while not blocked.done():
            for stream in range(2 * sent + 1, 2 * sent + 101, 2):
                await connection.send(headers(path, stream=stream), data(payload, stream=stream))
            await connection.send(raw.frame(raw.PING, 0, 0, bytes(8)))
            await asyncio.wait_for(connection.read_until(raw.PING, 0), 5)  # all were looked at
            for stream in range(2 * sent + 1, 2 * sent + 101, 2):
                await connection.send(raw.frame(raw.RST_STREAM, 0, stream, b"\x00\x00\x00\x08"))
            sent += 50
            most = max(most, victim.rss_kb())
    assert most - before < 10_000 + 2 * sent, "kB, of the 16 that each call has sent"


async def next_data(connection: raw.Connection) -> raw.Frame | None:
    while (got := await connection.read()) is not None and got.kind != raw.DATA:
        pass
    return got


async def test_small_requests_that_unpack_to_large_ones_take_a_bounded_amount(victim: Victim) -> None:
    packed = raw.message(gzip.compress(bytes(16_000_000)), flag=1)
    assert len(packed) < 16_384
    before = victim.rss_kb()
    async with raw.connected(victim.port) as connection:
        await asyncio.wait_for(connection.read_until(raw.WINDOW_UPDATE, 0), 5)  # it may send more than 64 KiB now
        await connection.send(headers("/test.Echo/Block"), data(raw.message(b"")))  # Python is away for two seconds
        streams = range(3, 83, 2)
        for stream in streams:
            head = headers("/test.Echo/Length", raw.END_HEADERS, stream, ("grpc-encoding", "gzip"))
            await connection.send(head, data(packed, stream=stream))
        answered = asyncio.create_task(connection.read_until(raw.DATA, 1))
        most = before
        while not answered.done():
            most = max(most, victim.rss_kb())
            await asyncio.sleep(0.05)
        for _ in streams:
            answer = await asyncio.wait_for(next_data(connection), 20)
            assert answer is not None
            assert answer.payload == raw.message(b"16000000")
    assert most - before > 20_000, "it took something"
    assert most - before < 200_000, "of the 640 MB, 64 MiB at a time"


# ---------------------------------------------------------------- noise


def noise(chance: random.Random) -> bytes:
    """A conversation that was once sensible, or never."""
    kind = chance.randrange(4)
    if kind == 0:
        return chance.randbytes(chance.randrange(200))
    frames = [raw.PREFACE, raw.frame(raw.SETTINGS, 0, 0)]
    for _ in range(chance.randrange(1, 8)):
        stream = chance.choice([0, 1, 1, 1, 2, 3, 5, 2**31 - 1])
        flags = chance.choice([0, 1, 4, 5, chance.randrange(256)])
        shape = chance.randrange(5)
        if shape == 0:
            path = chance.choice([ECHO, HOLD, STREAM, "", "*", "/"])
            frames.append(raw.frame(raw.HEADERS, flags, stream, raw.request(path)))
        elif shape == 1:
            frames.append(raw.frame(raw.DATA, flags, stream, raw.message(chance.randbytes(chance.randrange(50)))))
        else:
            frames.append(raw.frame(chance.randrange(12), flags, stream, chance.randbytes(chance.randrange(60))))
    sent = bytearray(b"".join(frames))
    if kind == 1:
        for _ in range(chance.randrange(1, 10)):
            sent[chance.randrange(len(sent))] = chance.randrange(256)
    return bytes(sent)


async def test_random_conversations_are_survived(victim: Victim) -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)

    async def talk(number: int) -> None:
        async with raw.connected(victim.port, preface=False) as connection:
            try:
                await connection.send(noise(chance))
                connection.writer.write_eof()
                await asyncio.wait_for(connection.ended(), 10)
            except OSError:
                pass

    before = 0
    for number in range(0, ROUNDS, 20):
        await asyncio.gather(*(talk(number) for _ in range(20)))
        if number == 200:
            before = victim.rss_kb()
    assert await victim.is_well()
    assert victim.rss_kb() - before < 20_000


async def test_what_the_server_says_afterwards_is_still_sound(victim: Victim) -> None:
    assert (await ask(victim.channel, "/test.Echo/Nothing")).status.code == Code.UNIMPLEMENTED


async def test_a_channel_that_cancels_most_of_its_calls_keeps_its_connection(victim: Victim) -> None:
    codes: Counter[Code] = Counter()
    under_way: dict[int, OutgoingCall] = {}
    finished = asyncio.Event()
    chance = random.Random(1)
    left = 100_000

    def go_on() -> None:
        nonlocal left
        while left and len(under_way) < 200:
            left -= 1
            start(left)
        if not left and not under_way:
            finished.set()

    def start(number: int) -> None:
        def done(reply: Reply) -> None:
            del under_way[number]
            codes[reply.status.code] += 1
            go_on()

        under_way[number] = victim.channel.call(ECHO, bytes(5000), done)
        if number % 3:
            under_way.pop(chance.choice(list(under_way))).cancel()

    go_on()
    await asyncio.wait_for(finished.wait(), 60)
    assert set(codes) == {Code.OK}
