"""The transport on the native extension: the wire in a Rust thread, told to the event loop once per burst.

Unary calls never touch this file once a server runs: the extension calls their handlers and sends their answers itself.
What stands here is how servers and channels join the loop; `native_streams` has streams.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from clipper_rpc import _native
from clipper_rpc.errors import Cancelled, ClipperError, Code
from clipper_rpc.native_streams import Inbox, NativeConversation, ServedCall
from clipper_rpc.status import for_caller, to_status
from clipper_rpc.transport import (
    DEFAULT_OPTIONS,
    MAX_MESSAGE_BYTES,
    OK,
    WITHIN_A_SECOND,
    ClientTls,
    Keepalive,
    Metadata,
    Methods,
    OutgoingCall,
    Reply,
    ServerOptions,
    ServerTls,
    Status,
    StreamHandler,
    Streaming,
    UnaryCall,
)

_MAX_STREAMS = 1024
"""Calls of one connection that run at a time: it also bounds the memory that a connection can take."""


class NativeTransport:
    """Carries calls with the native extension."""

    name = "native"

    async def serve(self, methods: Methods, address: str, options: ServerOptions = DEFAULT_OPTIONS) -> NativeServer:
        """See Transport.serve."""
        return NativeServer(methods, address, options)

    def connect(
        self,
        address: str,
        *,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        tls: ClientTls | None = None,
        keepalive: Keepalive | None = WITHIN_A_SECOND,
    ) -> NativeChannel:
        """See Transport.connect."""
        return NativeChannel(address, max_message_bytes, tls, keepalive)


class NativeServer:
    """A server that listens from the start. Made on the running loop."""

    def __init__(self, methods: Methods, address: str, options: ServerOptions) -> None:
        self._loop = asyncio.get_running_loop()
        self._streams: set[asyncio.Task[None]] = set()
        self._stopped: asyncio.Future[None] = self._loop.create_future()
        self._core = _native.Server(
            self._loop.call_soon,
            address,
            [(name, method.handle, isinstance(method, Streaming)) for name, method in methods.items()],
            (_fail, self._open, _describe),
            limit=options.max_message_bytes,
            reuse_port=options.reuse_port,
            max_streams=options.max_concurrent_streams or _MAX_STREAMS,
            max_age_s=options.max_connection_age_s,
            keepalive_s=_keepalive_s(options.keepalive),
            compress_above=options.compress_above_bytes,
            tls=_server_tls(options.tls),
        )
        self.port = self._core.port
        self._loop.add_reader(self._core.fileno(), self._core.drain)

    async def stop(self, grace_s: float) -> None:
        """See Server.stop."""
        if self._core.stop(grace_s, lambda: self._stopped.set_result(None)):
            await asyncio.shield(self._stopped)
            if self._streams:
                await asyncio.wait(self._streams)
            self._loop.remove_reader(self._core.fileno())
            self._core.close()
        else:
            await asyncio.shield(self._stopped)

    def _open(self, stream: _native.ServedStream, handle: StreamHandler) -> None:
        call = ServedCall(stream)
        task = self._loop.create_task(call.run(handle))
        call.leave = task.cancel
        stream.listen(call)
        self._streams.add(task)
        task.add_done_callback(self._streams.discard)


def _fail(call: UnaryCall, error: BaseException) -> None:
    call.fail(for_caller(error, process="server"))


def _describe(error: ClipperError | Status) -> tuple[int, str, bytes]:
    status = error if isinstance(error, Status) else to_status(error)
    return int(status.code), status.message, status.details


def _server_tls(tls: ServerTls | None) -> tuple[bytes, bytes, bytes | None] | None:
    if tls is None:
        return None
    return tls.identity.certificate, tls.identity.key, tls.client_roots


def _keepalive_s(keepalive: Keepalive | None) -> tuple[float, float] | None:
    return None if keepalive is None else (keepalive.after_s, keepalive.timeout_s)


def _client_tls(tls: ClientTls | None, address: str) -> tuple[str, bytes, tuple[bytes, bytes] | None] | None:
    if tls is None:
        return None
    name = tls.server_name or address.rpartition(":")[0].strip("[]")
    identity = None if tls.identity is None else (tls.identity.certificate, tls.identity.key)
    return name, tls.server_roots, identity


class NativeChannel:
    """A channel that carries raw payloads. Made on the running loop."""

    def __init__(
        self, address: str, max_message_bytes: int, tls: ClientTls | None, keepalive: Keepalive | None
    ) -> None:
        self.address = address
        self._loop = asyncio.get_running_loop()
        self._closed: asyncio.Future[None] | None = None
        self._core = _native.Channel(
            self._loop.call_soon,
            address,
            _reply,
            max_message_bytes,
            _keepalive_s(keepalive),
            _client_tls(tls, address),
        )
        self._loop.add_reader(self._core.fileno(), self._core.drain)

    def call(
        self,
        method: str,
        payload: bytes,
        done: Callable[[Reply], None],
        *,
        deadline_ns: int | None = None,
        metadata: Metadata = (),
    ) -> OutgoingCall:
        """See Channel.call."""
        if self._closed is not None:
            return self._loop.call_soon(done, Reply(to_status(Cancelled())))
        return self._core.call(method, payload, done, deadline_ns, metadata)

    async def stream(
        self, method: str, payload: bytes, *, deadline_ns: int | None = None, metadata: Metadata = ()
    ) -> AsyncIterator[bytes]:
        """See Channel.stream."""
        if self._closed is not None:
            raise Cancelled
        inbox = Inbox()
        call = self._core.stream(method, payload, inbox, deadline_ns, metadata)
        inbox.taken = call.taken
        try:
            async for response in inbox:
                yield response
        finally:
            call.cancel()

    def converse(self, method: str, *, deadline_ns: int | None = None, metadata: Metadata = ()) -> NativeConversation:
        """See Channel.converse."""
        if self._closed is not None:
            raise Cancelled
        conversation = NativeConversation(self._loop)
        conversation.begin(self._core.stream(method, None, conversation, deadline_ns, metadata))
        return conversation

    async def close(self) -> None:
        """See Channel.close."""
        if self._closed is None:
            closed = self._closed = self._loop.create_future()
            self._core.close(lambda: closed.set_result(None))
            await asyncio.shield(closed)
            self._loop.remove_reader(self._core.fileno())
        else:
            await asyncio.shield(self._closed)


def _reply(code: int, message: str, details: bytes, payload: bytes, trailing: Metadata, initial: Metadata) -> Reply:
    if code == Code.CANCELLED and not message:
        return Reply(to_status(Cancelled()), b"", trailing, initial)
    return Reply(Status(Code(code), message, details) if code else OK, payload, trailing, initial)
