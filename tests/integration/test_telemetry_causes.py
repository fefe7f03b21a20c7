"""For each way not to get a prediction: the reply, the metric, the log line and `explain` tell the same true cause."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import grpc.aio
import httpx
import pytest
import pytest_asyncio
from google.rpc import error_details_pb2, status_pb2
from peers import PeerModel, PeerRegistry, application, doubles, model, replica, sums, version

from clipper.model.v1 import model_service_pb2 as model_pb
from clipper.registry.v1 import registry_pb2
from clipper.v1 import inspect_pb2, inspect_pb2_grpc, predict_pb2, predict_pb2_grpc, values_pb2
from processes import Process, module

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass
class House:
    """A frontend with two applications for each cause: "late" has a default output, "late-bare" has none."""

    process: Process
    predict: predict_pb2_grpc.PredictServiceStub
    inspect: inspect_pb2_grpc.InspectServiceStub
    lost: PeerModel
    entered: asyncio.Event

    def lines(self, request_id: str) -> list[dict[str, object]]:
        """What the log says of a request."""
        found = [json.loads(line) for line in self.process.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in found if line.get("request_id") == request_id and line["level"] != "debug"]

    async def counted(self) -> dict[str, float]:
        """All samples of the frontend's metrics."""
        async with httpx.AsyncClient() as client:
            text = (await client.get(f"http://{self.process.ready['metrics']}/metrics")).text
        samples = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, value in samples}


async def never(_inputs: Sequence[values_pb2.Input]) -> Sequence[model_pb.PredictResult]:
    await asyncio.Event().wait()
    raise AssertionError


def says(value: float) -> Callable[[Sequence[values_pb2.Input]], Awaitable[Sequence[model_pb.PredictResult]]]:
    async def compute(inputs: Sequence[values_pb2.Input]) -> Sequence[model_pb.PredictResult]:
        return [model_pb.PredictResult(output=values_pb2.Output(number=value)) for _ in inputs]

    return compute


def undecided(name: str) -> registry_pb2.Entity:
    entity = application(name, "one", "two")
    entity.application.selection_policy.name = "ensemble"
    entity.application.confidence_threshold = 0.9
    return entity


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    log: Path = tmp_path_factory.mktemp("causes") / "frontend.log"
    entered = asyncio.Event()

    async def entering(inputs: Sequence[values_pb2.Input]) -> Sequence[model_pb.PredictResult]:
        entered.set()
        return await never(inputs)

    async with AsyncExitStack() as stack:
        models = {
            "late": PeerModel("late", compute=never),
            "full": PeerModel("full", compute=entering),
            "sum": PeerModel("sum", compute=sums),
            "lost": PeerModel("lost", compute=entering),
            "one": PeerModel("one", compute=says(1)),
            "two": PeerModel("two", compute=says(2)),
        }
        for peer in models.values():
            await stack.enter_async_context(peer)
        registry = PeerRegistry()
        linked = {"no-model": (), "no-replica": ("nobody",), "model-error": ("sum",), "replica-lost": ("lost",)}
        linked |= {"late": ("late",), "overloaded": ("full",)}
        registry.put(
            *(
                application(f"{app}{kind}", *links, default=default, objective_ms=100 if app == "late" else 5000)
                for app, links in linked.items()
                for kind, default in (("", "-1"), ("-bare", None))
            ),
            undecided("low-confidence"),
            *(model(each) for each in ("nobody", *models)),
            *(version(each) for each in ("nobody", "late", "sum", "one", "two")),
            version("full", max_queue_rows=1, max_batches_in_flight=1),
            version("lost", no_retry=True),
            *(replica(name, peer.address) for name, peer in models.items()),
        )
        manager = await stack.enter_async_context(registry.serving())
        flags = [
            "--port",
            "0",
            "--metrics-port",
            "0",
            "--manager",
            manager,
            "--cache-bytes",
            "0",
            "--log-level",
            "debug",
        ]
        process = Process(module("clipper_frontend", "--grace-s", "1", *flags), log=log)
        await asyncio.to_thread(process.start)
        stack.push_async_callback(asyncio.to_thread, process.stop)
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(process.address))
        yield House(
            process,
            predict_pb2_grpc.PredictServiceStub(channel),
            inspect_pb2_grpc.InspectServiceStub(channel),
            models["lost"],
            entered,
        )


