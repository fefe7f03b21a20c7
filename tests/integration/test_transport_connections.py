"""Connections and addresses, from first to last: served by each transport, to its channels and grpcio's own client.

Each test is one promise of `clipper_rpc.transport`.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import grpc
import pytest
import raw_http2 as raw
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from lost_peers import least_s, peer
from wires import TRANSPORTS, Calls, Client, ForeignClient, Wire, ask, client, now_ns, transport

from clipper_rpc.errors import Code
from clipper_rpc.health import SERVING, Health
from clipper_rpc.reflection import reflection_methods
from clipper_rpc.services import TypedClient
from clipper_rpc.transport import (
    Unary,
    UnaryCall,
)
from processes import free_port

ECHO = "/test.Echo/Echo"
HOLD = "/test.Echo/Hold"
SOON_S = 20
"""Far less than what would be waited for otherwise, and far more than a busy machine needs."""


def echo(call: UnaryCall) -> None:
    call.reply(call.payload)


async def test_a_peer_that_is_not_there_is_unavailable_at_once(wire: Wire) -> None:
    caller = wire.connect(f"127.0.0.1:{free_port()}")
    for _ in range(3):
        started_ns = now_ns()
        assert (await ask(caller, ECHO)).status.code == Code.UNAVAILABLE
        assert (now_ns() - started_ns) / 1e9 < 0.5


async def until_answered(caller: Client) -> None:
    while not (await ask(caller, ECHO, b"3")).status.is_ok:  # the condition is the peer's
        await asyncio.sleep(0.02)


async def test_a_channel_finds_a_peer_that_comes_back_on_its_port(wire: Wire) -> None:
    server = await wire.serve({ECHO: Unary(echo)})
    caller = wire.connect(server)
    assert (await ask(caller, ECHO, b"1")).payload == b"1"
    await server.stop(0)
    assert (await ask(caller, ECHO, b"2")).status.code == Code.UNAVAILABLE
    await wire.serve({ECHO: Unary(echo)}, f"127.0.0.1:{server.port}")
    await asyncio.wait_for(until_answered(caller), SOON_S)


async def test_calls_end_within_a_second_when_their_peer_is_killed(wire: Wire) -> None:
    async def attempt() -> float:
        with peer(wire.server) as killed:
            caller = wire.connect(f"127.0.0.1:{killed.port}")
            asked = [asyncio.create_task(ask(caller, HOLD)) for _ in range(10)]
            for _ in asked:
                await killed.called()
            killed.process.kill()
            started_ns = now_ns()
            assert {(await each).status.code for each in asked} == {Code.UNAVAILABLE}
            return (now_ns() - started_ns) / 1e9

    assert await least_s(attempt) < 1.0


async def test_a_call_ends_at_its_deadline_while_the_connection_is_still_being_made(wire: Wire) -> None:
    with contextlib.ExitStack() as stack:
        full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(2):  # so many fill it: the kernel lets further ones wait
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        caller = wire.connect(f"127.0.0.1:{full.getsockname()[1]}")
        reply = await ask(caller, ECHO, deadline_ns=now_ns() + 100_000_000)
        assert reply.status.code == Code.DEADLINE_EXCEEDED


async def test_a_server_of_another_kind_that_speaks_first_does_not_spoil_its_address(wire: Wire) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example.com\r\n" * 10)
        await reader.read()

    async with raw.listening(greet) as port:
        caller = wire.connect(f"127.0.0.1:{port}")
        for _ in range(3):
            assert (await ask(caller, ECHO)).status.code == Code.UNAVAILABLE
    await wire.serve({ECHO: Unary(echo)}, f"127.0.0.1:{port}")
    await asyncio.wait_for(until_answered(caller), SOON_S)


async def test_closing_a_channel_ends_its_calls_as_cancelled(wire: Wire) -> None:
    calls = Calls()
    caller = await wire.both({HOLD: Unary(calls.handle)})
    asked = [asyncio.create_task(ask(caller, HOLD)) for _ in range(3)]
    for _ in asked:
        await calls.next()
    await caller.close()
    assert {(await each).status.code for each in asked} == {Code.CANCELLED}


async def test_a_port_that_is_taken_is_an_os_error_that_names_it(served: Wire) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(OSError, match=address):
            await served.serve({ECHO: Unary(echo)}, address)


async def test_two_servers_without_reuse_port_do_not_share_one(served: Wire) -> None:
    first = await served.serve({ECHO: Unary(echo)})
    with pytest.raises(OSError, match=str(first.port)):
        await served.serve({ECHO: Unary(echo)}, f"127.0.0.1:{first.port}")


async def test_servers_share_a_port_when_asked_to(served: Wire) -> None:
    first = await served.serve({ECHO: Unary(lambda call: call.reply(b"first"))}, reuse_port=True)
    address = f"127.0.0.1:{first.port}"
    await served.serve({ECHO: Unary(lambda call: call.reply(b"second"))}, address, reuse_port=True)
    answers = set()
    for _ in range(100):  # the kernel picks by the client's port: each new connection is a coin toss
        caller = client(TRANSPORTS[-1], address)
        answers.add((await ask(caller, ECHO)).payload)
        await caller.close()
        if len(answers) == 2:
            break
    assert answers == {b"first", b"second"}


async def test_a_unix_socket_serves_like_a_port(wire: Wire, tmp_path: Path) -> None:
    address = f"unix:{tmp_path}/echo.sock"
    await wire.serve({ECHO: Unary(echo)}, address)
    assert (await ask(wire.connect(address), ECHO, b"x")).payload == b"x"


async def test_names_are_resolved(wire: Wire) -> None:
    server = await wire.serve({ECHO: Unary(echo)}, "localhost:0")
    assert (await ask(wire.connect(f"localhost:{server.port}"), ECHO, b"x")).payload == b"x"


async def test_health_and_reflection_answer_on_the_same_port(wire: Wire) -> None:
    health = Health("test.Echo")
    methods = {ECHO: Unary(echo), **health.methods(), **reflection_methods(["test.Echo", "grpc.health.v1.Health"])}
    server = await wire.serve(methods)
    health.set_serving(True)
    caller = transport(TRANSPORTS[-1]).connect(f"127.0.0.1:{server.port}")
    service = health_pb2.DESCRIPTOR.services_by_name["Health"]
    client = TypedClient(caller, service)
    request = health_pb2.HealthCheckRequest(service="test.Echo")
    assert (await client.call("Check", request, health_pb2.HealthCheckResponse)).status == SERVING
    watched = client.stream("Watch", request, health_pb2.HealthCheckResponse)
    assert (await anext(watched)).status == SERVING
    health.set_serving(False)
    assert (await anext(watched)).status == health_pb2.HealthCheckResponse.NOT_SERVING
    for version in ("v1", "v1alpha"):
        listing = reflection_pb2.ServerReflectionRequest(list_services="").SerializeToString()
        foreign = ForeignClient(f"127.0.0.1:{server.port}", -1)
        rpc = foreign.channel.stream_stream(f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo")()
        await rpc.write(listing)
        response = reflection_pb2.ServerReflectionResponse.FromString(await rpc.read())
        assert "test.Echo" in [each.name for each in response.list_services_response.service]
        await rpc.done_writing()
        assert await rpc.read() is grpc.aio.EOF
        await foreign.close()
    await caller.close()


async def test_calls_above_the_concurrent_limit_wait_for_their_turn(wire: Wire) -> None:
    if wire.server == "grpcio":
        pytest.skip("grpcio counts a call until its task has gone, and refuses what the client sends meanwhile")
    calls = Calls()
    caller = await wire.both({HOLD: Unary(calls.handle), ECHO: Unary(echo)}, max_concurrent_streams=2)
    assert (await ask(caller, ECHO)).status.is_ok  # the limit is known from here on
    asked = [asyncio.create_task(ask(caller, HOLD, b"%d" % number)) for number in range(5)]
    for number in range(5):
        held = await calls.next()
        if number == 0:
            await asyncio.sleep(0.1)
            assert calls.seen.qsize() == 1, "no more than two run at once"
        held.reply(held.payload)
    assert [(await each).payload for each in asked] == [b"%d" % number for number in range(5)]


async def test_an_old_connection_ends_without_an_error_for_anyone(wire: Wire) -> None:
    calls = Calls()
    methods = {HOLD: Unary(calls.handle), ECHO: Unary(echo)}
    caller = await wire.both(methods, max_connection_age_s=0.2)
    asked = asyncio.create_task(ask(caller, HOLD))
    held = await calls.next()
    until_ns = now_ns() + 1_000_000_000
    while now_ns() < until_ns:
        message = (await ask(caller, ECHO, b"x")).status.message
        # grpcio's own client gives up a call that crosses the server's GOAWAY, and says so; ours asks again.
        assert message == "" or (wire.client != "native" and "GOAWAY" in message)
        await asyncio.sleep(0.01)
    held.reply(b"still")
    assert (await asked).payload == b"still"


# ---------------------------------------------------------------- stopping


async def test_a_stopping_server_lets_running_calls_end_and_takes_no_new_ones(wire: Wire) -> None:
    calls = Calls()
    server = await wire.serve({HOLD: Unary(calls.handle), ECHO: Unary(echo)})
    caller = wire.connect(server)
    asked = asyncio.create_task(ask(caller, HOLD))
    held = await calls.next()
    stopping = asyncio.create_task(server.stop(20))
    newcomer = wire.connect(server)

    async def until_refused() -> None:
        while (await ask(newcomer, ECHO)).status.code != Code.UNAVAILABLE:
            await asyncio.sleep(0.01)

    await asyncio.wait_for(until_refused(), 5)
    assert not stopping.done()
    held.reply(b"done")
    assert (await asked).payload == b"done"
    await asyncio.wait_for(stopping, 5)
    assert calls.left.empty()


async def test_calls_that_outlast_the_grace_are_ended(wire: Wire) -> None:
    calls = Calls()
    server = await wire.serve({HOLD: Unary(calls.handle)})
    asked = asyncio.create_task(ask(wire.connect(server), HOLD))
    held = await calls.next()
    started_ns = now_ns()
    await server.stop(0.2)
    assert 0.15 < (now_ns() - started_ns) / 1e9 < SOON_S
    assert await calls.next_left() is held
    assert (await asked).status.code in {Code.UNAVAILABLE, Code.CANCELLED}


async def test_an_idle_server_stops_at_once(wire: Wire) -> None:
    server = await wire.serve({ECHO: Unary(echo)})
    assert (await ask(wire.connect(server), ECHO, b"x")).payload == b"x"
    started_ns = now_ns()
    await server.stop(30)
    assert (now_ns() - started_ns) / 1e9 < SOON_S


FORKS = """
    import asyncio, os, sys
    from clipper_rpc.transport import Unary
    from wires import ask, transport

    async def call(name):
        made = transport(name)
        server = await made.serve({"/test.Echo/Echo": Unary(lambda call: call.reply(call.payload))}, "127.0.0.1:0")
        channel = made.connect(f"127.0.0.1:{server.port}")
        assert (await ask(channel, "/test.Echo/Echo", b"x")).payload == b"x"
        await channel.close()
        await server.stop(0)

    asyncio.run(call("native"))
    child = os.fork()
    asyncio.run(call("native"))
    if child:
        assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.skipif(
    "native" not in TRANSPORTS, reason="the native transport was not built; grpcio does not survive this"
)
def test_a_process_that_was_forked_off_has_a_wire_of_its_own() -> None:
    command = [sys.executable, "-c", textwrap.dedent(FORKS)]
    subprocess.run(command, cwd=Path(__file__).parents[1], check=True, timeout=60)
