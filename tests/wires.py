"""Transports for tests: what there is to serve with, and to call with, on one page."""

from __future__ import annotations

import asyncio
import importlib.util
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import grpc
import grpc.aio

from clipper_rpc import choose
from clipper_rpc.errors import Code
from clipper_rpc.status import from_status
from clipper_rpc.transport import (
    MAX_MESSAGE_BYTES,
    Channel,
    Metadata,
    Methods,
    OutgoingCall,
    Reply,
    Server,
    ServerOptions,
    Status,
    Transport,
    UnaryCall,
)

HAS_NATIVE = importlib.util.find_spec("clipper_rpc._native") is not None
TRANSPORTS = ["grpcio", "native"] if HAS_NATIVE else ["grpcio"]
CLIENTS = [*TRANSPORTS, "grpc.aio"]
"""A transport's own channel, or the client that comes with grpcio."""

DETAILS = "grpc-status-details-bin"


class Client(Protocol):
    """What every channel can do."""

    def call(
        self,
        method: str,
        payload: bytes,
        done: Callable[[Reply], None],
        *,
        deadline_ns: int | None = None,
        metadata: Metadata = (),
    ) -> OutgoingCall: ...

    def stream(
        self, method: str, payload: bytes, *, deadline_ns: int | None = None, metadata: Metadata = ()
    ) -> AsyncIterator[bytes]: ...

    async def close(self) -> None: ...


def transport(name: str) -> Transport:
    assert name in {"grpcio", "native"}
    return choose.transport(name)  # type: ignore[arg-type]


def client(name: str, address: str, *, max_message_bytes: int = MAX_MESSAGE_BYTES) -> Client:
    if name == "grpc.aio":
        return ForeignClient(address, max_message_bytes)
    return transport(name).connect(address, max_message_bytes=max_message_bytes)


@dataclass
class Wire:
    """A way of serving and a way of calling."""

    server: str
    client: str
    stack: AsyncExitStack

    async def serve(self, methods: Methods, address: str = "127.0.0.1:0", **options: Any) -> Server:
        server = await transport(self.server).serve(methods, address, ServerOptions(**options))
        self.stack.push_async_callback(server.stop, 0)
        return server

    def connect(self, server: Server | str, **options: Any) -> Client:
        address = server if isinstance(server, str) else f"127.0.0.1:{server.port}"
        made = client(self.client, address, **options)
        self.stack.push_async_callback(made.close)
        return made

    async def both(self, methods: Methods, **options: Any) -> Client:
        return self.connect(await self.serve(methods, **options))

    def channel(self, port: int, **options: Any) -> Channel:
        """A transport's own channel."""
        made = transport(self.client).connect(f"127.0.0.1:{port}", **options)
        self.stack.push_async_callback(made.close)
        return made


class ForeignClient:
    """grpcio's own client, as a program that knows nothing of Clipper uses it."""

    def __init__(self, address: str, max_message_bytes: int) -> None:
        self.channel = grpc.aio.insecure_channel(
            address,
            options=[
                ("grpc.max_receive_message_length", max_message_bytes),
                ("grpc.max_send_message_length", -1),
                # Its own idea of a unix socket's authority, the escaped path, is none to stricter servers.
                *([("grpc.default_authority", "localhost")] if address.startswith("unix:") else []),
            ],
        )

    def call(
        self,
        method: str,
        payload: bytes,
        done: Callable[[Reply], None],
        *,
        deadline_ns: int | None = None,
        metadata: Metadata = (),
    ) -> OutgoingCall:
        return Foreign(self.channel.unary_unary(method), payload, done, timeout_s(deadline_ns), metadata)

    async def stream(
        self, method: str, payload: bytes, *, deadline_ns: int | None = None, metadata: Metadata = ()
    ) -> AsyncIterator[bytes]:
        rpc = self.channel.unary_stream(method)(payload, timeout=timeout_s(deadline_ns), metadata=metadata or None)
        try:
            async for response in rpc:
                yield response
        except grpc.aio.AioRpcError as error:
            raise from_status(status_of(error)) from None
        finally:
            rpc.cancel()

    async def close(self) -> None:
        await self.channel.close()


