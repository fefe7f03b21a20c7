"""Peers that fall silent, and servers that stop: who is told, and how soon, on each transport."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import pytest
import raw_http2 as raw
from wires import TRANSPORTS, Calls, Wire, ask, grpcios_own_server, now_ns

from clipper_rpc.errors import Code
from clipper_rpc.transport import Keepalive, Unary, UnaryCall

ECHO, HOLD = "/test.Echo/Echo", "/test.Echo/Hold"
QUICK = Keepalive(after_s=0.1, timeout_s=0.2)
PATIENT = Keepalive(after_s=0.1, timeout_s=10.0)


@pytest.fixture(params=[(served, called) for served in TRANSPORTS for called in TRANSPORTS], ids="<-".join)
async def wire(request: pytest.FixtureRequest) -> AsyncIterator[Wire]:
    async with AsyncExitStack() as stack:
        server, called = request.param
        yield Wire(server, called, stack)


@pytest.fixture(params=TRANSPORTS)
async def one(request: pytest.FixtureRequest) -> AsyncIterator[Wire]:
    """Each transport on one side; the other side is a stranger."""
    async with AsyncExitStack() as stack:
        yield Wire(request.param, request.param, stack)


def echo(call: UnaryCall) -> None:
    call.reply(call.payload)


PEER = """
    import asyncio, sys
    from clipper_rpc.transport import Unary
    from wires import transport

    async def main():
        hold = Unary(lambda call: print("call", flush=True))
        server = await transport(sys.argv[1]).serve({"/test.Echo/Hold": hold}, "127.0.0.1:0")
        print(server.port, flush=True)
        await asyncio.Event().wait()

    asyncio.run(main())
"""


async def test_calls_end_within_seconds_when_their_peer_hangs(wire: Wire) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PEER), wire.server],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[1],
    )
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        channel = wire.channel(port)  # with the keepalive that every channel has
        asked = [asyncio.create_task(ask(channel, HOLD)) for _ in range(3)]
        for _ in asked:
            assert await asyncio.to_thread(process.stdout.readline) == b"call\n"
        process.send_signal(signal.SIGSTOP)  # the kernel goes on acknowledging
        started_ns = now_ns()
        assert {(await each).status.code for each in asked} == {Code.UNAVAILABLE}
        assert (now_ns() - started_ns) / 1e9 < 5.0, "it takes two seconds where nothing else runs"
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


async def test_a_peer_that_takes_its_time_is_not_taken_for_lost(wire: Wire) -> None:
    calls = Calls()
    server = await wire.serve({HOLD: Unary(calls.handle)})
    asked = asyncio.create_task(ask(wire.channel(server.port, keepalive=PATIENT), HOLD))
    held = await calls.next()
    await asyncio.sleep(0.6)  # six times the silence that is asked about
    held.reply(b"done")
    assert (await asked).payload == b"done"


async def test_a_strict_server_is_not_asked_more_often_than_it_forgives(one: Wire) -> None:
    async with grpcios_own_server() as port:  # by default it ends connections that are pinged twice in five minutes
        channel = one.channel(port, keepalive=Keepalive(after_s=0.02, timeout_s=10.0))
        for _ in range(2):
            assert (await ask(channel, ECHO, b"slow")).payload == b"slow"


async def test_a_client_that_hangs_is_let_go(one: Wire) -> None:
    calls = Calls()
    server = await one.serve({HOLD: Unary(calls.handle)}, keepalive=QUICK)
    async with raw.connected(server.port) as connection:
        await connection.send(
            raw.frame(raw.HEADERS, raw.END_HEADERS, 1, raw.request(HOLD)),
            raw.frame(raw.DATA, raw.END_STREAM, 1, raw.message(b"x")),
        )
        held = await calls.next()
        assert await asyncio.wait_for(connection.read_until(raw.PING, 0), 5) is not None
        assert await calls.next_left() is held, "nobody answers the ping"
        await asyncio.wait_for(connection.ended(), 5)


async def test_a_client_that_answers_stays(one: Wire) -> None:
    calls = Calls()
    server = await one.serve({HOLD: Unary(calls.handle)}, keepalive=PATIENT)
    async with raw.connected(server.port) as connection:
        await connection.send(
            raw.frame(raw.HEADERS, raw.END_HEADERS, 1, raw.request(HOLD)),
            raw.frame(raw.DATA, raw.END_STREAM, 1, raw.message(b"x")),
        )
        held = await calls.next()
        for _ in range(5):
            ping = await asyncio.wait_for(connection.read_until(raw.PING, 0), 5)
            assert ping is not None
            await connection.send(raw.frame(raw.PING, raw.ACK, 0, ping.payload))
        assert calls.left.empty()
        held.reply(b"still there")
        answer = await asyncio.wait_for(connection.read_until(raw.DATA, 1), 5)
        assert answer is not None
        assert answer.payload == raw.message(b"still there")


# ---------------------------------------------------------------- stopping


async def test_clients_are_told_that_a_server_stops_and_their_calls_may_end(one: Wire) -> None:
    calls = Calls()
    server = await one.serve({HOLD: Unary(calls.handle)})
    async with raw.connected(server.port) as connection:
        await connection.send(
            raw.frame(raw.HEADERS, raw.END_HEADERS, 1, raw.request(HOLD)),
            raw.frame(raw.DATA, raw.END_STREAM, 1, raw.message(b"x")),
        )
        held = await calls.next()
        stopping = asyncio.create_task(server.stop(20))
        goaway = await asyncio.wait_for(connection.read_until(raw.GOAWAY, 0), 5)
        assert goaway is not None
        assert goaway.payload[4:8] == bytes(4), "no error"
        assert not stopping.done()
        held.reply(b"done")
        answer = await asyncio.wait_for(connection.read_until(raw.DATA, 1), 5)
        assert answer is not None
        assert answer.payload == raw.message(b"done")
    await asyncio.wait_for(stopping, 5)


async def test_an_old_connection_is_told_to_end(one: Wire) -> None:
    server = await one.serve({ECHO: Unary(echo)}, max_connection_age_s=0.2)
    async with raw.connected(server.port) as connection:
        assert await asyncio.wait_for(connection.read_until(raw.GOAWAY, 0), 5) is not None


@pytest.mark.skipif("native" not in TRANSPORTS, reason="the native transport was not built")
@pytest.mark.parametrize("preface", [True, False], ids=["never-closes", "never-speaks"])
async def test_a_client_without_calls_does_not_hold_up_a_stop(preface: bool) -> None:
    async with AsyncExitStack() as stack:
        wire = Wire("native", "native", stack)
        server = await wire.serve({ECHO: Unary(echo)})
        assert (await ask(wire.channel(server.port), ECHO, b"x")).payload == b"x"
        async with raw.connected(server.port, preface=preface) as connection:
            if preface:
                assert await asyncio.wait_for(connection.read_until(raw.SETTINGS, 0), 5) is not None
            with suppress(ConnectionError):
                started_ns = now_ns()
                await server.stop(20)
        assert (now_ns() - started_ns) / 1e9 < 5.0
