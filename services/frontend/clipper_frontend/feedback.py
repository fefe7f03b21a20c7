"""The other door: FeedbackService. Check, teach, acknowledge; one task per call."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Protocol

from clipper_frontend import codec
from clipper_frontend.deadlines import Clock
from clipper_frontend.outputs import value_of
from clipper_frontend.predictor import Predictor
from clipper_frontend.routes import Route
from clipper_frontend.selection.lessons import Acknowledged, Truth
from clipper_rpc.errors import InvalidField
from clipper_rpc.status import for_caller
from clipper_rpc.transport import Methods, Unary, UnaryCall
from clipper_selection import Value

if TYPE_CHECKING:
    from clipper.v1.feedback_pb2 import SendFeedbackRequest

FEEDBACK_SERVICE = "clipper.v1.FeedbackService"
_MAX_TOKEN_BYTES = 128
_PATIENCE_NS = 10_000_000_000
"""How long models may take that are asked for feedback, where its sender sets no deadline."""


class Teaches(Protocol):
    """What takes outcomes; see teaching.Teacher."""

    async def by_query(self, route: Route, query_id: int, truth: Truth, token: str) -> Acknowledged:
        """Takes the outcome of an answered query."""

    async def by_input(
        self, route: Route, value: bytes, context: str, label: Value, token: str, now_ns: int, deadline_ns: int
    ) -> Acknowledged:
        """Takes the true output of an input."""


class FeedbackService:
    """Handlers of FeedbackService.

    Args:
        tasks: what calls run in.
    """

    def __init__(self, predictor: Predictor, teacher: Teaches, clock: Clock, tasks: asyncio.TaskGroup) -> None:
        self._predictor = predictor
        self._teacher = teacher
        self._clock = clock
        self._tasks = tasks

    def methods(self) -> Methods:
        """The handlers, for the transport."""
        return {f"/{FEEDBACK_SERVICE}/SendFeedback": Unary(self.send_feedback)}

    def send_feedback(self, call: UnaryCall) -> None:
        """Takes one outcome."""
        request = codec.parse_feedback(call.payload)
        route = self._predictor.route(request.application)
        codec.check_context(request.context)
        truth = _truth(request)
        match request.WhichOneof("target"):
            case "input":
                codec.check_input_type(request.input, route)
                task = self._tasks.create_task(_answer(call, self._by_input(call, request, route, truth)))
            case "query_id":
                teaching = self._teacher.by_query(route, request.query_id, truth, request.token)
                task = self._tasks.create_task(_answer(call, teaching))
            case _:
                raise InvalidField(field="target", problem="set input or query_id")
        call.on_leave = task.cancel

    async def _by_input(
        self, call: UnaryCall, request: SendFeedbackRequest, route: Route, truth: Truth
    ) -> Acknowledged:
        assert truth.label is not None  # a reward needs a query
        now_ns = self._clock.now_ns()
        deadline_ns = now_ns + _PATIENCE_NS if call.deadline_ns is None else call.deadline_ns
        value = codec.canonical_input(request.input)
        return await self._teacher.by_input(
            route, value, request.context, truth.label, request.token, now_ns, deadline_ns
        )


async def _answer(call: UnaryCall, teaching: Coroutine[None, None, Acknowledged]) -> None:
    try:
        done = await teaching
    except Exception as error:  # noqa: BLE001  # this caller is told; others go on
        call.fail(for_caller(error, process="frontend"))
    else:
        call.reply(codec.feedback_acknowledged(learned=done.learned, duplicate=done.is_duplicate))


def _truth(request: SendFeedbackRequest) -> Truth:
    if len(request.token.encode()) > _MAX_TOKEN_BYTES:
        raise InvalidField(field="token", problem=f"has more than {_MAX_TOKEN_BYTES} bytes")
    match request.WhichOneof("truth"):
        case "label":
            if request.label.WhichOneof("value") is None:
                raise InvalidField(field="label", problem="required; set one of its fields, e.g. number")
            label = value_of(request.label)
            if label is None:
                raise InvalidField(field="label", problem="is no output: its json or tensor cannot be read")
            return Truth(label=label)
        case "reward":
            if request.WhichOneof("target") == "input":
                raise InvalidField(field="reward", problem="needs a query_id; with an input send the true label")
            if not 0.0 <= request.reward <= 1.0:
                raise InvalidField(field="reward", problem=f"must be from 0 to 1, not {request.reward:g}")
            return Truth(reward=request.reward)
        case _:
            raise InvalidField(field="truth", problem="set label or reward")