async def ask(house: House, application: str, value: float, request_id: str) -> predict_pb2.PredictResponse:
    request = predict_pb2.PredictRequest(application=application, input=doubles(value))
    return await house.predict.Predict(request, metadata=(("x-request-id", request_id),), timeout=20)


async def brought_about(house: House, application: str, request_id: str) -> predict_pb2.PredictResponse:
    """The answer of a query that meets the cause of its application."""
    house.entered.clear()
    match application.removesuffix("-bare"):
        case "model-error":
            return await ask(house, application, -1, request_id)
        case "overloaded":
            busy = [asyncio.ensure_future(ask(house, application, 1, "busy"))]
            try:
                await house.entered.wait()
                busy.append(asyncio.ensure_future(ask(house, application, 1, "busy")))  # fills the queue
                return await asyncio.ensure_future(ask(house, application, 1, request_id))  # after it, as a task
            finally:
                for each in busy:
                    each.cancel()
                await asyncio.gather(*busy, return_exceptions=True)
        case "replica-lost":
            asked = asyncio.ensure_future(ask(house, application, 1, request_id))
            await house.entered.wait()
            port = int(house.lost.address.rpartition(":")[2])
            await house.lost.stop()
            try:
                return await asked
            finally:
                await house.lost.start(port)
                await up_again(house)
        case _:
            return await ask(house, application, 1, request_id)


async def up_again(house: House) -> None:
    """Returns when the lost replica is seen again."""
    async with asyncio.timeout(20):
        while (await house.counted())['clipper_replicas{model="lost",state="up",version="1"}'] != 1:
            await asyncio.sleep(0.05)


CAUSES = [name.removeprefix("DEFAULT_REASON_") for name in predict_pb2.DefaultReason.keys()[1:]]
"""All that the contract has: who adds one adds an application that brings it about."""


def loggable(explanation: str) -> str:
    """What of an explanation the log may have: a model's text may quote its input, and is told to callers only."""
    cause, _, text = explanation.partition(": negative")
    assert not text
    return cause


@pytest.mark.parametrize("reason", CAUSES)
async def test_a_default_tells_one_cause_everywhere(house: House, reason: str) -> None:
    name = reason.lower().replace("_", "-")
    before = await house.counted()
    answer = await brought_about(house, name, reason)
    after = await house.counted()

    assert answer.default
    assert predict_pb2.DefaultReason.Name(answer.default_reason) == f"DEFAULT_REASON_{reason}"
    grown = {
        key
        for key in after
        if key.startswith(f'clipper_defaults_total{{application="{name}"') and after[key] > before.get(key, 0)
    }
    assert grown == {f'clipper_defaults_total{{application="{name}",reason="{reason}"}}'}
    duration = f'clipper_predict_duration_seconds_count{{application="{name}",outcome="default"}}'
    assert after[duration] > before.get(duration, 0)

    [line] = [line for line in house.lines(reason) if line["event"] == "default_answered"]
    assert (line["application"], line["reason"], line["query_id"]) == (name, reason, answer.query_id)
    assert line["cause"] == loggable(answer.default_explanation)
    stats = await house.inspect.GetStats(inspect_pb2.GetStatsRequest())
    [told] = [each for each in stats.applications if each.application == name]
    explained = await explain(house, answer.query_id)
    assert (explained.application, explained.outcome) == (name, inspect_pb2.ExplainQueryResponse.OUTCOME_DEFAULT)
    assert (explained.reason, explained.explanation) == (answer.default_reason, answer.default_explanation)
    assert [each.contribution for each in explained.contributions] == list(answer.contributions)
    assert explained.lost_replicas == (reason == "REPLICA_LOST")
    assert dict(told.defaults) == {reason: after[f'clipper_defaults_total{{application="{name}",reason="{reason}"}}']}


