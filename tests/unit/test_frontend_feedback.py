"""The door of feedback: what is refused, what is handed on, and how it is acknowledged."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest
from engine_fakes import MS, FakeCall, FakeClock, NoStates

from clipper.v1 import feedback_pb2, values_pb2
from clipper_frontend.chooser import Chooser
from clipper_frontend.feedback import FEEDBACK_SERVICE, FeedbackService
from clipper_frontend.outputs import Outputs
from clipper_frontend.predictor import Predictor
from clipper_frontend.routes import Application, Link, RouteTable
from clipper_frontend.selection.lessons import Acknowledged, Truth
from clipper_rpc.errors import (
    ApplicationNotFound,
    ClipperError,
    InputTypeMismatch,
    InvalidField,
    QueryNotFound,
    StoreUnavailable,
)

LABEL = values_pb2.Output(number=1)
TEXT = values_pb2.Input(string="x")


class NoDispatcher:
    """Nobody is asked here."""

    def apply(self, table: RouteTable) -> None:
        pass

    def submit(self, query: object, now_ns: int) -> None:
        raise AssertionError("nobody is to be asked")


@dataclass
class FakeTeacher:
    """Answers as it is told to, and keeps what it was asked."""

    answer: Acknowledged | ClipperError = field(default=Acknowledged(learned=True))
    asked: list[tuple[Any, ...]] = field(default_factory=list)
    hold: asyncio.Event | None = None

    async def by_query(self, *asked: Any) -> Acknowledged:
        return await self._answer(asked)

    async def by_input(self, *asked: Any) -> Acknowledged:
        return await self._answer(asked)

    async def _answer(self, asked: tuple[Any, ...]) -> Acknowledged:
        self.asked.append(asked)
        if self.hold is not None:
            await self.hold.wait()
        if isinstance(self.answer, ClipperError):
            raise self.answer
        return self.answer


def doubles(*values: float) -> values_pb2.Input:
    return values_pb2.Input(doubles=values_pb2.Doubles(values=values))


def feedback(*, deadline_ns: int | None = None, **fields: object) -> FakeCall:
    request = feedback_pb2.SendFeedbackRequest(**{"application": "app", **fields})  # type: ignore[arg-type]
    return FakeCall(request.SerializeToString(), deadline_ns=deadline_ns)


def service(tasks: asyncio.TaskGroup, teacher: FakeTeacher | None = None) -> FeedbackService:
    dispatcher = NoDispatcher()
    chooser = Chooser(dispatcher, lambda: 1, Outputs(), NoStates())
    predictor = Predictor(dispatcher, lambda: 1, chooser, reply_margin_ns=0)
    predictor.use(RouteTable.of([Application("app", values_pb2.INPUT_TYPE_DOUBLES, 100 * MS, None, (Link("sum"),))]))
    return FeedbackService(predictor, teacher or FakeTeacher(), FakeClock(), tasks)


async def sent(call: FakeCall, teacher: FakeTeacher) -> feedback_pb2.SendFeedbackResponse | ClipperError | object:
    """What a call is answered with."""
    async with asyncio.TaskGroup() as tasks:
        service(tasks, teacher).send_feedback(call)
    [answer] = [*map(feedback_pb2.SendFeedbackResponse.FromString, call.replies), *call.errors]
    return answer


async def test_every_method_of_the_contract_is_served() -> None:
    described = feedback_pb2.DESCRIPTOR.services_by_name["FeedbackService"]
    assert described.full_name == FEEDBACK_SERVICE
    async with asyncio.TaskGroup() as tasks:
        methods = service(tasks).methods()
    assert set(methods) == {f"/{described.full_name}/{method.name}" for method in described.methods}


async def test_feedback_by_input_is_taught_with_its_label_and_context() -> None:
    teacher = FakeTeacher()
    call = feedback(input=doubles(1), label=LABEL, context="ann", token="t", deadline_ns=5)
    assert await sent(call, teacher) == feedback_pb2.SendFeedbackResponse(learned=True)
    [(route, value, context, label, token, _, deadline_ns)] = teacher.asked
    assert (route.name, context, label, token, deadline_ns) == ("app", "ann", 1.0, "t", 5)
    assert values_pb2.Input.FromString(value) == doubles(1)


async def test_who_sets_no_deadline_waits_a_while_for_models_that_are_asked() -> None:
    teacher = FakeTeacher()
    await sent(feedback(input=doubles(1), label=LABEL), teacher)
    [(*_, now_ns, deadline_ns)] = teacher.asked
    assert deadline_ns - now_ns == 10_000 * MS


@pytest.mark.parametrize(
    ("fields", "truth"),
    [
        ({"reward": 0.0}, Truth(reward=0.0)),
        ({"reward": 1.0}, Truth(reward=1.0)),
        ({"label": values_pb2.Output(string="cat")}, Truth(label="cat")),
        ({"label": values_pb2.Output(json="[1, 2]")}, Truth(label=(1.0, 2.0))),
    ],
)
async def test_feedback_by_query_is_taught_with_what_turned_out(fields: dict[str, object], truth: Truth) -> None:
    teacher = FakeTeacher()
    await sent(feedback(query_id=7, token="t", **fields), teacher)
    [(route, query_id, found, token)] = teacher.asked
    assert (route.name, query_id, found, token) == ("app", 7, truth, "t")


async def test_a_duplicate_is_told() -> None:
    teacher = FakeTeacher(Acknowledged(learned=False, is_duplicate=True))
    answer = await sent(feedback(query_id=7, reward=1.0, token="t"), teacher)
    assert answer == feedback_pb2.SendFeedbackResponse(duplicate=True)


@pytest.mark.parametrize(
    "error",
    [StoreUnavailable(problem="away"), QueryNotFound(query_id="7", application="app", window="1 s")],
)
async def test_an_error_reaches_its_sender(error: ClipperError) -> None:
    assert await sent(feedback(query_id=7, reward=1.0), FakeTeacher(error)) is error


async def test_a_sender_that_leaves_is_waited_for_by_nobody() -> None:
    teacher, call = FakeTeacher(hold=asyncio.Event()), feedback(query_id=7, reward=1.0)
    async with asyncio.TaskGroup() as tasks:
        service(tasks, teacher).send_feedback(call)
        await asyncio.sleep(0)
        call.leave()
    assert teacher.asked
    assert not call.answers


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (feedback(application="nobody", input=doubles(1), label=LABEL), ApplicationNotFound, "nobody"),
        (feedback(label=LABEL), InvalidField, "set input or query_id"),
        (feedback(input=doubles(1)), InvalidField, "set label or reward"),
        (feedback(input=TEXT, label=LABEL), InputTypeMismatch, "not strings"),
        (feedback(input=values_pb2.Input(), label=LABEL), InvalidField, "input: required"),
        (feedback(input=doubles(1), label=values_pb2.Output()), InvalidField, "label: required"),
        (feedback(input=doubles(1), label=values_pb2.Output(json="{")), InvalidField, "label: is no output"),
        (feedback(input=doubles(1), reward=0.5), InvalidField, "needs a query_id"),
        (feedback(query_id=7, reward=1.5), InvalidField, "from 0 to 1, not 1.5"),
        (feedback(query_id=7, reward=float("nan")), InvalidField, "from 0 to 1, not nan"),
        (feedback(input=doubles(1), label=LABEL, token="x" * 129), InvalidField, "token"),
        (feedback(input=doubles(1), label=LABEL, context="x" * 257), InvalidField, "context"),
        (FakeCall(b"\xff\xff"), InvalidField, "SendFeedbackRequest"),
    ],
)
async def test_feedback_that_means_nothing_is_refused(call: FakeCall, error: type[ClipperError], text: str) -> None:
    teacher = FakeTeacher()
    async with asyncio.TaskGroup() as tasks:
        with pytest.raises(error, match=text):
            service(tasks, teacher).send_feedback(call)
    assert not call.answers
    assert not teacher.asked
