"""Serving on grpc.aio, which makes a task per call by itself; everything above the seam still makes none."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import grpc.aio

from clipper_rpc.errors import ClipperError, Code
from clipper_rpc.status import for_caller, to_status
from clipper_rpc.transport import (
    OK,
    Keepalive,
    Metadata,
    Methods,
    ServerOptions,
    ServerTls,
    Status,
    StreamHandler,
    Streaming,
    Unary,
    UnaryHandler,
)

DETAILS_KEY = "grpc-status-details-bin"
"""The metadata in which a google.rpc.Status travels."""

_CODES = {code.value[0]: code for code in grpc.StatusCode}
_FOR_EVER_S = 10 * 365 * 86400

_Answer = tuple[Status, bytes, Metadata]
_NO_ANSWER: _Answer = (Status(Code.CANCELLED), b"", ())


async def listen(methods: Methods, address: str, options: ServerOptions) -> GrpcioServer:
    """A server that takes calls. See Transport.serve."""
    age_s, streams = options.max_connection_age_s, options.max_concurrent_streams
    compress_above = options.compress_above_bytes
    server = grpc.aio.server(
        compression=None if compress_above is None else grpc.Compression.Gzip,  # for clients that read that
        options=[
            *([("grpc.max_concurrent_streams", streams)] if streams is not None else []),
            *([("grpc.max_connection_age_ms", round(age_s * 1000))] if age_s is not None else []),
            ("grpc.max_receive_message_length", options.max_message_bytes),
            ("grpc.max_send_message_length", options.max_message_bytes),
            ("grpc.so_reuseport", int(options.reuse_port)),
            *(keepalive_options(options.keepalive) if options.keepalive is not None else []),
            ("grpc.http2.max_ping_strikes", 0),  # clients may ask as often as they like
            ("grpc.keepalive_permit_without_calls", 1),
        ],
    )
    server.add_generic_rpc_handlers((_Handlers(methods, compress_above),))
    try:
        port = _add_port(server, address, options.tls)
    except RuntimeError as error:
        hint = " (or the certificate or its key is none)" if options.tls else ""
        raise OSError(f"cannot listen on {address}{hint}: {error}") from error
    if port == 0:
        raise OSError(f"cannot listen on {address}")
    await server.start()
    return GrpcioServer(server, port)


def keepalive_options(keepalive: Keepalive) -> list[tuple[str, Any]]:
    """Options of a server or a channel. What a ping's timeout was called before is set too; it alone does nothing."""
    return [
        ("grpc.keepalive_time_ms", round(keepalive.after_s * 1000)),
        ("grpc.keepalive_timeout_ms", round(keepalive.timeout_s * 1000)),
        ("grpc.http2.ping_timeout_ms", round(keepalive.timeout_s * 1000)),
    ]


def _add_port(server: grpc.aio.Server, address: str, tls: ServerTls | None) -> int:
    if tls is None:
        return int(server.add_insecure_port(address))
    identity = (tls.identity.key, tls.identity.certificate)
    credentials = grpc.ssl_server_credentials([identity], tls.client_roots, tls.client_roots is not None)
    return int(server.add_secure_port(address, credentials))


class GrpcioServer:
    """A listening grpc.aio server."""

    def __init__(self, server: grpc.aio.Server, port: int) -> None:
        self._server = server
        self.port = port

    async def stop(self, grace_s: float) -> None:
        """See Server.stop."""
        await self._server.stop(grace_s)