@pytest.mark.parametrize("reason", [each for each in CAUSES if each != "LOW_CONFIDENCE"])
async def test_an_error_instead_of_a_default_tells_one_cause_everywhere(house: House, reason: str) -> None:
    name = reason.lower().replace("_", "-") + "-bare"
    before = await house.counted()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await brought_about(house, name, f"bare-{reason}")
    after = await house.counted()
    info = info_of(caught.value)
    key = f'clipper_errors_total{{application="{name}",reason="{info.reason}"}}'
    assert after[key] > before.get(key, 0)
    assert [each for each in after if each.startswith(f'clipper_errors_total{{application="{name}"')] == [key]
    [line] = [line for line in house.lines(f"bare-{reason}") if line["event"] == "error_answered"]
    assert (line["application"], line["reason"]) == (name, reason)
    assert isinstance(line["query_id"], int)
    explained = await explain(house, line["query_id"])
    assert (explained.application, explained.outcome) == (name, inspect_pb2.ExplainQueryResponse.OUTCOME_ERROR)
    assert predict_pb2.DefaultReason.Name(explained.reason) == f"DEFAULT_REASON_{reason}"
    assert (explained.error_reason, explained.explanation) == (info.reason, caught.value.details())


async def explain(house: House, query_id: int) -> inspect_pb2.ExplainQueryResponse:
    return await house.inspect.ExplainQuery(inspect_pb2.ExplainQueryRequest(query_id=query_id), timeout=20)


def info_of(error: grpc.aio.AioRpcError) -> error_details_pb2.ErrorInfo:
    """The ErrorInfo of an error."""
    status = status_pb2.Status()
    [details] = [value for key, value in error.trailing_metadata() if key == "grpc-status-details-bin"]
    status.ParseFromString(details)
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    return info


@pytest.mark.parametrize(
    ("request_", "application", "reason"),
    [
        (predict_pb2.PredictRequest(application="nobody", input=doubles(1)), "other", "APPLICATION_NOT_FOUND"),
        (predict_pb2.PredictRequest(application="late"), "late", "INVALID_FIELD"),
        (
            predict_pb2.PredictRequest(application="late", input=values_pb2.Input(string="x")),
            "late",
            "INPUT_TYPE_MISMATCH",
        ),
        (predict_pb2.PredictRequest(application="late", input=doubles(1), version="9"), "late", "VERSION_NOT_FOUND"),
    ],
)
async def test_a_refusal_at_the_door_is_counted_by_its_reason(
    house: House, request_: predict_pb2.PredictRequest, application: str, reason: str
) -> None:
    before = await house.counted()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await house.predict.Predict(request_, timeout=20)
    assert info_of(caught.value).reason == reason
    key = f'clipper_errors_total{{application="{application}",reason="{reason}"}}'
    assert (await house.counted())[key] == before.get(key, 0) + 1


async def test_names_that_nobody_configured_make_no_labels(house: House) -> None:
    for number in range(20):
        with pytest.raises(grpc.aio.AioRpcError):
            await ask(house, f"guess-{number}", 1, "guess")
    assert not [name for name in await house.counted() if "guess" in name]


async def test_what_is_counted_is_what_callers_saw(house: House) -> None:
    before, key = (
        await house.counted(),
        'clipper_predict_duration_seconds_count{application="model-error",outcome="prediction"}',
    )
    requests = [predict_pb2.PredictRequest(application="model-error", input=doubles(value)) for value in range(50)]
    await asyncio.gather(*(house.predict.Predict(each) for each in requests))
    batch = predict_pb2.PredictBatchRequest(application="model-error", inputs=[doubles(1)] * 30)
    await house.predict.PredictBatch(batch)
    stream = house.predict.PredictStream(predict_pb2.PredictStreamRequest(request=each) for each in requests[:20])
    assert len([each async for each in stream]) == 20
    after = await house.counted()
    assert after[key] - before.get(key, 0) == 100
    rows = 'clipper_batch_size_sum{model="sum",replica="0",version="1"}'
    waits = 'clipper_queue_wait_seconds_count{model="sum",version="1"}'
    assert after[rows] - before.get(rows, 0) == after[waits] - before.get(waits, 0) == 100
    assert after['clipper_queue_length{model="sum",version="1"}'] == 0
    assert after['clipper_objective_seconds{application="late"}'] == 0.1
    assert 'clipper_predict_duration_seconds_bucket{application="late",le="0.1",outcome="prediction"}' in after
