"""Calling with grpc.aio."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import grpc.aio

from clipper_rpc.errors import Cancelled, Code
from clipper_rpc.grpcio_server import DETAILS_KEY, keepalive_options
from clipper_rpc.status import from_status, to_status
from clipper_rpc.transport import OK, ClientTls, Keepalive, Metadata, OutgoingCall, Reply, Status


class GrpcioChannel:
    """A grpc.aio channel that carries raw payloads."""

    def __init__(
        self, address: str, max_message_bytes: int, tls: ClientTls | None, keepalive: Keepalive | None
    ) -> None:
        self.address = address
        self._closed = False
        self._channel = _channel(
            address,
            tls,
            [
                ("grpc.max_receive_message_length", max_message_bytes),
                ("grpc.max_send_message_length", max_message_bytes),
                # Channels in one process share connections by default; each of ours has its own fate.
                ("grpc.use_local_subchannel_pool", 1),
                ("grpc.initial_reconnect_backoff_ms", 100),
                ("grpc.min_reconnect_backoff_ms", 500),  # also how long connecting may take
                ("grpc.max_reconnect_backoff_ms", 2000),
                *(keepalive_options(_patient(keepalive)) if keepalive is not None else []),
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

    def converse(self, method: str, *, deadline_ns: int | None = None, metadata: Metadata = ()) -> GrpcioConversation:
        """See Channel.converse."""
        if self._closed:
            raise Cancelled
        stub = self._channel.stream_stream(method)
        return GrpcioConversation(stub(timeout=_timeout_s(deadline_ns), metadata=metadata or None))

    async def close(self) -> None:
        """See Channel.close."""
        self._closed = True
        await self._channel.close()


def _patient(keepalive: Keepalive) -> Keepalive:
    """Its only sign of life is a ping's own answer, and that comes behind all responses that are on their way."""
    return Keepalive(keepalive.after_s, keepalive.timeout_s * 2)


def _channel(address: str, tls: ClientTls | None, options: list[tuple[str, Any]]) -> grpc.aio.Channel:
    if tls is None:
        return grpc.aio.insecure_channel(address, options=options)
    identity = (tls.identity.key, tls.identity.certificate) if tls.identity else (None, None)
    if tls.server_name is not None:
        options.append(("grpc.ssl_target_name_override", tls.server_name))
    credentials = grpc.ssl_channel_credentials(tls.server_roots, *identity)
    return grpc.aio.secure_channel(address, credentials, options=options)


def _timeout_s(deadline_ns: int | None) -> float | None:
    return None if deadline_ns is None else max(0.0, (deadline_ns - time.monotonic_ns()) / 1e9)


def _is_cancelling() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class GrpcioConversation:
    """A call that streams both ways."""

    def __init__(self, rpc: Any) -> None:
        self._rpc = rpc
        self._ending: asyncio.Future[None] | None = None
        self.trailing: Metadata = ()

    async def initial_metadata(self) -> Metadata:
        """See Conversation.initial_metadata."""
        return tuple(await self._rpc.initial_metadata() or ())

    async def send(self, payload: bytes) -> None:
        """See Conversation.send."""
        try:
            with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):  # the responses tell
                await self._rpc.write(payload)
        except asyncio.CancelledError:
            if _is_cancelling():
                raise

    def end(self) -> None:
        """See Conversation.end."""
        self._ending = asyncio.ensure_future(self._done_writing())

    async def _done_writing(self) -> None:
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):  # the responses tell
            await self._rpc.done_writing()

    def cancel(self) -> None:
        """See Conversation.cancel."""
        self._rpc.cancel()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for response in self._rpc:
                yield response
        except grpc.aio.AioRpcError as error:
            self.trailing = _without_details(error.trailing_metadata())
            raise from_status(_status(error)) from None
        except asyncio.CancelledError:
            if _is_cancelling():
                raise
            raise Cancelled from None
        self.trailing = tuple(await self._rpc.trailing_metadata() or ())


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
        trailing = _without_details(error.trailing_metadata())
        return Reply(_status(error), trailing=trailing, initial=tuple(error.initial_metadata() or ()))
    trailing, initial = await rpc.trailing_metadata(), await rpc.initial_metadata()
    return Reply(OK, payload, tuple(trailing) if trailing else (), tuple(initial) if initial else ())


def _without_details(trailing: Metadata | None) -> Metadata:
    return tuple((key, value) for key, value in trailing or () if key != DETAILS_KEY)


def _status(error: grpc.aio.AioRpcError) -> Status:
    details = b""
    for key, value in error.trailing_metadata() or ():
        if key == DETAILS_KEY:
            details = value
    return Status(Code(error.code().value[0]), error.details() or "", details)
