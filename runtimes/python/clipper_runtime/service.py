"""ModelService on the raw transport: calls become jobs of the worker, in order; what they return becomes replies.

Decoding, predicting and encoding all happen in the worker's thread: the loop only hands bytes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from google.protobuf.message import DecodeError

from clipper.model.v1 import model_service_pb2
from clipper_rpc import logs
from clipper_rpc.errors import (
    BatchExpired,
    ClipperError,
    InternalError,
    InvalidField,
    ModelNotReady,
    Overloaded,
    Stopping,
)
from clipper_rpc.services import method_name
from clipper_rpc.telemetry.context import Metadata, request_id
from clipper_rpc.telemetry.tracing import Tracing
from clipper_rpc.transport import Methods, Unary, UnaryCall
from clipper_runtime.codec import Batch, decoder
from clipper_runtime.convert import response
from clipper_runtime.faults import Faults
from clipper_runtime.model import Model
from clipper_runtime.names import InputType
from clipper_runtime.predict import NotWanted, Outcomes, predict_each
from clipper_runtime.tally import RuntimeTally
from clipper_runtime.worker import Worker

_log = logging.getLogger(__name__)

SERVICE = "clipper.model.v1.ModelService"
_DESCRIPTOR = model_service_pb2.DESCRIPTOR.services_by_name["ModelService"]
_WAIT_KEY = "clipper-wait-us"
"""Metadata: how long callers still wait, in microseconds, where that is less than the deadline of the call."""


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What this runtime serves."""

    name: str
    version: str
    input_type: InputType
    runtime: str