class Foreign:
    """A unary call with grpcio's own client."""

    def __init__(
        self, stub: Any, payload: bytes, done: Callable[[Reply], None], timeout: float | None, metadata: Metadata
    ) -> None:
        self.rpc = stub(payload, timeout=timeout, metadata=metadata or None)
        self.is_cancelled = False
        self.task = asyncio.ensure_future(self.run(done))

    async def run(self, done: Callable[[Reply], None]) -> None:
        try:
            payload = await self.rpc
        except grpc.aio.AioRpcError as error:
            trailing = tuple((k, v) for k, v in error.trailing_metadata() or () if k != DETAILS)
            done(Reply(status_of(error), trailing=trailing))
        except asyncio.CancelledError:
            if not self.is_cancelled:
                done(Reply(Status(Code.CANCELLED)))
        else:
            done(Reply(Status(Code.OK), payload, tuple(await self.rpc.trailing_metadata() or ())))

    def cancel(self) -> None:
        self.is_cancelled = True
        self.rpc.cancel()


def timeout_s(deadline_ns: int | None) -> float | None:
    return None if deadline_ns is None else max(0.0, (deadline_ns - now_ns()) / 1e9)


def now_ns() -> int:
    return time.monotonic_ns()


def status_of(error: grpc.aio.AioRpcError) -> Status:
    details = next((value for key, value in error.trailing_metadata() or () if key == DETAILS), b"")
    return Status(Code(error.code().value[0]), error.details() or "", details)


@dataclass(eq=False)
class Calls:
    """A unary handler that keeps its calls until the test answers them."""

    seen: asyncio.Queue[UnaryCall] = field(default_factory=asyncio.Queue)
    left: asyncio.Queue[UnaryCall] = field(default_factory=asyncio.Queue)

    def handle(self, call: UnaryCall) -> None:
        call.on_leave = lambda: self.left.put_nowait(call)
        self.seen.put_nowait(call)

    async def next(self) -> UnaryCall:
        return await asyncio.wait_for(self.seen.get(), 10)

    async def next_left(self) -> UnaryCall:
        return await asyncio.wait_for(self.left.get(), 10)


async def ask(
    client: Client, method: str, payload: bytes = b"", *, deadline_ns: int | None = None, metadata: Metadata = ()
) -> Reply:
    """Makes a unary call and waits for its outcome."""
    answered: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
    client.call(method, payload, answered.set_result, deadline_ns=deadline_ns, metadata=metadata)
    return await asyncio.wait_for(answered, 20)


INITIAL: Metadata = (("where", "here"), ("raw-bin", b"\x00\xff"))
TRAILING: Metadata = (("cost", "3"), ("more-bin", b"\x01"))
"""What grpcio's own server answers with."""


class GrpciosOwn(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc has no types
    """Handlers of a server that knows nothing of Clipper."""

    def __init__(self, handlers: Mapping[str, Any]) -> None:
        self.handlers = handlers

    def service(self, details: Any) -> Any:
        async def unary(request: bytes, context: Any) -> bytes:
            await context.send_initial_metadata(INITIAL)
            context.set_trailing_metadata(TRAILING)
            if request == b"slow":
                await asyncio.sleep(0.8)
            return request

        async def stream(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
            async for request in requests:
                yield request

        if details.method in self.handlers:
            return self.handlers[details.method]
        if details.method.endswith("/Echo"):
            return grpc.unary_unary_rpc_method_handler(unary)
        return grpc.stream_stream_rpc_method_handler(stream)


@asynccontextmanager
async def grpcios_own_server(
    handlers: Mapping[str, Any] | None = None,
    *,
    address: str = "127.0.0.1:0",
    credentials: grpc.ServerCredentials | None = None,
    **options: Any,
) -> AsyncIterator[int]:
    """Its port. Besides `handlers`, "/.../Echo" is unary and answers "slow" slowly; all else streams both ways."""
    server = grpc.aio.server(**options)
    server.add_generic_rpc_handlers((GrpciosOwn(handlers or {}),))
    port = server.add_insecure_port(address) if credentials is None else server.add_secure_port(address, credentials)
    await server.start()
    yield port
    await server.stop(0)
