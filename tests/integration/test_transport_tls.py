"""TLS and mutual TLS on every transport: served by each, called by each."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import grpc
import pytest
import trustme
from wires import TRANSPORTS, ask, transport

from clipper_rpc.errors import Code
from clipper_rpc.transport import Channel, ClientTls, Identity, Reply, ServerOptions, ServerTls, Unary

ECHO = "/test.Echo/Echo"


class Wire:
    """A way of serving and a way of calling."""

    def __init__(self, server: str, client: str, stack: AsyncExitStack) -> None:
        self.server = server
        self.client = client
        self.stack = stack

    async def serve(self, tls: ServerTls | None) -> int:
        methods = {ECHO: Unary(lambda call: call.reply(call.payload))}
        server = await transport(self.server).serve(methods, "127.0.0.1:0", ServerOptions(tls=tls))
        self.stack.push_async_callback(server.stop, 0)
        return server.port

    async def ask(self, address: str, tls: ClientTls | None, payload: bytes = b"x") -> Reply:
        channel: Channel = transport(self.client).connect(address, tls=tls)
        self.stack.push_async_callback(channel.close)
        return await ask(channel, ECHO, payload)


@pytest.fixture(params=[(served, called) for served in TRANSPORTS for called in TRANSPORTS], ids="<-".join)
async def wire(request: pytest.FixtureRequest) -> AsyncIterator[Wire]:
    server, called = request.param
    async with AsyncExitStack() as stack:
        yield Wire(server, called, stack)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def roots(authority: trustme.CA) -> bytes:
    return authority.cert_pem.bytes()


def identity(authority: trustme.CA, *names: str) -> Identity:
    made = authority.issue_cert(*names)
    return Identity(b"".join(each.bytes() for each in made.cert_chain_pems), made.private_key_pem.bytes())


@pytest.mark.parametrize("size", [0, 10, 5_000_000])
async def test_calls_go_through_tls(wire: Wire, authority: trustme.CA, size: int) -> None:
    port = await wire.serve(ServerTls(identity(authority, "localhost")))
    reply = await wire.ask(f"localhost:{port}", ClientTls(roots(authority)), bytes(size))
    assert reply.payload == bytes(size)
    assert reply.status.is_ok


async def test_a_server_that_nobody_vouches_for_is_not_talked_to(wire: Wire, authority: trustme.CA) -> None:
    port = await wire.serve(ServerTls(identity(trustme.CA(), "localhost")))
    reply = await wire.ask(f"localhost:{port}", ClientTls(roots(authority)))
    assert reply.status.code == Code.UNAVAILABLE


async def test_a_server_of_another_name_is_not_talked_to_unless_told(wire: Wire, authority: trustme.CA) -> None:
    port = await wire.serve(ServerTls(identity(authority, "elsewhere")))
    reply = await wire.ask(f"localhost:{port}", ClientTls(roots(authority)))
    assert reply.status.code == Code.UNAVAILABLE
    reply = await wire.ask(f"localhost:{port}", ClientTls(roots(authority), server_name="elsewhere"))
    assert reply.payload == b"x"


async def test_plain_text_and_tls_do_not_meet(wire: Wire, authority: trustme.CA) -> None:
    encrypted = await wire.serve(ServerTls(identity(authority, "localhost")))
    assert (await wire.ask(f"localhost:{encrypted}", None)).status.code == Code.UNAVAILABLE
    plain = await wire.serve(None)
    assert (await wire.ask(f"localhost:{plain}", ClientTls(roots(authority)))).status.code == Code.UNAVAILABLE


async def test_a_server_may_ask_its_clients_who_they_are(wire: Wire, authority: trustme.CA) -> None:
    port = await wire.serve(ServerTls(identity(authority, "localhost"), client_roots=roots(authority)))
    address, known = f"localhost:{port}", roots(authority)
    assert (await wire.ask(address, ClientTls(known, identity(authority, "me@localhost")))).payload == b"x"
    assert (await wire.ask(address, ClientTls(known))).status.code == Code.UNAVAILABLE
    stranger = identity(trustme.CA(), "me@localhost")
    assert (await wire.ask(address, ClientTls(known, stranger))).status.code == Code.UNAVAILABLE


@pytest.mark.parametrize("served", TRANSPORTS)
async def test_grpcios_own_client_gets_through(served: str, authority: trustme.CA) -> None:
    async with AsyncExitStack() as stack:
        port = await Wire(served, served, stack).serve(ServerTls(identity(authority, "localhost")))
        credentials = grpc.ssl_channel_credentials(roots(authority))
        async with grpc.aio.secure_channel(f"localhost:{port}", credentials) as channel:
            assert await channel.unary_unary(ECHO)(b"x") == b"x"


@pytest.mark.parametrize("served", TRANSPORTS)
async def test_what_is_no_certificate_is_said_at_once(served: str) -> None:
    async with AsyncExitStack() as stack:
        with pytest.raises((OSError, ValueError), match=r"certificate|key"):
            await Wire(served, served, stack).serve(ServerTls(Identity(b"no", b"no")))
