"""grpc-go's client against each transport: every kind of call, and what connections go through."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import cast

import pytest
import trustme
from wires import TRANSPORTS, Calls, Wire, ask

from clipper_rpc.errors import NoReplica
from clipper_rpc.health import Health
from clipper_rpc.reflection import reflection_methods
from clipper_rpc.transport import (
    AnsweredWithMetadata,
    Identity,
    Keepalive,
    Methods,
    ServerTls,
    StreamCall,
    Streaming,
    Unary,
    UnaryCall,
)

ROOT = Path(__file__).parents[2]

QUIET_CASES = [
    "payloads_of_any_size",
    "many_at_once",
    "gzip_request",
    "gzip_response",
    "metadata",
    "error_with_details",
    "unknown_method",
    "too_large",
    "both_ways",
    "many_responses_to_one_request",
    "one_response_to_many_requests",
    "slow_reader",
    "health_and_reflection",
    "cancel_a_stream",
    "old_connections",
]
"""The cases in which the server does nothing but answer."""


@pytest.fixture(scope="module")
def go_client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("go") is None and not (ROOT / ".venv/bin/go").exists():
        pytest.skip("there is no Go to compile the client")
    binary = tmp_path_factory.mktemp("go") / "wiretest"
    subprocess.run([ROOT / "tools/go", "build", "-o", binary, "./wiretest"], check=True, timeout=600)
    return binary


@pytest.fixture(params=TRANSPORTS)
async def wire(request: pytest.FixtureRequest) -> AsyncIterator[Wire]:
    async with AsyncExitStack() as stack:
        yield Wire(request.param, request.param, stack)


def fail(call: UnaryCall) -> None:
    raise NoReplica(model="m", version="1")


def with_metadata(call: UnaryCall) -> None:
    answered = cast(AnsweredWithMetadata, call)
    sent = tuple((key, value) for key, value in call.metadata if key in {"a", "raw-bin"})
    answered.set_initial_metadata(sent)
    answered.set_trailing_metadata(sent)
    call.reply(b"")


async def talk(call: StreamCall) -> None:
    async for payload in call.requests():
        await call.send(payload)


async def count(call: StreamCall) -> None:
    async for payload in call.requests():
        for number in range(int(payload)):
            await call.send(b"%d" % number)


async def total(call: StreamCall) -> None:
    await call.send(b"%d" % sum([len(payload) async for payload in call.requests()]))


async def pour(call: StreamCall) -> None:
    for _ in range(500):
        await call.send(bytes(100_000))


def methods(held: Calls) -> Methods:
    health = Health("test.Echo")
    health.set_serving(True)
    return {
        **health.methods(),
        **reflection_methods(["test.Echo", "grpc.health.v1.Health"]),
        "/test.Echo/Echo": Unary(lambda call: call.reply(call.payload)),
        "/test.Echo/Hold": Unary(held.handle),
        "/test.Echo/Fail": Unary(fail),
        "/test.Echo/Meta": Unary(with_metadata),
        "/test.Echo/Stream": Streaming(talk),
        "/test.Echo/Count": Streaming(count),
        "/test.Echo/Total": Streaming(total),
        "/test.Echo/Pour": Streaming(pour),
    }


async def passes(go_client: Path, address: str, case: str, *more: str) -> None:
    process = await asyncio.create_subprocess_exec(
        go_client, "--server", address, "--case", case, *more, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, said.decode()


@pytest.mark.parametrize("case", QUIET_CASES)
async def test_the_case_passes(wire: Wire, go_client: Path, case: str) -> None:
    options = {
        "gzip_response": {"compress_above_bytes": 1000},
        "old_connections": {"max_connection_age_s": 0.1},
        "too_large": {"max_message_bytes": 20_000_000},
    }
    server = await wire.serve(methods(Calls()), **options.get(case, {}))
    await passes(go_client, f"127.0.0.1:{server.port}", case)


@pytest.mark.parametrize("case", ["deadline", "cancel"])
async def test_a_caller_that_leaves_is_told_to_the_handler(wire: Wire, go_client: Path, case: str) -> None:
    held = Calls()
    server = await wire.serve(methods(held))
    await passes(go_client, f"127.0.0.1:{server.port}", case)
    assert await held.next_left() is await held.next()


async def test_a_client_that_is_asked_whether_it_is_there_says_so(wire: Wire, go_client: Path) -> None:
    held = Calls()
    server = await wire.serve(methods(held), keepalive=Keepalive(after_s=0.1, timeout_s=5.0))
    passing = asyncio.create_task(passes(go_client, f"127.0.0.1:{server.port}", "pinged_while_it_waits"))
    call = await held.next()
    await asyncio.sleep(0.3)  # some pings
    call.reply(b"")
    await passing


async def test_calls_above_the_concurrent_limit_wait_for_their_turn(wire: Wire, go_client: Path) -> None:
    if wire.server == "grpcio":
        pytest.skip("grpcio counts a call until its task has gone, and refuses what the client sends meanwhile")
    held = Calls()
    server = await wire.serve(methods(held), max_concurrent_streams=2)
    passing = asyncio.create_task(passes(go_client, f"127.0.0.1:{server.port}", "more_calls_than_may_run"))
    running = [await held.next() for _ in range(2)]
    await asyncio.sleep(0.2)
    assert held.seen.empty(), "no more than two run at once"
    for call in running:
        call.reply(b"")
    for _ in range(3):
        (await held.next()).reply(b"")
    await passing


async def test_a_strict_server_does_not_mind_being_asked_whether_it_is_there(wire: Wire, go_client: Path) -> None:
    with subprocess.Popen([go_client, "--serve", "1s"], stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout is not None
            port = int(await asyncio.to_thread(server.stdout.readline))
            channel = wire.channel(port, keepalive=Keepalive(after_s=0.02, timeout_s=10.0))
            for _ in range(2):
                assert (await ask(channel, "/test.Echo/Echo", b"x")).payload == b"x"
        finally:
            server.kill()


async def test_a_server_that_stops_lets_running_calls_end(wire: Wire, go_client: Path) -> None:
    held = Calls()
    server = await wire.serve(methods(held))
    passing = asyncio.create_task(passes(go_client, f"127.0.0.1:{server.port}", "drain"))
    call = await held.next()
    stopping = asyncio.create_task(server.stop(20))
    await asyncio.sleep(0.1)  # in which it says goodbye
    assert not stopping.done()
    call.reply(b"")
    await asyncio.wait_for(stopping, 10)
    await passing


async def test_calls_go_over_a_unix_socket(wire: Wire, go_client: Path, tmp_path: Path) -> None:
    await wire.serve(methods(Calls()), f"unix:{tmp_path}/wire.sock")
    await passes(go_client, f"unix:{tmp_path}/wire.sock", "many_at_once")


async def test_calls_go_through_mutual_tls(wire: Wire, go_client: Path, tmp_path: Path) -> None:
    authority = trustme.CA()
    made, shown = authority.issue_cert("localhost"), authority.issue_cert("client")
    identity = Identity(b"".join(each.bytes() for each in made.cert_chain_pems), made.private_key_pem.bytes())
    roots, client = tmp_path / "roots.pem", tmp_path / "client.pem"
    authority.cert_pem.write_to_path(roots)
    shown.private_key_and_cert_chain_pem.write_to_path(client)
    server = await wire.serve(methods(Calls()), tls=ServerTls(identity, authority.cert_pem.bytes()))
    address = f"localhost:{server.port}"
    await passes(go_client, address, "many_at_once", "--roots", str(roots), "--identity", str(client))
    with pytest.raises(AssertionError, match="Unavailable instead of Unimplemented"):
        await passes(go_client, address, "unknown_method", "--roots", str(roots))
