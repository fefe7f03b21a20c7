"""Streams on the native extension, served and called: what it tells about them, as iterators and waits of asyncio."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable

from clipper_rpc import _native
from clipper_rpc.errors import Cancelled
from clipper_rpc.status import for_caller, from_status, to_status
from clipper_rpc.transport import OK, Metadata, Reply, StreamHandler


class Inbox:
    """Messages of a stream between their coming and their reader, who takes them one by one.

    The sender is held back by what was not taken, so no more than a window of HTTP/2 waits in here.
    """

    def __init__(self) -> None:
        self._messages: deque[tuple[bytes, int]] = deque()
        self._outcome: Reply | None = None
        self._waiter: asyncio.Future[None] | None = None
        self.taken: Callable[[int], None] = lambda held: None

    def message(self, payload: bytes, held: int) -> None:
        """Called by the extension: a message has come."""
        self._messages.append((payload, held))
        self._wake()

    def ended(self, reply: Reply | None) -> None:
        """Called by the extension: no message will come any more; with an outcome if we made the call."""
        if self._outcome is None:
            self._outcome = reply or Reply(OK)
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        while not self._messages:
            if self._outcome is not None:
                if self._outcome.status.is_ok:
                    raise StopAsyncIteration
                raise from_status(self._outcome.status)
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        payload, held = self._messages.popleft()
        self.taken(held)
        return payload


class Outbox:
    """Lets senders wait while the peer does not take what was sent before."""

    def __init__(self) -> None:
        self._room = asyncio.Event()
        self.writable = self._room.set

    async def until_writable(self) -> None:
        """Waits for room."""
        self._room.clear()
        await self._room.wait()


class ServedCall(Inbox):
    """A stream that we serve: a StreamCall for its handler, a listener for the extension."""

    def __init__(self, stream: _native.ServedStream) -> None:
        super().__init__()
        self._stream = stream
        self._outbox = Outbox()
        self._trailing: Metadata = ()
        self.taken = stream.taken
        self.writable = self._outbox.writable
        self.leave: Callable[[], object] = lambda: None

    @property
    def method(self) -> str:
        """See StreamCall."""
        return self._stream.method

    @property
    def metadata(self) -> Metadata:
        """See StreamCall."""
        return self._stream.metadata

    @property
    def deadline_ns(self) -> int | None:
        """See StreamCall."""
        return self._stream.deadline_ns

    def requests(self) -> AsyncIterator[bytes]:
        """See StreamCall."""
        return self

    async def send(self, payload: bytes) -> None:
        """See StreamCall."""
        if self._stream.send(payload):
            await self._outbox.until_writable()

    def set_initial_metadata(self, metadata: Metadata) -> None:
        """See AnsweredWithMetadata."""
        self._stream.set_initial_metadata(metadata)

    def set_trailing_metadata(self, metadata: Metadata) -> None:
        """See AnsweredWithMetadata."""
        self._trailing = metadata

    async def run(self, handle: StreamHandler) -> None:
        """Runs the handler and ends the stream as it ends."""
        try:
            await handle(self)
        except Exception as error:  # noqa: BLE001  # the outermost boundary of a handler: answers and goes on
            self._stream.finish(for_caller(error, process="server"), self._trailing)
        else:
            self._stream.finish(None, self._trailing)


class NativeConversation(Inbox):
    """A call of ours that streams both ways: a Conversation for its caller, a listener for the extension."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._head: asyncio.Future[Metadata] = loop.create_future()
        self._outbox = Outbox()
        self._call: _native.CalledStream
        self.writable = self._outbox.writable
        self.trailing: Metadata = ()

    def begin(self, call: _native.CalledStream) -> None:
        """The call is made."""
        self._call = call
        self.taken = call.taken

    def opened(self, metadata: Metadata) -> None:
        """Called by the extension: what comes ahead of the first response is there."""
        self._head.set_result(metadata)

    def ended(self, reply: Reply | None) -> None:
        """See Inbox.ended."""
        super().ended(reply)
        self.trailing = reply.trailing if reply is not None else ()
        if not self._head.done():
            self._head.set_result(())
        self.writable()

    async def initial_metadata(self) -> Metadata:
        """See Conversation.initial_metadata."""
        return await asyncio.shield(self._head)

    async def send(self, payload: bytes) -> None:
        """See Conversation.send."""
        if self._outcome is None and self._call.send(payload):
            await self._outbox.until_writable()

    def end(self) -> None:
        """See Conversation.end."""
        self._call.end()

    def cancel(self) -> None:
        """See Conversation.cancel."""
        if self._outcome is None:
            self._call.cancel()
            self.ended(Reply(to_status(Cancelled())))
