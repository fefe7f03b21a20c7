"""ModelService on calls that the test makes itself: order, deadlines, callers that leave, limits."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from clipper.model.v1 import model_service_pb2 as pb
from clipper.v1 import values_pb2 as values
from clipper_rpc.errors import (
    BatchExpired,
    ClipperError,
    Code,
    InternalError,
    InvalidField,
    ModelNotReady,
    Overloaded,
    Stopping,
)
from clipper_rpc.transport import Metadata, Status, Unary
from clipper_runtime import FunctionModel, InputType, LoadError, Model
from clipper_runtime.service import SERVICE, ModelInfo, ModelService
from clipper_runtime.worker import Worker

INFO = ModelInfo("m", "1", InputType.STRINGS, "test")
PATIENCE_S = 20


class FakeCall:
    """A call to a unary method, answered once or never."""

    def __init__(self, payload: bytes, deadline_ns: int | None = None) -> None:
        self.method = ""
        self.payload = payload
        self.metadata: Metadata = ()
        self.deadline_ns = deadline_ns
        self.on_leave: Callable[[], object] | None = None
        self.outcome: asyncio.Future[bytes | ClipperError | Status] = asyncio.get_running_loop().create_future()

    def reply(self, payload: bytes, trailing: Metadata = ()) -> None:
        self.outcome.set_result(payload)

    def fail(self, error: ClipperError | Status) -> None:
        self.outcome.set_result(error)

    def leave(self) -> None:
        assert self.on_leave is not None
        self.on_leave()

    async def answer(self) -> pb.PredictResponse:
        outcome = await asyncio.wait_for(self.outcome, PATIENCE_S)
        assert isinstance(outcome, bytes), outcome
        return pb.PredictResponse.FromString(outcome)

    async def error(self) -> ClipperError | Status:
        outcome = await asyncio.wait_for(self.outcome, PATIENCE_S)
        assert not isinstance(outcome, bytes)
        return outcome


class GatedModel(Model):
    """Answers only while its gate is open; notes what it was asked, and from where."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.begun = threading.Semaphore(0)
        self.asked: list[list[str]] = []
        self.threads: set[int] = set()

    def predict(self, inputs: Any) -> list[str]:
        self.asked.append(inputs)
        self.threads.add(threading.get_ident())
        self.begun.release()
        assert self.gate.wait(PATIENCE_S)
        return [text.upper() for text in inputs]


def request(*texts: str) -> bytes:
    return pb.PredictRequest(inputs=[values.Input(string=text) for text in texts]).SerializeToString()


def texts(response: pb.PredictResponse) -> list[str]:
    return [result.output.string or result.error.kind for result in response.results]


@pytest.fixture
async def worker() -> AsyncIterator[Worker]:
    worker = Worker()
    worker.start()
    yield worker
    worker.stop()


@pytest.fixture
def model() -> GatedModel:
    return GatedModel()


@pytest.fixture
async def service(worker: Worker, model: GatedModel) -> ModelService:
    service = ModelService(INFO, worker, max_waiting=3)
    await service.load(lambda: model)
    return service


async def begun(model: GatedModel) -> None:
    assert await asyncio.to_thread(model.begun.acquire, timeout=PATIENCE_S)


async def test_a_batch_is_answered_in_order(service: ModelService) -> None:
    call = FakeCall(request("a", "b", "c"))
    service.predict(call)
    response = await call.answer()
    assert texts(response) == ["A", "B", "C"]
    assert response.model_us > 0


async def test_the_loop_is_free_while_the_model_computes(service: ModelService, model: GatedModel) -> None:
    model.gate.clear()
    call = FakeCall(request("a"))
    service.predict(call)
    await begun(model)
    info = FakeCall(b"")
    service.get_model_info(info)
    assert info.outcome.done()
    assert not call.outcome.done()
    model.gate.set()
    assert texts(await call.answer()) == ["A"]


