"""Calls that carry many queries: a batch that is answered as a whole, and a stream that is answered one by one."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from clipper_frontend import codec
from clipper_frontend.query import Query
from clipper_rpc.errors import ClipperError
from clipper_rpc.status import for_caller
from clipper_rpc.transport import StreamCall, UnaryCall


class BatchCall:
    """The outcomes of one PredictBatch, each in its place; answered when none is missing."""

    def __init__(self, call: UnaryCall, size: int, now_ns: Callable[[], int], *, explain: bool) -> None:
        self.queries: list[Query] = []
        self._call = call
        self._now_ns = now_ns
        self._explain = explain
        self._results: list[codec.Result] = [codec.NO_RESULT] * size
        self._missing = size
        self._is_complete = False

    def refuse(self, index: int, error: ClipperError) -> None:
        """Puts an error in the place of an input that could not be asked."""
        self._results[index] = codec.error_result(error)
        self._missing -= 1

    def done(self, index: int, query: Query) -> None:
        """Puts the outcome of a query in its place."""
        try:
            self._results[index] = codec.result(query, self._now_ns(), explain=self._explain)
        except Exception as error:  # noqa: BLE001  # told in its place; its neighbours go on
            self._results[index] = codec.error_result(for_caller(error, process="frontend"))
        self._missing -= 1
        self._answer_when_complete()

    def complete(self) -> None:
        """All inputs were seen: from now on the last outcome answers the call."""
        self._is_complete = True
        self._answer_when_complete()

    def leave(self) -> None:
        """The caller has left, with all its queries."""
        for query in self.queries:
            query.leave()

    def _answer_when_complete(self) -> None:
        if self._is_complete and not self._missing:
            self.queries.clear()
            self._call.reply(codec.batch_response(self._results))


class StreamSession:
    """The queries of one stream that are under way, and the responses that wait to be sent."""

    def __init__(self, call: StreamCall, now_ns: Callable[[], int], *, max_queries: int) -> None:
        self._call = call
        self._now_ns = now_ns
        self._max_queries = max_queries
        self._under_way: set[Query] = set()
        self._outbox: deque[bytes] = deque()
        self._has_ended = False
        self._has_work = asyncio.Event()  # for the writer
        self._has_room = asyncio.Event()  # for the reader

    def started(self, query: Query) -> None:
        """Keeps a query that is not answered yet."""
        if not query.is_done:
            self._under_way.add(query)

    def refuse(self, tag: int, error: ClipperError) -> None:
        """Answers a request that could not be asked."""
        self._outbox.append(codec.stream_error(tag, error))
        self._has_work.set()

    def done(self, tag: int, explain: bool, query: Query) -> None:
        """Answers a query."""
        self._under_way.discard(query)
        try:
            self._outbox.append(codec.stream_response(tag, query, self._now_ns(), explain=explain))
        except Exception as error:  # noqa: BLE001  # told in its place; its neighbours go on
            self._outbox.append(codec.stream_error(tag, for_caller(error, process="frontend")))
        self._has_work.set()

    async def room(self) -> None:
        """Waits while too many queries are under way or not taken by the client."""
        while len(self._under_way) + len(self._outbox) >= self._max_queries:
            self._has_room.clear()
            await self._has_room.wait()

    def end(self) -> None:
        """No more queries will come: the writer ends after the last response."""
        self._has_ended = True
        self._has_work.set()

    async def write(self) -> None:
        """Sends the responses."""
        while True:
            while self._outbox:
                await self._call.send(self._outbox.popleft())
                self._has_room.set()
            if self._has_ended and not self._under_way:
                return
            self._has_work.clear()
            await self._has_work.wait()

    def leave(self) -> None:
        """The caller has left, with all its queries that are under way."""
        for query in self._under_way:
            query.leave()
        self._under_way.clear()
