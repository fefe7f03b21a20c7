"""The doors: raw calls to queries and back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import count

import pytest
from engine_fakes import MS, FakeCall, FakeClock, FakeCluster, NoStates

from clipper.v1 import predict_pb2, values_pb2
from clipper_frontend.batch_policies import Policy
from clipper_frontend.chooser import Chooser
from clipper_frontend.dispatch import Dispatcher
from clipper_frontend.outputs import Outputs
from clipper_frontend.pool import Limits
from clipper_frontend.predictor import Predictor
from clipper_frontend.routes import Application, Batching, Link, Model, Replica, RouteTable, Version
from clipper_frontend.runtime import Failure, Predictions
from clipper_frontend.service import PredictService
from clipper_rpc.errors import (
    ApplicationNotFound,
    ClipperError,
    InputTypeMismatch,
    InternalError,
    InvalidField,
    Late,
    NoModel,
    Overloaded,
    StoreUnavailable,
    TooManyInputs,
    VersionNotFound,
)
from clipper_rpc.transport import Metadata, Methods

DEFAULT = values_pb2.Output(string="-1.0")

BATCHING = Batching(max_queue_rows=20, policy=Policy.FIXED)


class House:
    """The frontend between a fake transport and fake replicas."""

    def __init__(self, *, default: bool = True, max_batch_inputs: int = 10, max_stream_queries: int = 4) -> None:
        self.clock = FakeClock()
        self.cluster = FakeCluster(self.clock)
        limits = Limits(16, 100, 1, 3, 1_000_000)
        dispatcher = Dispatcher(self.clock, self.cluster.connect, limits)
        self.ids = count(1)
        chooser = Chooser(dispatcher, self.ids.__next__, Outputs(), NoStates())
        self.predictor = Predictor(dispatcher, self.ids.__next__, chooser, reply_margin_ns=5 * MS)
        output = DEFAULT.SerializeToString() if default else None
        self.predictor.use(
            RouteTable.of(
                [
                    Application("app", values_pb2.INPUT_TYPE_DOUBLES, 100 * MS, output, (Link("sum"),)),
                    Application("bare", values_pb2.INPUT_TYPE_DOUBLES, 100 * MS, output),
                    Model("sum", "1"),
                    Version("sum", "1", "uid", values_pb2.INPUT_TYPE_DOUBLES, BATCHING),
                    Version("sum", "2", "uid2", values_pb2.INPUT_TYPE_DOUBLES),
                    Replica("sum", "1", 0, "a:1"),
                ]
            )
        )
        self.clock.settle()
        self.service = PredictService(
            self.predictor,
            self.clock,
            max_batch_inputs=max_batch_inputs,
            max_stream_queries=max_stream_queries,
        )

    @property
    def replica(self):  # type: ignore[no-untyped-def]
        return self.cluster["a:1"]

    def answer(self) -> None:
        """The replica answers what it has, until it has nothing more."""
        self.clock.settle()
        while self.replica.open:
            batch = self.replica.open[0]
            batch.answer(Predictions([OUTPUTS[value] for value in batch.inputs], model_us=5))
            self.clock.settle()


def doubles(*values: float) -> values_pb2.Input:
    return values_pb2.Input(doubles=values_pb2.Doubles(values=values))


class _Outputs(dict[bytes, "bytes | Failure"]):
    """The sum of each input; a negative first element makes the model fail."""

    def __missing__(self, value: bytes) -> bytes | Failure:
        values = values_pb2.Input.FromString(value).doubles.values
        if values and values[0] < 0:
            return Failure("ValueError", "negative")
        return values_pb2.Output(number=sum(values)).SerializeToString()


OUTPUTS = _Outputs()


def predict(application: str = "app", value: values_pb2.Input | None = None, **fields: object) -> FakeCall:
    request = predict_pb2.PredictRequest(application=application, input=value or doubles(1, 2), **fields)  # type: ignore[arg-type]
    return FakeCall(request.SerializeToString())


def reply(call: FakeCall) -> predict_pb2.PredictResponse:
    assert not call.errors
    [payload] = call.replies
    return predict_pb2.PredictResponse.FromString(payload)


# Predict


def test_a_call_is_answered_with_the_models_output() -> None:
    house, call = House(), predict()
    house.service.predict(call)
    assert not call.answers
    house.answer()
    assert reply(call).output.number == 3
    assert reply(call).query_id == 1
    assert not reply(call).default


def test_a_call_that_nobody_answers_gets_the_default_and_why_at_its_deadline() -> None:
    house, call = House(), predict()
    house.service.predict(call)
    house.clock.advance(99 * MS)
    assert not call.answers
    house.clock.advance(MS)
    assert reply(call).output == DEFAULT
    assert reply(call).default_reason == predict_pb2.DEFAULT_REASON_LATE


def test_a_client_with_less_patience_gets_its_default_before_its_own_deadline() -> None:
    house, call = House(), predict()
    call.deadline_ns = house.clock.ns + 50 * MS
    house.service.predict(call)
    house.clock.advance(45 * MS)
    assert reply(call).default_reason == predict_pb2.DEFAULT_REASON_LATE


def test_where_there_is_no_default_output_the_call_fails_with_the_reason() -> None:
    house = House(default=False)
    nobody, late = predict("bare"), predict()
    house.service.predict(nobody)
    house.service.predict(late)
    house.clock.advance(100 * MS)
    assert isinstance(nobody.errors[0], NoModel)
    assert isinstance(late.errors[0], Late)
    assert (nobody.answers, late.answers) == (1, 1)


def test_a_pinned_version_is_asked_and_must_exist() -> None:
    house = House()
    house.service.predict(good := predict(version="1"))
    house.service.predict(without_replica := predict(version="2"))
    with pytest.raises(VersionNotFound):
        house.service.predict(predict(version="9"))
    house.answer()
    assert reply(good).output.number == 3
    assert reply(without_replica).default_reason == predict_pb2.DEFAULT_REASON_NO_REPLICA


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (predict("nobody"), ApplicationNotFound),
        (predict(value=values_pb2.Input(string="x")), InputTypeMismatch),
        (predict(value=values_pb2.Input()), InvalidField),
        (predict(context="x" * 257), InvalidField),
        (FakeCall(b"\xff\xff"), InvalidField),
        (FakeCall(b""), ApplicationNotFound),
    ],
)
def test_a_bad_call_is_refused_before_anything_is_asked(call: FakeCall, error: type[ClipperError]) -> None:
    house = House()
    with pytest.raises(error):
        house.service.predict(call)
    house.answer()
    assert not house.replica.batches
    assert next(house.ids) == 1


def test_a_call_fails_when_no_query_id_is_left() -> None:
    house, call = House(), predict()

    def nothing_left() -> int:
        raise StoreUnavailable(problem="all reserved query ids are used")

    house.predictor._take_query_id = nothing_left
    with pytest.raises(StoreUnavailable):
        house.service.predict(call)


def test_a_caller_that_leaves_is_not_sent_to_the_model_and_not_answered() -> None:
    house = House()
    first, second, third = predict(), predict(), predict()
    house.service.predict(first)
    house.clock.settle()
    for each in (second, third):
        house.service.predict(each)
    second.leave()
    house.answer()
    assert [call.answers for call in (first, second, third)] == [1, 0, 1]
    assert house.replica.sizes == [1, 1]


class BrokenCall(FakeCall):
    def reply(self, payload: bytes, trailing: Metadata = ()) -> None:
        raise RuntimeError("a fault of ours")


def test_a_fault_in_answering_one_call_spares_the_other_calls_of_its_batch(caplog: pytest.LogCaptureFixture) -> None:
    house = House()
    calls = [predict(), BrokenCall(predict().payload), predict()]
    for call in calls:
        house.service.predict(call)
    house.answer()
    assert house.replica.sizes == [3]
    assert isinstance(calls[1].errors[0], InternalError)
    assert [call.answers for call in calls] == [1, 1, 1]
    assert reply(calls[2]).output.number == 3
    assert "handler_failed" in caplog.text


# PredictBatch


def batch_of(*values: values_pb2.Input, application: str = "app", **fields: object) -> FakeCall:
    request = predict_pb2.PredictBatchRequest(application=application, inputs=values, **fields)  # type: ignore[arg-type]
    return FakeCall(request.SerializeToString())


def batch_reply(call: FakeCall) -> list[predict_pb2.PredictBatchResult]:
    assert not call.errors
    [payload] = call.replies
    return list(predict_pb2.PredictBatchResponse.FromString(payload).results)


def test_a_batch_is_answered_in_the_order_of_its_inputs_each_with_an_id_of_its_own() -> None:
    house, call = House(), batch_of(*(doubles(each) for each in range(10)))
    house.service.predict_batch(call)
    house.answer()
    found = batch_reply(call)
    assert [each.prediction.output.number for each in found] == list(range(10))
    assert len({each.prediction.query_id for each in found}) == 10


def test_in_a_batch_what_is_wrong_with_one_input_stands_in_its_place() -> None:
    house = House()
    call = batch_of(doubles(1), values_pb2.Input(string="x"), doubles(-1), values_pb2.Input(), doubles(2))
    house.service.predict_batch(call)
    house.answer()
    found = batch_reply(call)
    assert [each.WhichOneof("outcome") for each in found] == [
        "prediction",
        "error",
        "prediction",
        "error",
        "prediction",
    ]
    assert "strings" in found[1].error.message
    assert found[2].prediction.default_explanation == "Model sum:1 failed with ValueError: negative"
    assert found[4].prediction.output.number == 2


def test_a_batch_of_bad_inputs_only_is_answered_too() -> None:
    house, call = House(), batch_of(values_pb2.Input(), values_pb2.Input(string="x"))
    house.service.predict_batch(call)
    assert [each.WhichOneof("outcome") for each in batch_reply(call)] == ["error", "error"]


def test_a_batch_without_inputs_gets_an_empty_answer() -> None:
    house, call = House(), batch_of()
    house.service.predict_batch(call)
    assert batch_reply(call) == []


def test_a_batch_that_nobody_can_answer_is_answered_at_once_in_full() -> None:
    house, call = House(), batch_of(doubles(1), doubles(2), application="bare")
    house.service.predict_batch(call)
    reasons = [each.prediction.default_reason for each in batch_reply(call)]
    assert reasons == [predict_pb2.DEFAULT_REASON_NO_MODEL] * 2


def test_a_batch_with_a_part_that_does_not_fit_into_the_queue_still_has_every_result() -> None:
    house = House(default=False, max_batch_inputs=100)
    call = batch_of(*(doubles(each) for each in range(30)))
    house.service.predict_batch(call)
    house.answer()
    found = batch_reply(call)
    assert [each.WhichOneof("outcome") for each in found] == ["prediction"] * 20 + ["error"] * 10
    assert found[-1].error.code == Overloaded.code


def test_a_large_batch_leaves_others_their_turn() -> None:
    house = House(max_batch_inputs=5000)
    large, other = batch_of(*(doubles(each) for each in range(1000)), application="bare"), predict()
    turns: list[int] = []
    house.clock.call_soon(lambda: turns.append(large.answers))
    house.service.predict_batch(large)
    house.clock.call_soon(lambda: house.service.predict(other))
    house.answer()
    assert len(batch_reply(large)) == 1000
    assert turns == [0]
    assert reply(other).query_id < 1000


def test_the_caller_of_a_large_batch_that_leaves_early_stops_it() -> None:
    house = House(max_batch_inputs=5000)
    call = batch_of(*(doubles(each) for each in range(1000)))
    house.service.predict_batch(call)
    call.leave()
    house.answer()
    assert call.answers == 0
    assert house.replica.batches == []
    assert next(house.ids) < 500


def test_a_batch_whose_query_ids_run_out_has_the_error_in_the_places_that_got_none() -> None:
    house, call = House(), batch_of(*(doubles(each) for each in range(5)))
    ids = iter([1, 2])

    def take() -> int:
        for each in ids:
            return each
        raise StoreUnavailable(problem="all reserved query ids are used")

    house.predictor._take_query_id = take
    house.service.predict_batch(call)
    house.answer()
    found = batch_reply(call)
    assert [each.WhichOneof("outcome") for each in found] == ["prediction"] * 2 + ["error"] * 3


def test_a_batch_is_answered_at_its_deadline_with_what_there_is() -> None:
    house, call = House(max_batch_inputs=100), batch_of(*(doubles(each) for each in range(17)))
    house.service.predict_batch(call)
    house.clock.settle()
    [first] = house.replica.open
    first.answer(Predictions([OUTPUTS[value] for value in first.inputs]))
    house.clock.advance(100 * MS)
    found = batch_reply(call)
    assert [each.prediction.default for each in found] == [False] * 16 + [True]


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (batch_of(*[doubles(1)] * 11), TooManyInputs),
        (batch_of(doubles(1), application="nobody"), ApplicationNotFound),
        (batch_of(doubles(1), version="9"), VersionNotFound),
        (batch_of(doubles(1), context="x" * 257), InvalidField),
        (FakeCall(b"\xff\xff"), InvalidField),
    ],
)
def test_a_bad_batch_is_refused_as_a_whole(call: FakeCall, error: type[ClipperError]) -> None:
    house = House()
    with pytest.raises(error):
        house.service.predict_batch(call)
    house.answer()
    assert not house.replica.batches


def test_the_caller_of_a_batch_that_leaves_takes_all_its_queries_along_and_no_others() -> None:
    house, call, other = House(), batch_of(doubles(1), doubles(2)), predict(value=doubles(3))
    house.service.predict_batch(call)
    house.service.predict(other)
    call.leave()
    house.answer()
    assert call.answers == 0
    assert reply(other).output.number == 3
    assert house.replica.sizes == [1]


# PredictStream


class FakeStream:
    """A transport.StreamCall that a test feeds."""

    method = "/test/Stream"
    metadata = ()
    deadline_ns = None

    def __init__(self) -> None:
        self.incoming: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.sent: list[predict_pb2.PredictStreamResponse] = []
        self.taken = 0
        self.may_send = asyncio.Event()
        self.may_send.set()

    async def requests(self) -> AsyncIterator[bytes]:
        while (payload := await self.incoming.get()) is not None:
            self.taken += 1
            yield payload

    async def send(self, payload: bytes) -> None:
        await self.may_send.wait()
        self.sent.append(predict_pb2.PredictStreamResponse.FromString(payload))

    def ask(self, tag: int, call: FakeCall | None = None) -> None:
        request = predict_pb2.PredictRequest.FromString((call or predict(value=doubles(tag))).payload)
        self.incoming.put_nowait(predict_pb2.PredictStreamRequest(tag=tag, request=request).SerializeToString())

    @property
    def tags(self) -> list[int]:
        return [each.tag for each in self.sent]


async def settled() -> None:
    """Lets all tasks run until they wait."""
    for _ in range(50):
        await asyncio.sleep(0)


async def test_each_query_of_a_stream_is_answered_as_it_is_ready_with_its_tag() -> None:
    house, stream = House(), FakeStream()
    task = asyncio.create_task(house.service.predict_stream(stream))
    for tag in (7, 8):
        stream.ask(tag)
    await settled()
    house.answer()
    await settled()
    assert {each.tag: each.prediction.output.number for each in stream.sent} == {7: 7, 8: 8}
    stream.ask(9)
    stream.incoming.put_nowait(None)
    await settled()
    assert not task.done()  # one is still under way
    house.answer()
    await task
    assert stream.tags == [7, 8, 9]


async def test_a_bad_request_on_a_stream_is_answered_and_the_stream_goes_on() -> None:
    house, stream = House(), FakeStream()
    task = asyncio.create_task(house.service.predict_stream(stream))
    stream.ask(1, predict("nobody"))
    stream.ask(2, predict(value=values_pb2.Input(string="x")))
    stream.ask(3)
    stream.incoming.put_nowait(None)
    await settled()
    house.answer()
    await task
    assert {each.tag: each.error.code for each in stream.sent} == {1: 5, 2: 3, 3: 0}


async def test_the_deadline_of_a_stream_does_not_limit_its_queries() -> None:
    house, stream = House(), FakeStream()
    stream.deadline_ns = house.clock.ns + 10 * MS  # type: ignore[assignment]
    task = asyncio.create_task(house.service.predict_stream(stream))
    stream.ask(1)
    stream.incoming.put_nowait(None)
    await settled()
    house.clock.advance(50 * MS)
    house.answer()
    await task
    assert not stream.sent[0].prediction.default


async def test_a_stream_is_not_read_on_while_too_many_of_its_queries_are_under_way() -> None:
    house, stream = House(max_stream_queries=4), FakeStream()
    task = asyncio.create_task(house.service.predict_stream(stream))
    for tag in range(20):
        stream.ask(tag)
    await settled()
    assert stream.taken == 4
    stream.may_send.clear()
    house.answer()
    await settled()
    assert stream.taken <= 5  # the client takes nothing, so nothing more is read
    stream.may_send.set()
    for _ in range(20):
        await settled()
        house.answer()
    stream.incoming.put_nowait(None)
    await task
    assert sorted(stream.tags) == list(range(20))


async def test_a_stream_whose_caller_leaves_takes_its_queries_along_and_no_others() -> None:
    house, stream, other = House(), FakeStream(), predict(value=doubles(3))
    task = asyncio.create_task(house.service.predict_stream(stream))
    stream.ask(1)
    await settled()
    house.clock.settle()
    stream.ask(2)
    await settled()
    house.service.predict(other)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    house.answer()
    assert reply(other).output.number == 3
    assert house.replica.sizes == [1, 1]
    assert not stream.sent


async def test_a_message_that_cannot_be_parsed_ends_the_stream_after_the_answers_that_it_owes() -> None:
    house, stream = House(), FakeStream()
    task = asyncio.create_task(house.service.predict_stream(stream))
    stream.ask(1)
    stream.incoming.put_nowait(b"\xff\xff")
    await settled()
    house.answer()
    with pytest.raises(InvalidField, match="PredictStreamRequest"):
        await task
    assert stream.tags == [1]


# DescribeApplication, and the whole


def test_an_application_is_described() -> None:
    house, call = House(), FakeCall(predict_pb2.DescribeApplicationRequest(application="app").SerializeToString())
    house.service.describe_application(call)
    found = predict_pb2.DescribeApplicationResponse.FromString(call.replies[0])
    assert (found.application, found.has_default_output, list(found.models)) == ("app", True, ["sum"])
    with pytest.raises(ApplicationNotFound):
        house.service.describe_application(FakeCall(b""))


@pytest.mark.parametrize(
    ("service", "methods"),
    [(predict_pb2.DESCRIPTOR.services_by_name["PredictService"], House().service.methods())],
    ids=["predict"],
)
def test_every_method_of_the_contract_is_served(service, methods: Methods) -> None:  # type: ignore[no-untyped-def]
    assert set(methods) == {f"/{service.full_name}/{method.name}" for method in service.methods}