class _Handlers(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc has no types
    def __init__(self, methods: Methods, compress_above: int | None) -> None:
        self._handlers = {name: _method_handler(name, method, compress_above) for name, method in methods.items()}

    def service(self, handler_call_details: Any) -> Any:
        return self._handlers.get(handler_call_details.method)


def _method_handler(name: str, method: Unary | Streaming, compress_above: int | None) -> Any:
    if isinstance(method, Unary):
        return grpc.unary_unary_rpc_method_handler(_unary(name, method.handle, compress_above))
    return grpc.stream_stream_rpc_method_handler(_stream(name, method.handle, compress_above))


def _unary(name: str, handle: UnaryHandler, compress_above: int | None) -> Callable[[bytes, Any], Awaitable[bytes]]:
    async def unary(payload: bytes, context: Any) -> bytes:
        call = _UnaryCall(name, payload, context)
        try:
            handle(call)
            status, reply, trailing = call.answer or await call.answered()
        except asyncio.CancelledError:  # the caller has left
            call.leave()
            raise
        except Exception as error:  # noqa: BLE001  # the outermost boundary of a handler: answers and goes on
            status, reply, trailing = to_status(for_caller(error, process="server")), b"", ()
        if compress_above is not None and len(reply) <= compress_above:
            context.disable_next_message_compression()
        if call.initial:
            await context.send_initial_metadata(call.initial)
        _finish(context, status, (*trailing, *call.trailing))
        return reply

    return unary


def _stream(
    name: str, handle: StreamHandler, compress_above: int | None
) -> Callable[[AsyncIterator[bytes], Any], Awaitable[None]]:
    async def stream(requests: AsyncIterator[bytes], context: Any) -> None:
        call = _StreamCall(name, requests, context, compress_above)
        try:
            await handle(call)
        except Exception as error:  # noqa: BLE001  # the outermost boundary of a handler: answers and goes on
            _finish(context, to_status(for_caller(error, process="server")), call.trailing)
        else:
            _finish(context, OK, call.trailing)

    return stream


def _finish(context: Any, status: Status, trailing: Metadata) -> None:
    if not status.is_ok:
        context.set_code(_CODES[status.code])
        context.set_details(status.message)
        if status.details:
            trailing = (*trailing, (DETAILS_KEY, status.details))
    if trailing:
        context.set_trailing_metadata(trailing)


def _deadline_ns(context: Any) -> int | None:
    remaining_s: float | None = context.time_remaining()
    # grpc.aio reports a far future for calls without a deadline
    if remaining_s is None or remaining_s > _FOR_EVER_S:
        return None
    return time.monotonic_ns() + int(remaining_s * 1e9)


class _Metadata:
    """What goes out with an answer."""

    __slots__ = ("initial", "trailing")

    def __init__(self) -> None:
        self.initial: Metadata = ()
        self.trailing: Metadata = ()

    def set_initial_metadata(self, metadata: Metadata) -> None:
        self.initial = metadata

    def set_trailing_metadata(self, metadata: Metadata) -> None:
        self.trailing = metadata


class _UnaryCall(_Metadata):
    """A UnaryCall. Metadata and deadline are fetched only when asked for: each costs microseconds."""

    __slots__ = ("_context", "_waiter", "answer", "method", "on_leave", "payload")

    def __init__(self, method: str, payload: bytes, context: Any) -> None:
        super().__init__()
        self.method = method
        self.payload = payload
        self.on_leave: Callable[[], object] | None = None
        self.answer: _Answer | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._context = context

    @property
    def metadata(self) -> Metadata:
        return tuple(self._context.invocation_metadata() or ())

    @property
    def deadline_ns(self) -> int | None:
        return _deadline_ns(self._context)

    def reply(self, payload: bytes, trailing: Metadata = ()) -> None:
        self._answer((OK, payload, trailing))

    def fail(self, error: ClipperError | Status) -> None:
        self._answer((error if isinstance(error, Status) else to_status(error), b"", ()))

    def _answer(self, answer: _Answer) -> None:
        if self.answer is None:
            self.answer = answer
            if self._waiter is not None and not self._waiter.done():
                self._waiter.set_result(None)

    async def answered(self) -> _Answer:
        """Waits for the answer of a handler that did not give it at once."""
        self._waiter = asyncio.get_running_loop().create_future()
        await self._waiter
        assert self.answer is not None
        return self.answer

    def leave(self) -> None:
        """Tells the handler that nobody waits any more, unless it has answered."""
        if self.answer is None:
            self.answer = _NO_ANSWER
            if self.on_leave is not None:
                self.on_leave()


class _StreamCall(_Metadata):
    __slots__ = ("_compress_above", "_context", "_requests", "method")

    def __init__(self, method: str, requests: AsyncIterator[bytes], context: Any, compress_above: int | None) -> None:
        super().__init__()
        self.method = method
        self._compress_above = compress_above
        self._requests = requests
        self._context = context

    @property
    def metadata(self) -> Metadata:
        return tuple(self._context.invocation_metadata() or ())

    @property
    def deadline_ns(self) -> int | None:
        return _deadline_ns(self._context)

    def requests(self) -> AsyncIterator[bytes]:
        return self._requests

    async def send(self, payload: bytes) -> None:
        if self.initial:
            await self._context.send_initial_metadata(self.initial)
            self.initial = ()
        if self._compress_above is not None and len(payload) <= self._compress_above:
            self._context.disable_next_message_compression()
        await self._context.write(payload)
