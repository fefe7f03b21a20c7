"""The door: PredictService on the raw seam. Check, call, encode, return; it decides nothing.

A unary call costs one Query and no task, whatever it carries.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from clipper.wire.v1.wire_pb2 import PredictBatchRequest, PredictRequest
from clipper_frontend import codec
from clipper_frontend.calls import BatchCall, StreamSession
from clipper_frontend.deadlines import Clock
from clipper_frontend.joint import AnyQuery
from clipper_frontend.metrics import Metrics
from clipper_frontend.observing import Observer
from clipper_frontend.predictor import Predictor
from clipper_rpc.errors import ClipperError, TooManyInputs
from clipper_rpc.status import for_caller
from clipper_rpc.transport import Methods, StreamCall, Streaming, Unary, UnaryCall

PREDICT_SERVICE = "clipper.v1.PredictService"


class PredictService:
    """Handlers of PredictService.

    Args:
        max_batch_inputs: how many inputs one PredictBatch may have.
        max_stream_queries: how many queries of one stream may be under way; then it is not read any further.
        observer: looks on; by default one that nobody asks.
    """

    def __init__(
        self,
        predictor: Predictor,
        clock: Clock,
        *,
        max_batch_inputs: int,
        max_stream_queries: int,
        observer: Observer | None = None,
    ) -> None:
        self._predictor = predictor
        self._clock = clock
        self._now_ns = clock.now_ns
        self._max_batch_inputs = max_batch_inputs
        self._max_stream_queries = max_stream_queries
        self._observer = observer or Observer(Metrics(clock))

    def methods(self) -> Methods:
        """The handlers, for the transport."""
        return {
            f"/{PREDICT_SERVICE}/Predict": Unary(self.predict),
            f"/{PREDICT_SERVICE}/PredictBatch": Unary(self.predict_batch),
            f"/{PREDICT_SERVICE}/PredictStream": Streaming(self.predict_stream),
            f"/{PREDICT_SERVICE}/DescribeApplication": Unary(self.describe_application),
        }

    def predict(self, call: UnaryCall) -> None:
        """Answers one query."""
        request = codec.parse_predict(call.payload)
        if self._observer.follows:
            self._predict_followed(call, request)
            return
        query = self._start(request, call.deadline_ns, partial(self._answer, call, request.explain))
        call.on_leave = query.leave

    def _predict_followed(self, call: UnaryCall, request: PredictRequest) -> None:
        observer = self._observer
        followed = observer.open(call, call.method, request.application)
        try:
            query = self._start(request, call.deadline_ns, partial(self._answer, call, request.explain))
        except ClipperError as error:
            observer.close(followed, error.message)
            raise
        observer.follow(query, followed)
        call.on_leave = partial(observer.left, query)

    def _start(self, request: PredictRequest, client_ns: int | None, on_done: Callable[[AnyQuery], None]) -> AnyQuery:
        now_ns = self._now_ns()
        predictor = self._predictor
        try:
            route = predictor.route(request.application)
            value = codec.checked_input(request.input, route)
            if request.context:
                codec.check_context(request.context)
            deadline_ns = predictor.deadline_ns(route, now_ns, client_ns)
            return predictor.predict(
                route,
                request.version,
                request.context,
                value,
                now_ns,
                deadline_ns,
                on_done,
                bypass_cache=request.bypass_cache,
            )
        except ClipperError as error:
            self._observer.failed(request.application, error)
            raise

    def _answer(self, call: UnaryCall, explain: bool, query: AnyQuery) -> None:
        now_ns = self._now_ns()
        self._observer.answered(query, now_ns, call)
        try:
            call.reply(codec.answer(query, now_ns, explain=explain))
        except Exception as error:  # noqa: BLE001  # this caller is told; its neighbours in the batch go on
            call.fail(for_caller(error, process="frontend"))

    def predict_batch(self, call: UnaryCall) -> None:
        """Answers many inputs, in order, each with its own outcome."""
        request = codec.parse_predict_batch(call.payload)
        followed = None
        if self._observer.follows:
            followed = self._observer.open(call, call.method, request.application, ends_with_query=False)
        try:
            start = self._batch_start(call, request)
        except ClipperError as error:
            self._observer.failed(request.application, error)
            if followed is not None:
                self._observer.close(followed, error.message)
            raise
        batch = BatchCall(
            call, request.inputs, start, self._clock, self._observer, explain=request.explain, followed=followed
        )
        call.on_leave = batch.leave
        batch.proceed()

    def _batch_start(
        self, call: UnaryCall, request: PredictBatchRequest
    ) -> Callable[[bytes, Callable[[AnyQuery], None]], AnyQuery]:
        """What starts the query for one input of a batch."""
        size = len(request.inputs)
        if size > self._max_batch_inputs:
            raise TooManyInputs(got=str(size), limit=str(self._max_batch_inputs))
        now_ns = self._now_ns()
        predictor = self._predictor
        route = predictor.route(request.application)
        codec.check_context(request.context)
        if request.version:
            route.pinned(request.version)  # a version that does not exist fails the call, not each input
        deadline_ns = predictor.deadline_ns(route, now_ns, call.deadline_ns)

        def start(value: bytes, on_done: Callable[[AnyQuery], None]) -> AnyQuery:
            checked = codec.checked_input(value, route)
            return predictor.predict(  # each input is chosen for on its own
                route,
                request.version,
                request.context,
                checked,
                now_ns,
                deadline_ns,
                on_done,
                bypass_cache=request.bypass_cache,
            )

        return start

    async def predict_stream(self, call: StreamCall) -> None:
        """Answers the queries of a stream, each as soon as it is ready. Two tasks, however many queries pass."""
        session = StreamSession(call, self._now_ns, self._observer, max_queries=self._max_stream_queries)
        fault: ClipperError | None = None
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(session.write())
                try:
                    async for payload in call.requests():
                        self._start_on(call, session, payload)
                        await session.room()
                except ClipperError as error:  # what cannot be parsed has no tag: the stream ends
                    fault = error
                session.end()
        finally:
            session.leave()
        if fault is not None:
            raise fault

    def _start_on(self, call: StreamCall, session: StreamSession, payload: bytes) -> None:
        message = codec.parse_predict_stream(payload)
        request = message.request
        observer = self._observer
        followed = observer.open(call, call.method, request.application) if observer.follows else None
        try:
            query = self._start(request, None, partial(session.done, message.tag, request.explain))
        except ClipperError as error:
            if followed is not None:
                observer.close(followed, error.message)
            session.refuse(message.tag, error)
            return
        if followed is not None:
            observer.follow(query, followed)
        session.started(query)

    def describe_application(self, call: UnaryCall) -> None:
        """Tells what a client must know of an application."""
        request = codec.parse_describe(call.payload)
        call.reply(codec.description(self._predictor.route(request.application)))
