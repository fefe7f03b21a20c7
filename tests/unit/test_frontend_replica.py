"""The back door: a batch to a model runtime, and its answer in our words."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipper.model.v1 import model_service_pb2 as pb
from clipper.v1 import values_pb2
from clipper.wire.v1.wire_pb2 import ModelPredictRequest
from clipper_frontend.replica import ReplicaClient, ReplicaConnections
from clipper_frontend.routes import Replica, Version
from clipper_frontend.runtime import Answer, Description, Failure, Lost, Predictions, TimedOut
from clipper_rpc.errors import BatchExpired, Code, InvalidField, ModelNotReady, Stopping
from clipper_rpc.status import to_status
from clipper_rpc.transport import (
    DEFAULT_OPTIONS,
    OK,
    Channel,
    Metadata,
    Methods,
    Reply,
    Server,
    ServerOptions,
    Status,
)

VERSION = Version("sum", "1", "uid", 4)
REPLICA = Replica("sum", "1", 0, "host:1")


class FakeChannel:
    """A transport.Channel whose replies a test gives."""

    def __init__(self, address: str = "host:1") -> None:
        self.address = address
        self.calls: list[tuple[str, bytes, int | None]] = []
        self.done: list[Callable[[Reply], None]] = []
        self.is_closed = False
        self.metadata: Metadata = ()
        self.cancelled = 0

    def call(
        self,
        method: str,
        payload: bytes,
        done: Callable[[Reply], None],
        *,
        deadline_ns: int | None = None,
        metadata: Metadata = (),
    ) -> FakeChannel:
        self.calls.append((method, payload, deadline_ns))
        self.metadata = metadata
        self.done.append(done)
        return self

    def cancel(self) -> None:
        self.cancelled += 1

    def stream(
        self, method: str, payload: bytes, *, deadline_ns: int | None = None, metadata: Metadata = ()
    ) -> AsyncIterator[bytes]:
        raise NotImplementedError

    async def close(self) -> None:
        self.is_closed = True


def number(value: float) -> bytes:
    return values_pb2.Output(number=value).SerializeToString()


def answer_to(reply: Reply, *, inputs: int = 2) -> Answer:
    channel, answers = FakeChannel(), []  # type: ignore[var-annotated]
    client = ReplicaClient(VERSION, REPLICA, channel, lambda _: None)
    client.predict([b"\x22\x00"] * inputs, 5, answers.append)
    assert not answers
    channel.done[0](reply)
    [answer] = answers
    return answer  # type: ignore[no-any-return]


def results(*each: pb.PredictResult, model_us: int = 0) -> Reply:
    return Reply(OK, pb.PredictResponse(results=each, model_us=model_us).SerializeToString())


GOOD = pb.PredictResult(output=values_pb2.Output(number=1))


@given(
    st.lists(st.binary(max_size=40), min_size=1, max_size=9)
    | st.tuples(st.binary(max_size=20_000), st.integers(1, 9)).map(lambda pair: [pair[0]] * pair[1])
)
def test_inputs_arrive_as_they_were_whatever_their_lengths(inputs: list[bytes]) -> None:
    channel = FakeChannel()
    ReplicaClient(VERSION, REPLICA, channel, lambda _: None).predict(inputs, 77, lambda _: None)
    [(_, payload, _)] = channel.calls
    assert payload == ModelPredictRequest(inputs=inputs).SerializeToString()


def test_a_batch_is_one_call_with_the_inputs_as_they_came() -> None:
    channel = FakeChannel()
    values = [values_pb2.Input(doubles=values_pb2.Doubles(values=[each])) for each in (1.0, 2.0)]
    ReplicaClient(VERSION, REPLICA, channel, lambda _: None).predict(
        [value.SerializeToString() for value in values], 77, lambda _: None
    )
    [(method, payload, deadline_ns)] = channel.calls
    assert (method, deadline_ns) == ("/clipper.model.v1.ModelService/Predict", 77)
    assert list(pb.PredictRequest.FromString(payload).inputs) == values


def test_outputs_come_back_in_order_with_the_models_time() -> None:
    second = pb.PredictResult(output=values_pb2.Output(number=2))
    assert answer_to(results(GOOD, second, model_us=9)) == Predictions([number(1), number(2)], 9)


def test_an_error_of_one_input_stands_in_its_place() -> None:
    error = pb.PredictResult(error=pb.PredictError(kind="ValueError", message="bad"))
    assert answer_to(results(GOOD, error)) == Predictions([number(1), Failure("ValueError", "bad")])


def test_a_result_that_is_neither_output_nor_error_is_an_error() -> None:
    found = answer_to(results(GOOD, pb.PredictResult()))
    assert isinstance(found, Predictions)
    assert isinstance(found.outcomes[1], Failure)
    assert "nothing" in found.outcomes[1].problem


@pytest.mark.parametrize("count", [0, 1, 3])
def test_as_many_results_as_inputs_or_the_batch_fails_with_both_numbers(count: int) -> None:
    found = answer_to(results(*[GOOD] * count))
    assert found == Failure("WrongCount", f"the runtime gave {count} results for 2 inputs")


def test_an_answer_that_cannot_be_parsed_fails_the_batch() -> None:
    assert isinstance(answer_to(Reply(OK, b"\xff\xff")), Failure)


def test_a_deadline_that_passed_says_nothing_about_the_replica() -> None:
    assert answer_to(Reply(Status(Code.DEADLINE_EXCEEDED))) == TimedOut()


def test_a_runtime_that_had_too_much_to_do_is_told_from_one_that_does_not_answer() -> None:
    assert answer_to(Reply(to_status(BatchExpired(model="sum", version="1")))) == TimedOut(was_told=True)


def test_the_runtime_is_told_how_long_callers_wait_and_the_call_goes_on_longer() -> None:
    channel = FakeChannel()
    client = ReplicaClient(VERSION, REPLICA, channel, lambda _: None, late_answers_ns=7_000_000_000)
    deadline_ns = time.monotonic_ns() + 60_000_000_000
    call = client.predict([number(1)], deadline_ns, lambda _: None, (("traceparent", "x"),))
    [(_, _, call_deadline_ns)] = channel.calls
    assert call_deadline_ns == deadline_ns + 7_000_000_000
    along = dict(channel.metadata)
    assert along["traceparent"] == "x"
    assert 0 < int(along["clipper-wait-us"]) <= 60_000_000
    call.cancel()
    assert channel.cancelled == 1


def test_no_time_left_is_none_and_not_less() -> None:
    channel = FakeChannel()
    client = ReplicaClient(VERSION, REPLICA, channel, lambda _: None)
    client.predict([number(1)], time.monotonic_ns() - 1_000_000, lambda _: None)
    assert channel.metadata == (("clipper-wait-us", "0"),)


@pytest.mark.parametrize("code", [Code.UNAVAILABLE, Code.CANCELLED])
def test_a_replica_that_cannot_be_reached_is_lost(code: Code) -> None:
    assert answer_to(Reply(Status(code, "refused"))) == Lost(f"{code.name}: refused", was_refused=False)


@pytest.mark.parametrize("error", [Stopping(process="runtime"), ModelNotReady(model="sum", version="1")])
def test_a_runtime_that_says_it_takes_no_work_did_not_look_at_the_batch(error: Stopping | ModelNotReady) -> None:
    found = answer_to(Reply(to_status(error)))
    assert isinstance(found, Lost)
    assert found.was_refused


@pytest.mark.parametrize("code", [Code.INTERNAL, Code.UNIMPLEMENTED, Code.UNKNOWN, Code.RESOURCE_EXHAUSTED])
def test_any_other_status_fails_the_batch_and_is_told(code: Code) -> None:
    assert answer_to(Reply(Status(code, "text"))) == Failure(code.name, "text")


def test_a_domain_error_of_the_runtime_is_told_in_its_words() -> None:
    found = answer_to(Reply(to_status(InvalidField(field="inputs", problem="none"))))
    assert found == Failure("INVALID_ARGUMENT", "inputs: none")


def description_of(reply: Reply) -> Description | Lost:
    channel, found = FakeChannel(), []  # type: ignore[var-annotated]
    ReplicaClient(VERSION, REPLICA, channel, lambda _: None).describe(9, found.append)
    assert channel.calls[0][0] == "/clipper.model.v1.ModelService/GetModelInfo"
    channel.done[0](reply)
    return found[0]  # type: ignore[no-any-return]


def info(**fields: object) -> Reply:
    all_fields = {"model": "sum", "version": "1", "input_type": 4, "max_batch_rows": 16, **fields}
    return Reply(OK, pb.GetModelInfoResponse(**all_fields).SerializeToString())  # type: ignore[arg-type]


def test_a_replica_that_describes_itself_as_expected_is_up() -> None:
    assert description_of(info()) == Description(max_batch_rows=16)


@pytest.mark.parametrize("other", [{"model": "other"}, {"version": "2"}, {"input_type": 5}])
def test_another_model_at_the_address_is_not_our_replica(other: dict[str, object]) -> None:
    found = description_of(info(**other))
    assert isinstance(found, Lost)
    assert "host:1 serves" in found.problem


@pytest.mark.parametrize("reply", [Reply(Status(Code.UNAVAILABLE, "refused")), Reply(OK, b"\xff\xff")])
def test_what_does_not_describe_itself_is_not_up(reply: Reply) -> None:
    assert isinstance(description_of(reply), Lost)


class FakeTransport:
    name = "fake"

    def __init__(self) -> None:
        self.channels: list[FakeChannel] = []

    async def serve(self, methods: Methods, address: str, options: ServerOptions = DEFAULT_OPTIONS) -> Server:
        raise NotImplementedError

    def connect(self, address: str, **_: object) -> Channel:
        self.channels.append(FakeChannel(address))
        return self.channels[-1]


async def test_connections_are_closed_once_and_all_of_them_at_the_end() -> None:
    transport = FakeTransport()
    async with asyncio.TaskGroup() as tasks:
        connections = ReplicaConnections(transport, tasks, max_message_bytes=1)
        first = connections.connect(VERSION, REPLICA)
        connections.connect(VERSION, REPLICA)
        first.close()
        first.close()
        await connections.close()
    assert [channel.is_closed for channel in transport.channels] == [True, True]
