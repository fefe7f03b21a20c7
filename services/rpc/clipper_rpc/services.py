"""Joins typed code to the raw seam: methods of a service as coroutines on messages, and typed calls to a service.

For control planes, where a task per call does not matter. The hot path uses the raw seam itself.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from clipper_rpc import logs
from clipper_rpc.errors import Code, InvalidField
from clipper_rpc.status import RemoteError, for_caller, from_status
from clipper_rpc.telemetry.calls import CallTally
from clipper_rpc.telemetry.context import request_id
from clipper_rpc.transport import Channel, Metadata, Reply, StreamCall, Streaming, Unary, UnaryCall

M = TypeVar("M", bound=Message)

_log = logging.getLogger(__name__)


def method_name(method: MethodDescriptor) -> str:
    """The full name of a method on the wire, "/package.Service/Method"."""
    return f"/{method.containing_service.full_name}/{method.name}"


def typed_methods(
    service: ServiceDescriptor, implementation: object, *, process: str, calls: CallTally | None = None
) -> dict[str, Unary | Streaming]:
    """The methods of `service`, implemented by `implementation`.

    For a method `GetThing` it must have `async def get_thing(self, request) -> response`; for a server-streaming one an
    async generator of responses. They raise domain errors; a request that does not parse never reaches them. Each call
    runs in a task that is cancelled when its caller leaves. `calls` counts the unary ones.

    Raises:
        AttributeError: a method is not implemented.
    """
    methods: dict[str, Unary | Streaming] = {}
    for method in service.methods:
        implemented = getattr(implementation, _snake(method.name))
        request_class = GetMessageClass(method.input_type)
        if method.server_streaming:
            methods[method_name(method)] = Streaming(_streaming(request_class, implemented))
        else:
            methods[method_name(method)] = Unary(_unary(request_class, implemented, process, calls))
    return methods


def _unary(
    request_class: type[Message],
    implemented: Callable[[Any], Coroutine[Any, Any, Message]],
    process: str,
    calls: CallTally | None,
) -> Callable[[UnaryCall], None]:
    running: set[asyncio.Task[None]] = set()  # the loop itself holds tasks only weakly

    async def run(call: UnaryCall) -> Code:
        try:
            response = await implemented(_parsed(request_class, call.payload))
        except Exception as error:  # noqa: BLE001  # the outermost boundary of a handler: answers and goes on
            told = for_caller(error, process=process)
            call.fail(told)
            return told.code
        call.reply(response.SerializeToString())
        return Code.OK

    async def observed(call: UnaryCall) -> None:
        started_ns = time.monotonic_ns()
        with logs.bound(request_id=request_id(call.metadata)):
            code = await run(call)
            elapsed_ns = time.monotonic_ns() - started_ns
            _log.debug("call", extra={"method": call.method, "code": code.name, "took_ms": elapsed_ns / 1e6})
        if calls is not None:
            calls.ended(call.method, code.name, elapsed_ns)

    def handle(call: UnaryCall) -> None:
        task = asyncio.get_running_loop().create_task(observed(call))
        running.add(task)
        task.add_done_callback(running.discard)
        call.on_leave = task.cancel

    return handle


def _streaming(
    request_class: type[Message], implemented: Callable[[Any], AsyncIterator[Message]]
) -> Callable[[StreamCall], Awaitable[None]]:
    async def handle(call: StreamCall) -> None:
        async for payload in call.requests():
            async for response in implemented(_parsed(request_class, payload)):
                await call.send(response.SerializeToString())
            return
        raise InvalidField(field="request", problem="none was sent; the method takes one")

    return handle


def _parsed(request_class: type[Message], payload: bytes) -> Message:
    try:
        return request_class.FromString(payload)
    except DecodeError:
        raise InvalidField(field="request", problem=f"not a {request_class.DESCRIPTOR.full_name}") from None


class TypedClient:
    """Calls the methods of one service with messages, and raises domain errors."""

    def __init__(self, channel: Channel, service: ServiceDescriptor) -> None:
        self._channel = channel
        self._methods = {method.name: method for method in service.methods}

    async def call(
        self,
        name: str,
        request: Message,
        response_class: type[M],
        *,
        deadline_ns: int | None = None,
        metadata: Metadata = (),
    ) -> M:
        """Calls a unary method.

        Raises:
            ClipperError: that of the status; UNAVAILABLE if the server cannot be reached.
        """
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()

        def done(reply: Reply) -> None:
            if not future.done():
                future.set_result(reply)

        call = self._channel.call(
            method_name(self._methods[name]),
            request.SerializeToString(),
            done,
            deadline_ns=deadline_ns,
            metadata=metadata,
        )
        try:
            reply = await future
        except asyncio.CancelledError:
            call.cancel()
            raise
        if not reply.status.is_ok:
            raise from_status(reply.status)
        return _response(response_class, reply.payload)

    async def stream(
        self,
        name: str,
        request: Message,
        response_class: type[M],
        *,
        deadline_ns: int | None = None,
        metadata: Metadata = (),
    ) -> AsyncIterator[M]:
        """Calls a server-streaming method and yields its responses. Raises as `call` does, at its end."""
        payload = request.SerializeToString()
        async for response in self._channel.stream(
            method_name(self._methods[name]), payload, deadline_ns=deadline_ns, metadata=metadata
        ):
            yield _response(response_class, response)


def _response(response_class: type[M], payload: bytes) -> M:
    try:
        return response_class.FromString(payload)
    except DecodeError:
        name = response_class.DESCRIPTOR.full_name
        raise RemoteError(code=Code.INTERNAL, problem=f"The response is not a {name}.") from None


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")