class ModelService:
    """Serves one model, as soon as `load` has brought it."""

    def __init__(
        self,
        info: ModelInfo,
        worker: Worker,
        *,
        max_waiting: int,
        isolate: bool = True,
        tally: RuntimeTally | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        """Makes the service.

        Args:
            info: what it serves.
            worker: computes; started by the caller.
            max_waiting: how many calls may wait for the model; more are refused.
            isolate: whether a failing batch is asked again in parts, to find the inputs at fault.
            tally: counts the batches.
            tracing: makes their spans, if that is wanted.
        """
        self.info = info
        self._worker = worker
        self._max_waiting = max_waiting
        self._isolate = isolate
        self._faults = Faults()
        self.tally = tally or RuntimeTally(info.name, info.version)
        self.tracing = tracing
        self._decode = decoder(info.input_type)
        self._model: Model | None = None
        self._is_stopping = False
        self._in_flight = 0
        self._drained = asyncio.Event()

    def methods(self) -> Methods:
        """The raw methods of clipper.model.v1.ModelService."""
        handlers = {"GetModelInfo": self.get_model_info, "Predict": self.predict}
        return {method_name(method): Unary(handlers[method.name]) for method in _DESCRIPTOR.methods}

    async def load(self, load: Callable[[], Model]) -> None:
        """Loads the model in the thread that will ask it. Raises what `load` raises."""
        loaded: asyncio.Future[Model] = asyncio.get_running_loop().create_future()
        self._worker.submit(_Load(load, loaded))
        self._model = await loaded

    async def stop(self, grace_s: float) -> None:
        """Refuses calls from now on; returns when those that were taken are answered, after `grace_s` at the latest."""
        self._is_stopping = True
        if self._in_flight:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace_s):
                    await self._drained.wait()

    def get_model_info(self, call: UnaryCall) -> None:
        """Answers GetModelInfo."""
        if self._model is None:
            call.fail(self._not_ready())
            return
        info = model_service_pb2.GetModelInfoResponse(
            model=self.info.name,
            version=self.info.version,
            input_type=self.info.input_type.number,  # type: ignore[arg-type]  # an enum's number
            runtime=self.info.runtime,
            max_batch_rows=int(getattr(self._model, "max_batch_rows", 0) or 0),
        )
        call.reply(info.SerializeToString())

    def predict(self, call: UnaryCall) -> None:
        """Answers Predict, when its turn comes."""
        if self._model is None:
            self.tally.refused("not_ready")
            call.fail(self._not_ready())
        elif self._is_stopping:
            self.tally.refused("stopping")
            call.fail(Stopping(process="runtime"))
        elif self._worker.waiting >= self._max_waiting:
            self.tally.refused("overloaded")
            call.fail(self._overloaded())
        else:
            job = _Predict(self, call)
            call.on_leave = job.leave
            self._in_flight += 1
            self._worker.submit(job)

    def compute(self, request: bytes, is_wanted: Callable[[], bool]) -> bytes:
        """Answers one serialized request; called in a worker thread.

        Raises:
            InvalidField: the request as a whole cannot be understood.
            NotWanted: it was not computed to its end, since nobody waits for it any more.
        """
        arrived_ns = time.perf_counter_ns()
        try:
            batch = self._decode(request)
        except DecodeError:
            problem = f"not a {model_service_pb2.PredictRequest.DESCRIPTOR.full_name}"
            raise InvalidField(field="request", problem=problem) from None
        if not batch.rows and not batch.failures:
            raise InvalidField(field="inputs", problem="a batch has at least one")
        assert self._model is not None
        start_ns = time.perf_counter_ns()
        outcomes: Outcomes = []
        if batch.rows:
            outcomes = predict_each(
                self._model.predict, batch, is_wanted=is_wanted, isolate=self._isolate, faults=self._faults
            )
        model_ns = time.perf_counter_ns() - start_ns
        if batch.failures:
            outcomes = _merged(batch, outcomes)
        self.tally.computed(batch.rows + len(batch.failures), outcomes, start_ns - arrived_ns, model_ns)
        return response(outcomes, model_ns // 1000)

    def finished(self) -> None:
        """One call that was taken is over; called on the loop."""
        self._in_flight -= 1
        if self._is_stopping and not self._in_flight:
            self._drained.set()

    def expired(self) -> BatchExpired:
        """Why a batch is not answered for which nobody waits any more."""
        return BatchExpired(model=self.info.name, version=self.info.version)

    def _not_ready(self) -> ClipperError:
        return ModelNotReady(model=self.info.name, version=self.info.version)

    def _overloaded(self) -> ClipperError:
        return Overloaded(model=self.info.name, version=self.info.version, queued=str(self._worker.waiting))


def _merged(batch: Batch, outcomes: Outcomes) -> Outcomes:
    """The outcomes with the failures of malformed inputs at their places."""
    rest = iter(outcomes)
    return [batch.failures.get(at) or next(rest) for at in range(batch.rows + len(batch.failures))]


class _Predict:
    """One call to Predict on its way through the worker."""

    __slots__ = ("_along", "_answer", "_arrived_ns", "_call", "_deadline_ns", "_has_left", "_service")

    def __init__(self, service: ModelService, call: UnaryCall) -> None:
        self._service = service
        self._call: UnaryCall | None = call
        self._arrived_ns = time.monotonic_ns()
        self._along: Metadata = call.metadata
        self._deadline_ns = _earliest(call.deadline_ns, self._arrived_ns, self._along)
        self._answer: bytes | ClipperError | None = None
        """None where nobody waits for one."""
        self._has_left = False

    def leave(self) -> None:
        """The caller has left: a call that has not been started never is, and is forgotten at once."""
        self._has_left = True
        self._call = None

    def is_wanted(self) -> bool:
        """Whether somebody still waits for the answer."""
        return not self._has_left and (self._deadline_ns is None or time.monotonic_ns() < self._deadline_ns)

    def run(self) -> None:
        """Computes the answer, if it is still wanted."""
        call, service = self._call, self._service
        if call is None or not self.is_wanted():
            service.tally.refused("left" if self._has_left else "expired")
            return
        started_ns = time.monotonic_ns()
        requests = request_id(self._along)
        if service.tracing is None and not requests:
            self._compute(call.payload)
        else:
            with logs.bound(request_id=requests):
                self._observed(call.payload, service.tracing)
        service.tally.answered(started_ns - self._arrived_ns, time.monotonic_ns() - self._arrived_ns)

    def _observed(self, payload: bytes, tracing: Tracing | None) -> None:
        _log.debug("batch", extra={"bytes": len(payload)})
        if tracing is None:
            self._compute(payload)
        else:
            named = {"clipper.model": self._service.info.name, "clipper.version": self._service.info.version}
            tracing.run("model", self._along, named, lambda: self._compute(payload))

    def _compute(self, payload: bytes) -> None:
        try:
            self._answer = self._service.compute(payload, self.is_wanted)
        except NotWanted:
            self._service.tally.refused("left" if self._has_left else "expired")
        except ClipperError as error:
            self._answer = error
        except Exception as error:  # noqa: BLE001  # the outermost boundary of a call: answers and goes on
            _log.error("batch_failed", extra={"trace": logs.frames_of(error)})
            self._answer = InternalError(process="runtime")

    def finish(self) -> None:
        """Answers the call."""
        self._service.finished()
        if self._call is None:
            return
        if isinstance(self._answer, bytes):
            self._call.reply(self._answer)
        else:
            self._call.fail(self._answer or self._service.expired())


def _earliest(deadline_ns: int | None, arrived_ns: int, metadata: Metadata) -> int | None:
    """When the last caller stops waiting; None if nobody said."""
    for key, value in metadata:
        if key == _WAIT_KEY and isinstance(value, str) and value.isdecimal():
            until_ns = arrived_ns + int(value) * 1000
            return until_ns if deadline_ns is None else min(until_ns, deadline_ns)
    return deadline_ns


class _Load:
    """The loading of the model, as a job."""

    def __init__(self, load: Callable[[], Model], loaded: asyncio.Future[Model]) -> None:
        self._load = load
        self._loaded = loaded
        self._outcome: Model | Exception

    def run(self) -> None:
        """Loads it."""
        try:
            self._outcome = self._load()
        except Exception as error:  # noqa: BLE001  # raised again in finish
            self._outcome = error

    def finish(self) -> None:
        """Hands it over."""
        if self._loaded.done():
            return
        if isinstance(self._outcome, Exception):
            self._loaded.set_exception(self._outcome)
        else:
            self._loaded.set_result(self._outcome)