async def test_calls_are_computed_one_by_one_in_their_order(service: ModelService, model: GatedModel) -> None:
    model.gate.clear()
    calls = [FakeCall(request(text)) for text in "abc"]
    for call in calls:
        service.predict(call)
    await begun(model)
    assert model.asked == [["a"]]
    model.gate.set()
    assert [texts(await call.answer()) for call in calls] == [["A"], ["B"], ["C"]]
    assert model.asked == [["a"], ["b"], ["c"]]
    assert len(model.threads) == 1


async def test_several_threads_compute_at_a_time(model: GatedModel) -> None:
    worker = Worker(threads=2)
    worker.start()
    service = ModelService(INFO, worker, max_waiting=3)
    await service.load(lambda: model)
    model.gate.clear()
    calls = [FakeCall(request(text)) for text in "ab"]
    for call in calls:
        service.predict(call)
    await begun(model)
    await begun(model)
    model.gate.set()
    assert [texts(await call.answer()) for call in calls] == [["A"], ["B"]]
    assert len(model.threads) == 2
    worker.stop()


async def test_the_model_is_loaded_in_the_thread_that_asks_it(worker: Worker) -> None:
    threads: list[int] = []

    def load() -> Model:
        threads.append(threading.get_ident())

        def predict(inputs: list[str]) -> list[str]:
            threads.append(threading.get_ident())
            return inputs

        return FunctionModel(predict)

    service = ModelService(INFO, worker, max_waiting=3)
    await service.load(load)
    call = FakeCall(request("a"))
    service.predict(call)
    await call.answer()
    assert len(threads) == 2
    assert len({*threads, threading.get_ident()}) == 2


async def test_what_loading_raises_is_raised(worker: Worker) -> None:
    def load() -> Model:
        raise LoadError("no")

    with pytest.raises(LoadError, match="no"):
        await ModelService(INFO, worker, max_waiting=3).load(load)


async def test_a_caller_that_leaves_before_its_turn_is_never_computed(service: ModelService, model: GatedModel) -> None:
    model.gate.clear()
    first, left, last = (FakeCall(request(text)) for text in ("first", "left", "last"))
    for call in (first, left, last):
        service.predict(call)
    await begun(model)
    left.leave()
    model.gate.set()
    assert texts(await first.answer()) == ["FIRST"]
    assert texts(await last.answer()) == ["LAST"]
    assert model.asked == [["first"], ["last"]]
    assert not left.outcome.done()


async def test_a_caller_that_leaves_meanwhile_gets_no_answer(service: ModelService, model: GatedModel) -> None:
    model.gate.clear()
    left, next_ = FakeCall(request("left")), FakeCall(request("next"))
    service.predict(left)
    service.predict(next_)
    await begun(model)
    left.leave()
    model.gate.set()
    assert texts(await next_.answer()) == ["NEXT"]
    assert not left.outcome.done()


async def test_a_call_whose_deadline_has_passed_is_not_computed(service: ModelService, model: GatedModel) -> None:
    call = FakeCall(request("late"), deadline_ns=time.monotonic_ns() - 1)
    service.predict(call)
    error = await call.error()
    assert error.code == Code.DEADLINE_EXCEEDED
    assert model.asked == []


async def test_a_call_whose_callers_have_stopped_waiting_is_not_computed_though_its_answer_would_be_taken(
    service: ModelService, model: GatedModel
) -> None:
    model.gate.clear()
    running, late = FakeCall(request("running")), FakeCall(request("late"), deadline_ns=time.monotonic_ns() + 10**12)
    service.predict(running)
    await begun(model)
    late.metadata = (("clipper-wait-us", "1000"),)
    service.predict(late)
    until_ns = time.monotonic_ns() + 1_000_000
    while time.monotonic_ns() <= until_ns:
        pass
    model.gate.set()
    assert isinstance(await late.error(), BatchExpired)
    assert model.asked == [["running"]]


