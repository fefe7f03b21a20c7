"""Peers that fall silent, and servers that stop: who is told, and how soon, on each transport."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, suppress

import pytest
import raw_http2 as raw
from lost_peers import least_s, network, peer
from wires import TRANSPORTS, Calls, Wire, ask, grpcios_own_server, now_ns

from clipper_rpc.errors import Code
from clipper_rpc.transport import Keepalive, Reply, Unary, UnaryCall

ECHO, HOLD = "/test.Echo/Echo", "/test.Echo/Hold"
QUICK = Keepalive(after_s=0.1, timeout_s=0.2)
WITHIN_S = {"native": 1.0, "grpcio": 2.0}
"""How soon a channel reports a peer that is lost without a word, by default."""
PATIENT = Keepalive(after_s=0.1, timeout_s=10.0)


@pytest.fixture(params=[(served, called) for served in TRANSPORTS for called in TRANSPORTS], ids="<-".join)
async def wire(request: pytest.FixtureRequest) -> AsyncIterator[Wire]:
    async with AsyncExitStack() as stack:
        server, called = request.param
        yield Wire(server, called, stack)


def echo(call: UnaryCall) -> None:
    call.reply(call.payload)


async def until_unavailable_s(asked: Iterable[asyncio.Task[Reply]]) -> float:
    started_ns = now_ns()
    assert {(await each).status.code for each in asked} == {Code.UNAVAILABLE}
    return (now_ns() - started_ns) / 1e9


async def test_calls_end_within_a_second_or_with_grpcio_two_when_their_peer_hangs(wire: Wire) -> None:
    with peer(wire.server) as hung:

        async def attempt() -> float:
            channel = wire.channel(hung.port)  # with the keepalive that every channel has
            asked = [asyncio.create_task(ask(channel, HOLD)) for _ in range(3)]
            for _ in asked:
                await hung.called()
            with hung.hanging():
                return await until_unavailable_s(asked)

        limit_s = WITHIN_S[wire.client]
        assert await least_s(attempt, limit_s) < limit_s


async def test_calls_end_within_a_second_or_with_grpcio_two_when_the_network_carries_nothing_any_more(
    wire: Wire,
) -> None:
    with peer(wire.server) as lost:

        async def attempt() -> float:
            async with network(lost.port) as between:
                asked = [asyncio.create_task(ask(wire.channel(between.port), HOLD))]
                await lost.called()
                between.drop_everything()
                return await until_unavailable_s(asked)

        limit_s = WITHIN_S[wire.client]
        assert await least_s(attempt, limit_s) < limit_s


async def test_a_call_that_has_waited_long_ends_within_a_second_when_its_peer_hangs(wire: Wire) -> None:
    if wire.client == "grpcio":
        pytest.skip("grpcio pings no more than twice for a call that nothing comes back for")
    with peer(wire.server) as hung:

        async def attempt() -> float:
            asked = [asyncio.create_task(ask(wire.channel(hung.port), HOLD))]
            await hung.called()
            await asyncio.sleep(2.5)  # in which the peer has said several times that it is there
            with hung.hanging():
                return await until_unavailable_s(asked)

        limit_s = WITHIN_S[wire.client]
        assert await least_s(attempt, limit_s) < limit_s


async def test_calls_that_give_up_soon_find_out_together_that_their_peer_hangs(wire: Wire) -> None:
    if wire.client == "grpcio":
        pytest.skip("grpcio asks when a call has waited, and forgets that with the call")
    with peer(wire.server) as hung:
        channel = wire.channel(hung.port)
        with hung.hanging():
            for _ in range(50):
                reply = await ask(channel, HOLD, deadline_ns=now_ns() + 200_000_000)  # it would wait in vain
                if reply.status.code == Code.UNAVAILABLE:
                    break
    assert reply.status.code == Code.UNAVAILABLE


async def test_a_peer_that_is_busy_in_python_is_not_taken_for_lost(wire: Wire) -> None:
    with peer(wire.server) as busy:
        assert (await ask(wire.channel(busy.port), "/test.Echo/Work")).payload == b"done"


async def test_who_asks_for_nothing_sends_nothing(wire: Wire) -> None:
    server = await wire.serve({ECHO: Unary(echo)})
    async with network(server.port) as between:
        channel = wire.channel(between.port, keepalive=QUICK)
        assert (await ask(channel, ECHO, b"x")).payload == b"x"
        await asyncio.sleep(0.5)  # what the call has left behind is through
        before = between.carried
        await asyncio.sleep(1.0)  # three times what a call would wait for its peer
        assert between.carried == before
        assert (await ask(channel, ECHO, b"y")).payload == b"y"


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
