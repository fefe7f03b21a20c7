"""The transport on the native extension: the wire in a Rust thread, told to the event loop once per burst.

Unary calls never touch this file once a server runs: the extension calls their handlers and sends their answers itself.
What stands here is how servers and channels join the loop, and streams.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable

from clipper_rpc import _native
from clipper_rpc.errors import Cancelled, ClipperError, Code
from clipper_rpc.status import for_caller, from_status, to_status
from clipper_rpc.transport import (
    DEFAULT_OPTIONS,
    MAX_MESSAGE_BYTES,
    OK,
    ClientTls,
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
        self, address: str, *, max_message_bytes: int = MAX_MESSAGE_BYTES, tls: ClientTls | None = None
    ) -> NativeChannel:
        """See Transport.connect."""
        return NativeChannel(address, max_message_bytes, tls)


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
        call = _StreamCall(stream)
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


def _client_tls(tls: ClientTls | None, address: str) -> tuple[str, bytes, tuple[bytes, bytes] | None] | None:
    if tls is None:
        return None
    name = tls.server_name or address.rpartition(":")[0].strip("[]")
    identity = None if tls.identity is None else (tls.identity.certificate, tls.identity.key)
    return name, tls.server_roots, identity


class _Inbox:
    """Messages of a stream between their coming and their reader, who takes them one by one.

    The sender is held back by what was not taken, so no more than a window of HTTP/2 waits in here.
    """

    def __init__(self) -> None:
        self._messages: deque[tuple[bytes, int]] = deque()
        self._end: Reply | None = None
        self._waiter: asyncio.Future[None] | None = None
        self.taken: Callable[[int], None] = lambda held: None

    def message(self, payload: bytes, held: int) -> None:
        """Called by the extension: a message has come."""
        self._messages.append((payload, held))
        self._wake()

    def end(self, reply: Reply | None) -> None:
        """Called by the extension: no message will come any more; with an outcome if we made the call."""
        self._end = reply or Reply(OK)
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        while not self._messages:
            if self._end is not None:
                if self._end.status.is_ok:
                    raise StopAsyncIteration
                raise from_status(self._end.status)
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        payload, held = self._messages.popleft()
        self.taken(held)
        return payload


class _StreamCall(_Inbox):
    """A stream that we serve: a StreamCall for its handler, a listener for the extension."""

    def __init__(self, stream: _native.ServedStream) -> None:
        super().__init__()
        self._stream = stream
        self._room: asyncio.Future[None] | None = None
        self._trailing: Metadata = ()
        self.taken = stream.taken
        self.leave: Callable[[], object] = lambda: None

    @property
    def method(self) -> str:
        return self._stream.method

    @property
    def metadata(self) -> Metadata:
        return self._stream.metadata

    @property
    def deadline_ns(self) -> int | None:
        return self._stream.deadline_ns

    def requests(self) -> AsyncIterator[bytes]:
        return self

    async def send(self, payload: bytes) -> None:
        if self._stream.send(payload):
            self._room = asyncio.get_running_loop().create_future()
            await self._room

    def set_initial_metadata(self, metadata: Metadata) -> None:
        self._stream.set_initial_metadata(metadata)

    def set_trailing_metadata(self, metadata: Metadata) -> None:
        self._trailing = metadata

    def writable(self) -> None:
        """Called by the extension: there is room for more."""
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    async def run(self, handle: StreamHandler) -> None:
        """Runs the handler and ends the stream as it ends."""
        try:
            await handle(self)
        except Exception as error:  # noqa: BLE001  # the outermost boundary of a handler: answers and goes on
            self._stream.finish(for_caller(error, process="server"), self._trailing)
        else:
            self._stream.finish(None, self._trailing)


class NativeChannel:
    """A channel that carries raw payloads. Made on the running loop."""

    def __init__(self, address: str, max_message_bytes: int, tls: ClientTls | None) -> None:
        self.address = address
        self._loop = asyncio.get_running_loop()
        self._closed: asyncio.Future[None] | None = None
        self._core = _native.Channel(
            self._loop.call_soon, address, _reply, max_message_bytes, _client_tls(tls, address)
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
        inbox = _Inbox()
        call = self._core.stream(method, payload, inbox, deadline_ns, metadata)
        inbox.taken = call.taken
        try:
            async for response in inbox:
                yield response
        finally:
            call.cancel()

    async def close(self) -> None:
        """See Channel.close."""
        if self._closed is None:
            closed = self._closed = self._loop.create_future()
            self._core.close(lambda: closed.set_result(None))
            await asyncio.shield(closed)
            self._loop.remove_reader(self._core.fileno())
        else:
            await asyncio.shield(self._closed)


def _reply(code: int, message: str, details: bytes, payload: bytes, trailing: Metadata) -> Reply:
    if code == Code.CANCELLED and not message:
        return Reply(to_status(Cancelled()), b"", trailing)
    return Reply(Status(Code(code), message, details) if code else OK, payload, trailing)