@pytest.mark.parametrize("said", ["1000000000", "", "soon", "-5", b"1"])
async def test_a_call_whose_callers_wait_long_enough_or_say_nothing_useful_is_computed(
    service: ModelService, said: str | bytes
) -> None:
    call = FakeCall(request("a"), deadline_ns=time.monotonic_ns() + 10**12)
    call.metadata = (("clipper-wait-us", said),)
    service.predict(call)
    assert texts(await call.answer()) == ["A"]


async def test_a_model_that_gives_outputs_one_by_one_is_left_between_inputs_when_nobody_waits(worker: Worker) -> None:
    reached: list[str] = []
    gate, begun_ = threading.Event(), threading.Event()

    def predict(inputs: list[str]) -> Iterator[str]:
        for each in inputs:
            reached.append(each)
            begun_.set()
            assert gate.wait(PATIENCE_S)
            yield each.upper()

    service = ModelService(INFO, worker, max_waiting=3)
    await service.load(lambda: FunctionModel(predict))
    left, next_ = FakeCall(request("a", "b", "c")), FakeCall(request("x", "y"))
    service.predict(left)
    service.predict(next_)
    await asyncio.to_thread(begun_.wait, PATIENCE_S)
    left.leave()
    gate.set()
    assert texts(await next_.answer()) == ["X", "Y"]
    assert reached == ["a", "x", "y"]


async def test_a_call_in_time_is_computed(service: ModelService) -> None:
    call = FakeCall(request("a"), deadline_ns=time.monotonic_ns() + 10**12)
    service.predict(call)
    assert texts(await call.answer()) == ["A"]


async def test_a_failing_batch_is_not_taken_apart_after_its_deadline(worker: Worker) -> None:
    asked: list[list[str]] = []
    deadline_ns = time.monotonic_ns() + 10**8

    def predict(inputs: list[str]) -> list[str]:
        asked.append(inputs)
        while time.monotonic_ns() < deadline_ns:
            pass
        raise ValueError("slow and wrong")

    service = ModelService(INFO, worker, max_waiting=3)
    await service.load(lambda: FunctionModel(predict))
    call = FakeCall(request("a", "b"), deadline_ns=deadline_ns)
    service.predict(call)
    assert texts(await call.answer()) == ["ValueError", "ValueError"]
    assert asked == [["a", "b"]]


async def test_too_many_waiting_calls_are_refused_at_once(service: ModelService, model: GatedModel) -> None:
    model.gate.clear()
    running = FakeCall(request("running"))
    service.predict(running)
    await begun(model)
    waiting = [FakeCall(request(str(number))) for number in range(3)]
    refused = FakeCall(request("refused"))
    for call in (*waiting, refused):
        service.predict(call)
    assert refused.outcome.done()
    assert isinstance(await refused.error(), Overloaded)
    model.gate.set()
    assert [texts(await call.answer()) for call in waiting] == [["0"], ["1"], ["2"]]


async def test_before_the_model_has_loaded_calls_are_refused(worker: Worker) -> None:
    service = ModelService(INFO, worker, max_waiting=3)
    for handle in (service.predict, service.get_model_info):
        call = FakeCall(request("a"))
        handle(call)
        error = await call.error()
        assert isinstance(error, ModelNotReady)
        assert error.code == Code.UNAVAILABLE


async def test_when_stopping_new_calls_are_refused_and_taken_ones_answered(
    service: ModelService, model: GatedModel
) -> None:
    model.gate.clear()
    taken, refused = FakeCall(request("taken")), FakeCall(request("refused"))
    service.predict(taken)
    await begun(model)
    stopping = asyncio.create_task(service.stop(PATIENCE_S))
    await asyncio.sleep(0)
    service.predict(refused)
    assert isinstance(await refused.error(), Stopping)
    assert not stopping.done()
    model.gate.set()
    assert texts(await taken.answer()) == ["TAKEN"]
    await asyncio.wait_for(stopping, PATIENCE_S)


