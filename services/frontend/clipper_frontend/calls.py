"""Calls that carry many queries: a batch that is answered as a whole, and a stream that is answered one by one."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice

from clipper_frontend import codec
from clipper_frontend.deadlines import Clock
from clipper_frontend.joint import AnyQuery
from clipper_frontend.observing import Followed, Observer
from clipper_rpc.errors import ClipperError
from clipper_rpc.status import for_caller
from clipper_rpc.transport import StreamCall, UnaryCall

_INPUTS_PER_TURN = 256


class BatchCall:
    """The outcomes of one PredictBatch, each in its place; answered when none is missing.

    Args:
        start: starts the query for one input; raises what is wrong with it.
        followed: the call, if it is followed.
    """

    def __init__(
        self,
        call: UnaryCall,
        inputs: Sequence[bytes],
        start: Callable[[bytes, Callable[[AnyQuery], None]], AnyQuery],
        clock: Clock,
        observer: Observer,
        *,
        explain: bool,
        followed: Followed | None = None,
    ) -> None:
        self._call = call
        self._inputs = enumerate(inputs)
        self._start = start
        self._clock = clock
        self._observer = observer
        self._explain = explain
        self._followed = followed
        self._queries: list[AnyQuery] = []
        self._results: list[codec.Result] = [codec.NO_RESULT] * len(inputs)
        self._missing = len(inputs)
        self._has_left = False

    def proceed(self) -> None:
        """Starts the next inputs. Others' calls get their turn in between, however large this one is."""
        if self._has_left:
            return
        now = list(islice(self._inputs, _INPUTS_PER_TURN))
        for index, value in now:
            try:
                query = self._start(value, partial(self._done, index))
                self._queries.append(query)
                if self._followed is not None:
                    self._observer.follow(query, self._followed)
            except Exception as error:  # noqa: BLE001  # told in its place; its neighbours go on
                self._put(index, codec.error_result(for_caller(error, process="frontend")))
        if len(now) == _INPUTS_PER_TURN:
            self._clock.call_soon(self.proceed)
        elif not self._results:
            self._reply()

    def leave(self) -> None:
        """The caller has left, with all its queries."""
        self._has_left = True
        for query in self._queries:
            self._observer.left(query)
        if self._followed is not None:
            self._observer.close(self._followed, "CANCELLED")

    def _done(self, index: int, query: AnyQuery) -> None:
        now_ns = self._clock.now_ns()
        self._observer.answered(query, now_ns, self._call)
        try:
            result = codec.result(query, now_ns, explain=self._explain)
        except Exception as error:  # noqa: BLE001  # told in its place; its neighbours go on
            result = codec.error_result(for_caller(error, process="frontend"))
        self._put(index, result)

    def _put(self, index: int, result: codec.Result) -> None:
        self._results[index] = result
        self._missing -= 1
        if not self._missing:
            self._queries.clear()
            self._reply()

    def _reply(self) -> None:
        self._call.reply(codec.batch_response(self._results))
        if self._followed is not None:
            self._observer.close(self._followed)


class StreamSession:
    """The queries of one stream that are under way, and the responses that wait to be sent."""

    def __init__(self, call: StreamCall, now_ns: Callable[[], int], observer: Observer, *, max_queries: int) -> None:
        self._call = call
        self._observer = observer
        self._now_ns = now_ns
        self._max_queries = max_queries
        self._under_way: set[AnyQuery] = set()
        self._outbox: deque[bytes] = deque()
        self._has_ended = False
        self._has_work = asyncio.Event()  # for the writer
        self._has_room = asyncio.Event()  # for the reader

    def started(self, query: AnyQuery) -> None:
        """Keeps a query that is not answered yet."""
        if not query.is_done:
            self._under_way.add(query)

    def refuse(self, tag: int, error: ClipperError) -> None:
        """Answers a request that could not be asked."""
        self._outbox.append(codec.stream_error(tag, error))
        self._has_work.set()

    def done(self, tag: int, explain: bool, query: AnyQuery) -> None:
        """Answers a query."""
        self._under_way.discard(query)
        now_ns = self._now_ns()
        self._observer.answered(query, now_ns, self._call)
        try:
            self._outbox.append(codec.stream_response(tag, query, now_ns, explain=explain))
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
            self._observer.left(query)
        self._under_way.clear()
