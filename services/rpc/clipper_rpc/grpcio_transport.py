"""The transport on grpc.aio: pure Python, always there, and the reference for the native one.

grpc.aio makes a task per call by itself; everything above the seam still makes none.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import grpc.aio

from clipper_rpc.errors import Cancelled, ClipperError, Code
from clipper_rpc.status import for_caller, from_status, to_status
from clipper_rpc.transport import (
    MAX_MESSAGE_BYTES,
    OK,
    Metadata,
    Methods,
    Reply,
    ServerOptions,
    Status,
    Streaming,
    Unary,
)

_DETAILS_KEY = "grpc-status-details-bin"
_CODES = {code.value[0]: code for code in grpc.StatusCode}
_UNREACHABLE = Status(Code.UNAVAILABLE, "connection closed")


class GrpcioTransport:
    """Carries calls with grpc.aio."""

    name = "grpcio"

    async def serve(self, methods: Methods, address: str, options: ServerOptions = ServerOptions()) -> GrpcioServer:
        """See Transport.serve."""
        server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", options.max_message_bytes),
                ("grpc.max_send_message_length", options.max_message_bytes),
                ("grpc.so_reuseport", int(options.reuse_port)),
                ("grpc.http2.min_ping_interval_without_data_ms", 1000),
                ("grpc.keepalive_permit_without_calls", 1),
            ]
        )
        server.add_generic_rpc_handlers((_Handlers(methods),))
        try:
            port = server.add_insecure_port(address)
        except RuntimeError as error:
            raise OSError(f"cannot listen on {address}: {error}") from error
        if port == 0:
            raise OSError(f"cannot listen on {address}")
        await server.start()
        return GrpcioServer(server, port)

    def connect(self, address: str, *, max_message_bytes: int = MAX_MESSAGE_BYTES) -> GrpcioChannel:
        """See Transport.connect."""
        return GrpcioChannel(address, max_message_bytes)


class GrpcioServer:
    """A listening grpc.aio server."""

    def __init__(self, server: grpc.aio.Server, port: int) -> None:
        self._server = server
        self.port = port

    async def stop(self, grace_s: float) -> None:
        """See Server.stop."""
        await self._server.stop(grace_s)


class _Handlers(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc has no types
    def __init__(self, methods: Methods) -> None:
        self._handlers = {name: _method_handler(name, method) for name, method in methods.items()}

    def service(self, handler_call_details: Any) -> Any:
        return self._handlers.get(handler_call_details.method)


def _method_handler(name: str, method: Unary | Streaming) -> Any:
    if isinstance(method, Unary):
        handle = method.handle

        async def unary(payload: bytes, context: Any) -> bytes:
            call = _UnaryCall(name, payload, context, asyncio.get_running_loop().create_future())
            try:
                handle(call)
                status, reply, trailing = await call.outcome
            except asyncio.CancelledError:
                call.leave()
                raise
            except Exception as error:  # noqa: BLE001  # the outermost boundary of a handler: answers and goes on
                status, reply, trailing = to_status(for_caller(error, process="server")), b"", ()
            _finish(context, status, trailing)
            return reply

        return grpc.unary_unary_rpc_method_handler(unary)

    serve_stream = method.handle

    async def stream(requests: AsyncIterator[bytes], context: Any) -> None:
        call = _StreamCall(name, requests, context)
        try:
            await serve_stream(call)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001  # the outermost boundary of a handler: answers and goes on
            _finish(context, to_status(for_caller(error, process="server")), ())

    return grpc.stream_stream_rpc_method_handler(stream)


def _finish(context: Any, status: Status, trailing: Metadata) -> None:
    if not status.is_ok:
        context.set_code(_CODES[status.code])
        context.set_details(status.message)
        if status.details:
            trailing = (*trailing, (_DETAILS_KEY, status.details))
    if trailing:
        context.set_trailing_metadata(trailing)


def _deadline_ns(context: Any) -> int | None:
    remaining_s: float | None = context.time_remaining()
    # grpc.aio reports a far future for calls without a deadline
    if remaining_s is None or remaining_s > 10 * 365 * 86400:
        return None
    return time.monotonic_ns() + int(remaining_s * 1e9)


class _UnaryCall:
    __slots__ = ("_context", "method", "on_leave", "outcome", "payload")

    def __init__(self, method: str, payload: bytes, context: Any, outcome: asyncio.Future[Any]) -> None:
        self.method = method
        self.payload = payload
        self.on_leave: Callable[[], None] | None = None
        self.outcome = outcome
        self._context = context

    @property
    def metadata(self) -> Metadata:
        return tuple(self._context.invocation_metadata() or ())

    @property
    def deadline_ns(self) -> int | None:
        return _deadline_ns(self._context)

    def reply(self, payload: bytes, trailing: Metadata = ()) -> None:
        if not self.outcome.done():
            self.outcome.set_result((OK, payload, trailing))

    def fail(self, error: ClipperError | Status) -> None:
        if not self.outcome.done():
            status = error if isinstance(error, Status) else to_status(error)
            self.outcome.set_result((status, b"", ()))

    def leave(self) -> None:
        if self.on_leave is not None:
            self.on_leave()


class _StreamCall:
    __slots__ = ("_context", "_requests", "method")

    def __init__(self, method: str, requests: AsyncIterator[bytes], context: Any) -> None:
        self.method = method
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

    def send(self, payload: bytes) -> Awaitable[None]:
        sent: Awaitable[None] = self._context.write(payload)
        return sent


class GrpcioChannel:
    """A grpc.aio channel that carries raw payloads."""

    def __init__(self, address: str, max_message_bytes: int) -> None:
        self.address = address
        self._channel = grpc.aio.insecure_channel(
            address,
            options=[
                ("grpc.max_receive_message_length", max_message_bytes),
                ("grpc.max_send_message_length", max_message_bytes),
                # Channels in one process share connections by default; each of ours has its own fate.
                ("grpc.use_local_subchannel_pool", 1),
                ("grpc.initial_reconnect_backoff_ms", 100),
                ("grpc.min_reconnect_backoff_ms", 100),
                ("grpc.max_reconnect_backoff_ms", 2000),
                ("grpc.keepalive_time_ms", 10_000),
                ("grpc.keepalive_timeout_ms", 5_000),
                ("grpc.enable_retries", 0),
            ],
        )
        self._methods: dict[str, Any] = {}

    def call(
        self,
        method: str,
        payload: bytes,
        done: Callable[[Reply], None],
        *,
        deadline_ns: int | None = None,
        metadata: Metadata = (),
    ) -> _OutgoingCall:
        """See Channel.call."""
        stub = self._methods.get(method)
        if stub is None:
            stub = self._methods[method] = self._channel.unary_unary(method)
        timeout_s = None if deadline_ns is None else max(0.0, (deadline_ns - time.monotonic_ns()) / 1e9)
        rpc = stub(payload, timeout=timeout_s, metadata=metadata or None)
        return _OutgoingCall(rpc, done)

    async def stream(self, method: str, payload: bytes, *, metadata: Metadata = ()) -> AsyncIterator[bytes]:
        """See Channel.stream."""
        rpc = self._channel.unary_stream(method)(payload, metadata=metadata or None)
        try:
            async for response in rpc:
                yield response
        except grpc.aio.AioRpcError as error:
            raise from_status(_status(error)) from None
        finally:
            rpc.cancel()

    async def close(self) -> None:
        """See Channel.close."""
        await self._channel.close()


class _OutgoingCall:
    __slots__ = ("_done", "_task")

    def __init__(self, rpc: Any, done: Callable[[Reply], None]) -> None:
        self._done: Callable[[Reply], None] | None = done
        self._task = asyncio.ensure_future(_outcome(rpc))
        self._task.add_done_callback(self._ended)

    def cancel(self) -> None:
        self._done = None
        self._task.cancel()

    def _ended(self, task: asyncio.Future[Reply]) -> None:
        done, self._done = self._done, None
        if task.cancelled():
            reply = Reply(to_status(Cancelled()))
        else:
            reply = task.result()
        if done is not None:
            done(reply)


async def _outcome(rpc: Any) -> Reply:
    try:
        payload = await rpc
    except grpc.aio.AioRpcError as error:
        return Reply(_status(error), trailing=tuple(error.trailing_metadata() or ()))
    except grpc.aio.UsageError:  # the channel was closed
        return Reply(_UNREACHABLE)
    trailing = await rpc.trailing_metadata()
    return Reply(OK, payload, tuple(trailing) if trailing else ())


def _status(error: grpc.aio.AioRpcError) -> Status:
    details = b""
    for key, value in error.trailing_metadata() or ():
        if key == _DETAILS_KEY:
            details = value
    return Status(Code(error.code().value[0]), error.details() or "", details)