async def test_stopping_waits_for_a_caller_that_has_left_too(service: ModelService, model: GatedModel) -> None:
    """The model computes nevertheless; ending the process under it may leave its files half written."""
    model.gate.clear()
    left = FakeCall(request("left"))
    service.predict(left)
    await begun(model)
    left.leave()
    stopping = asyncio.create_task(service.stop(PATIENCE_S))
    await asyncio.sleep(0)
    assert not stopping.done()
    model.gate.set()
    await asyncio.wait_for(stopping, PATIENCE_S)


async def test_stopping_gives_up_after_its_grace(service: ModelService, model: GatedModel) -> None:
    model.gate.clear()
    service.predict(FakeCall(request("hangs")))
    await begun(model)
    await service.stop(0.0)
    model.gate.set()


async def test_stopping_without_calls_is_done_at_once(service: ModelService) -> None:
    await asyncio.wait_for(service.stop(600), PATIENCE_S)


@pytest.mark.parametrize("payload", [b"\xff\xff\xff", b"\x0a\x7f"])
async def test_a_request_that_cannot_be_parsed_is_refused(service: ModelService, payload: bytes) -> None:
    call = FakeCall(payload)
    service.predict(call)
    error = await call.error()
    assert isinstance(error, InvalidField)
    assert error.message == "request: not a clipper.model.v1.PredictRequest"


async def test_a_batch_without_inputs_is_refused(service: ModelService, model: GatedModel) -> None:
    call = FakeCall(b"")
    service.predict(call)
    assert isinstance(await call.error(), InvalidField)
    assert model.asked == []


async def test_malformed_inputs_fail_at_their_places(service: ModelService, model: GatedModel) -> None:
    number = values.Input(doubles=values.Doubles(values=[1.0]))
    inputs = [number, values.Input(string="a"), number, values.Input(string="b")]
    call = FakeCall(pb.PredictRequest(inputs=inputs).SerializeToString())
    service.predict(call)
    assert texts(await call.answer()) == ["InvalidInput", "A", "InvalidInput", "B"]
    assert model.asked == [["a", "b"]]


async def test_a_batch_of_malformed_inputs_does_not_reach_the_model(service: ModelService, model: GatedModel) -> None:
    call = FakeCall(pb.PredictRequest(inputs=[values.Input()]).SerializeToString())
    service.predict(call)
    assert texts(await call.answer()) == ["InvalidInput"]
    assert model.asked == []


class Treacherous(list[Any]):
    """A list that counts right and then breaks: a fault that nobody foresees."""

    def __iter__(self) -> Any:
        raise RuntimeError("changed my mind")


async def test_an_unforeseen_fault_answers_internal_and_the_next_call_is_served(worker: Worker) -> None:
    service = ModelService(INFO, worker, max_waiting=3)
    await service.load(lambda: FunctionModel(lambda inputs: Treacherous(inputs) if inputs == ["break"] else inputs))
    broken, fine = FakeCall(request("break")), FakeCall(request("fine"))
    service.predict(broken)
    service.predict(fine)
    assert isinstance(await broken.error(), InternalError)
    assert texts(await fine.answer()) == ["fine"]


async def test_the_info_is_the_models(worker: Worker) -> None:
    class Small(FunctionModel):
        max_batch_rows = 16

    service = ModelService(INFO, worker, max_waiting=3)
    await service.load(lambda: Small(len))
    call = FakeCall(b"")
    service.get_model_info(call)
    outcome = call.outcome.result()
    assert isinstance(outcome, bytes)
    assert pb.GetModelInfoResponse.FromString(outcome) == pb.GetModelInfoResponse(
        model="m", version="1", input_type=values.INPUT_TYPE_STRINGS, runtime="test", max_batch_rows=16
    )


async def test_every_method_of_the_contract_is_served(service: ModelService) -> None:
    methods = service.methods()
    assert set(methods) == {f"/{SERVICE}/GetModelInfo", f"/{SERVICE}/Predict"}
    assert all(isinstance(method, Unary) for method in methods.values())
