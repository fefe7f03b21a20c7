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
    DEFAULT_OPTIONS,
    MAX_MESSAGE_BYTES,
    OK,
    Metadata,
    Methods,
    OutgoingCall,
    Reply,
    ServerOptions,
    Status,
    StreamHandler,
    Streaming,
    Unary,
    UnaryHandler,
)

_DETAILS_KEY = "grpc-status-details-bin"
_CODES = {code.value[0]: code for code in grpc.StatusCode}
_FOR_EVER_S = 10 * 365 * 86400

_Answer = tuple[Status, bytes, Metadata]
_NO_ANSWER: _Answer = (Status(Code.CANCELLED), b"", ())


class GrpcioTransport:
    """Carries calls with grpc.aio."""

    name = "grpcio"

    async def serve(self, methods: Methods, address: str, options: ServerOptions = DEFAULT_OPTIONS) -> GrpcioServer:
        """See Transport.serve."""
        age_s, streams = options.max_connection_age_s, options.max_concurrent_streams
        server = grpc.aio.server(
            options=[
                *([("grpc.max_concurrent_streams", streams)] if streams is not None else []),
                *([("grpc.max_connection_age_ms", round(age_s * 1000))] if age_s is not None else []),
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
        return grpc.unary_unary_rpc_method_handler(_unary(name, method.handle))
    return grpc.stream_stream_rpc_method_handler(_stream(name, method.handle))


def _unary(name: str, handle: UnaryHandler) -> Callable[[bytes, Any], Awaitable[bytes]]:
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
        if call.initial:
            await context.send_initial_metadata(call.initial)
        _finish(context, status, (*trailing, *call.trailing))
        return reply

    return unary


def _stream(name: str, handle: StreamHandler) -> Callable[[AsyncIterator[bytes], Any], Awaitable[None]]:
    async def stream(requests: AsyncIterator[bytes], context: Any) -> None:
        call = _StreamCall(name, requests, context)
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
            trailing = (*trailing, (_DETAILS_KEY, status.details))
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
    __slots__ = ("_context", "_requests", "method")

    def __init__(self, method: str, requests: AsyncIterator[bytes], context: Any) -> None:
        super().__init__()
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

    async def send(self, payload: bytes) -> None:
        if self.initial:
            await self._context.send_initial_metadata(self.initial)
            self.initial = ()
        await self._context.write(payload)


class GrpcioChannel:
    """A grpc.aio channel that carries raw payloads."""

    def __init__(self, address: str, max_message_bytes: int) -> None:
        self.address = address
        self._closed = False
        self._channel = grpc.aio.insecure_channel(
            address,
            options=[
                ("grpc.max_receive_message_length", max_message_bytes),
                ("grpc.max_send_message_length", max_message_bytes),
                # Channels in one process share connections by default; each of ours has its own fate.
                ("grpc.use_local_subchannel_pool", 1),
                ("grpc.initial_reconnect_backoff_ms", 100),
                ("grpc.min_reconnect_backoff_ms", 500),  # also how long connecting may take
                ("grpc.max_reconnect_backoff_ms", 2000),
                ("grpc.keepalive_time_ms", 10_000),
                ("grpc.keepalive_timeout_ms", 5_000),
                ("grpc.enable_retries", 0),
                # Its own idea of a unix socket's authority, the escaped path, is none to stricter servers.
                *([("grpc.default_authority", "localhost")] if address.startswith("unix:") else []),
                ("grpc.enable_http_proxy", 0),  # peers are inside the cluster
            ],
        )
        self._unary: dict[str, Any] = {}

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
        if self._closed:
            return asyncio.get_running_loop().call_soon(done, Reply(to_status(Cancelled())))
        stub = self._unary.get(method)
        if stub is None:
            stub = self._unary[method] = self._channel.unary_unary(method)
        return _OutgoingCall(stub(payload, timeout=_timeout_s(deadline_ns), metadata=metadata or None), done)

    async def stream(
        self, method: str, payload: bytes, *, deadline_ns: int | None = None, metadata: Metadata = ()
    ) -> AsyncIterator[bytes]:
        """See Channel.stream."""
        if self._closed:
            raise Cancelled
        stub = self._channel.unary_stream(method)
        rpc = stub(payload, timeout=_timeout_s(deadline_ns), metadata=metadata or None)
        try:
            async for response in rpc:
                yield response
        except grpc.aio.AioRpcError as error:
            raise from_status(_status(error)) from None
        except asyncio.CancelledError:
            if _is_cancelling():
                raise
            raise Cancelled from None  # the channel was closed
        finally:
            rpc.cancel()

    async def close(self) -> None:
        """See Channel.close."""
        self._closed = True
        await self._channel.close()


def _timeout_s(deadline_ns: int | None) -> float | None:
    return None if deadline_ns is None else max(0.0, (deadline_ns - time.monotonic_ns()) / 1e9)


def _is_cancelling() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class _OutgoingCall:
    """A call that was made. A task of our own awaits it: grpc.aio's callbacks come before the response is there."""

    __slots__ = ("_done", "_rpc", "_task")

    def __init__(self, rpc: Any, done: Callable[[Reply], None]) -> None:
        self._done: Callable[[Reply], None] | None = done
        self._rpc = rpc
        self._task = asyncio.get_running_loop().create_task(_outcome(rpc))
        self._task.add_done_callback(self._ended)

    def cancel(self) -> None:
        self._done = None
        self._rpc.cancel()

    def _ended(self, task: asyncio.Task[Reply]) -> None:
        done, self._done = self._done, None
        if done is None:
            return
        done(Reply(to_status(Cancelled())) if task.cancelled() else task.result())


async def _outcome(rpc: Any) -> Reply:
    try:
        payload = await rpc
    except grpc.aio.AioRpcError as error:
        return Reply(_status(error), trailing=_without_details(error.trailing_metadata()))
    trailing = await rpc.trailing_metadata()
    return Reply(OK, payload, tuple(trailing) if trailing else ())


def _without_details(trailing: Metadata | None) -> Metadata:
    return tuple((key, value) for key, value in trailing or () if key != _DETAILS_KEY)


def _status(error: grpc.aio.AioRpcError) -> Status:
    details = b""
    for key, value in error.trailing_metadata() or ():
        if key == _DETAILS_KEY:
            details = value
    return Status(Code(error.code().value[0]), error.details() or "", details)
