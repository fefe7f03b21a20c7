"""A real frontend process between real gRPC clients, runtimes and a registry."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import grpc
import grpc.aio
import httpx
import pytest
from click.testing import CliRunner
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from houses import House, asking, eventually
from peers import application, doubles, model, replica, sums, version
from wires import TRANSPORTS

from clipper.model.v1 import model_service_pb2 as model_pb
from clipper.registry.v1 import registry_pb2 as registry_pb
from clipper.v1 import (
    feedback_pb2,
    feedback_pb2_grpc,
    inspect_pb2,
    inspect_pb2_grpc,
    predict_pb2,
    predict_pb2_grpc,
    values_pb2,
)
from clipper_frontend.app import main
from processes import Process, module

DEFAULT = values_pb2.Output(string="-1")


@pytest.fixture
async def house(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[House]:
    async with House(tmp_path / "frontend.log", transport=getattr(request, "param", "auto")) as made:
        yield made


on_every_transport = pytest.mark.parametrize("house", TRANSPORTS, indirect=True)


class Gate:
    """A model that computes only when it is told to."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.opened = asyncio.Event()

    async def __call__(self, inputs: Sequence[values_pb2.Input]) -> Sequence[model_pb.PredictResult]:
        self.entered.set()
        await self.opened.wait()
        return await sums(inputs)


@on_every_transport
async def test_a_prediction_comes_from_the_model_with_all_that_belongs_to_it(house: House) -> None:
    _, stub = await house.serving()
    reply = await stub.Predict(asking(1.1, 2.2, 3.3, explain=True))
    assert reply.output.number == pytest.approx(6.6)
    assert not reply.default
    assert reply.confidence == 1.0
    assert 0 < reply.query_id < 2**53
    [contribution] = reply.contributions
    assert (contribution.model, contribution.version, contribution.weight) == ("sum", "1", 1.0)
    assert 0 < contribution.latency_us <= reply.timing.total_us
    assert reply.timing.batch_rows == 1
    assert reply.timing.model_us == 7
    assert reply.timing.network_us > 0


async def test_every_default_tells_its_true_reason(house: House) -> None:
    gate = Gate()
    slow = await house.model(gate)
    good = await house.model()
    house.registry.put(
        application("unlinked"),
        application("empty", "nobody"),
        application("slow", "slow", objective_ms=200),
        application("full", "full", objective_ms=5000),
        application("app", "sum"),
        *(model(each) for each in ("nobody", "slow", "sum", "full")),
        version("nobody"),
        version("sum"),
        version("slow"),
        version("full", max_queue_rows=1, max_batches_in_flight=1),
        replica("sum", good.address),
        replica("slow", (await house.model(gate, name="slow")).address),
        replica("full", (await house.model(gate, name="full")).address),
    )
    stub = await house.stub(await house.start())
    nobody = "No connected models found for query"
    for app, reason in (("unlinked", "NO_MODEL"), ("empty", "NO_REPLICA")):
        reply = await stub.Predict(asking(1, app=app))
        assert (reply.default, reply.default_explanation, reply.output) == (True, nobody, DEFAULT)
        assert predict_pb2.DefaultReason.Name(reply.default_reason) == f"DEFAULT_REASON_{reason}"

    late = await stub.Predict(asking(1, app="slow"))
    assert late.default_reason == predict_pb2.DEFAULT_REASON_LATE
    assert late.default_explanation.endswith("within the specified latency SLO")

    failed = await stub.Predict(asking(-1))
    assert failed.default_reason == predict_pb2.DEFAULT_REASON_MODEL_ERROR
    assert failed.default_explanation == "Model sum:1 failed with ValueError: negative"
    assert [each.weight for each in failed.contributions] == [0]

    gate.entered.clear()
    waiting = [asyncio.ensure_future(stub.Predict(asking(1, app="full")))]
    await gate.entered.wait()
    waiting.append(asyncio.ensure_future(stub.Predict(asking(2, app="full"))))
    refused = await eventually(stub, asking(3, app="full"), default_reason=predict_pb2.DEFAULT_REASON_OVERLOADED)
    assert "more queries than it can answer" in refused.default_explanation
    gate.opened.set()
    assert [(await each).output.number for each in waiting] == [1, 2]
    assert slow.batches == []


@on_every_transport
async def test_without_default_output_each_reason_is_a_status(house: House) -> None:
    gate = Gate()
    house.registry.put(
        application("unlinked", default=None),
        application("empty", "nobody", default=None),
        application("slow", "slow", default=None, objective_ms=100),
        application("app", "sum", default=None),
        *(model(each) for each in ("nobody", "slow", "sum")),
        *(version(each) for each in ("nobody", "slow", "sum")),
        replica("slow", (await house.model(gate, name="slow")).address),
        replica("sum", (await house.model()).address),
    )
    stub = await house.stub(await house.start())
    expected = {
        "unlinked": grpc.StatusCode.UNAVAILABLE,
        "empty": grpc.StatusCode.UNAVAILABLE,
        "slow": grpc.StatusCode.DEADLINE_EXCEEDED,
        "app": grpc.StatusCode.INTERNAL,
    }
    for app, code in expected.items():
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Predict(asking(-1, app=app), timeout=10)
        assert caught.value.code() == code
        assert any(key == "grpc-status-details-bin" for key, _ in caught.value.trailing_metadata())


async def test_bad_requests_are_told_what_is_wrong(house: House) -> None:
    peer, stub = await house.serving()
    text = predict_pb2.PredictRequest(application="app", input=values_pb2.Input(string="x"))
    for request, code, words in (
        (asking(1, app="nobody"), grpc.StatusCode.NOT_FOUND, 'No application "nobody"'),
        (asking(1, version="9"), grpc.StatusCode.NOT_FOUND, "Requested version: 9 does not exist for model: sum"),
        (text, grpc.StatusCode.INVALID_ARGUMENT, "takes inputs of type doubles, not strings"),
        (predict_pb2.PredictRequest(application="app"), grpc.StatusCode.INVALID_ARGUMENT, "input: required"),
    ):
        with pytest.raises(grpc.aio.AioRpcError, match=words) as caught:
            await stub.Predict(request)
        assert caught.value.code() == code
    assert peer.batches == []


async def test_a_version_can_be_pinned_and_the_current_one_changed(house: House) -> None:
    async def twice(inputs: Sequence[values_pb2.Input]) -> Sequence[model_pb.PredictResult]:
        return [
            model_pb.PredictResult(output=values_pb2.Output(number=2 * sum(each.doubles.values))) for each in inputs
        ]

    _, stub = await house.serving()
    second = await house.model(twice, version="2")
    house.registry.put(version("sum", "2"), replica("sum", second.address, label="2"))
    assert (await eventually_pinned(stub, "2")).output.number == 6
    assert (await stub.Predict(asking(1, 2))).output.number == 3
    house.registry.put(model("sum", "2"))
    await eventually(stub, asking(1, 2), output=values_pb2.Output(number=6))
    assert (await stub.Predict(asking(1, 2, version="1"))).output.number == 3


async def eventually_pinned(stub: predict_pb2_grpc.PredictServiceStub, label: str) -> predict_pb2.PredictResponse:
    """Asks for a version until it is known and up."""
    async with asyncio.timeout(20):
        while True:
            try:
                reply = await stub.Predict(asking(1, 2, version=label))
            except grpc.aio.AioRpcError as error:
                assert error.code() == grpc.StatusCode.NOT_FOUND  # noqa: PT017
            else:
                if not reply.default:
                    return reply
            await asyncio.sleep(0.01)


@on_every_transport
async def test_a_batch_comes_back_in_order_with_errors_in_their_places(house: House) -> None:
    _, stub = await house.serving()
    inputs = [doubles(1), values_pb2.Input(string="x"), doubles(-1), *(doubles(each) for each in range(300))]
    reply = await stub.PredictBatch(predict_pb2.PredictBatchRequest(application="app", inputs=inputs))
    assert len(reply.results) == 303
    assert reply.results[0].prediction.output.number == 1
    assert "not strings" in reply.results[1].error.message
    assert reply.results[2].prediction.default_reason == predict_pb2.DEFAULT_REASON_MODEL_ERROR
    assert [each.prediction.output.number for each in reply.results[3:]] == list(range(300))
    ids = {each.prediction.query_id for each in reply.results if each.HasField("prediction")}
    assert len(ids) == 302
    empty = await stub.PredictBatch(predict_pb2.PredictBatchRequest(application="app"))
    assert not empty.results


async def test_the_inputs_of_a_batch_reach_the_model_in_batches_no_larger_than_it_can_take(house: House) -> None:
    peer, stub = await house.serving(max_batch_rows=16)
    inputs = [doubles(each) for each in range(100)]
    await stub.PredictBatch(predict_pb2.PredictBatchRequest(application="app", inputs=inputs))
    assert max(map(len, peer.batches)) == 16
    assert sorted(each[0] for each in peer.inputs) == list(range(100))


@on_every_transport
async def test_a_stream_answers_each_query_with_its_tag_and_goes_on_after_errors(house: House) -> None:
    _, stub = await house.serving()

    async def requests() -> AsyncIterator[predict_pb2.PredictStreamRequest]:
        for tag in range(500):
            app = "nobody" if tag == 250 else "app"
            yield predict_pb2.PredictStreamRequest(tag=tag, request=asking(tag, app=app))

    replies = {reply.tag: reply async for reply in stub.PredictStream(requests())}
    assert set(replies) == set(range(500))
    assert replies.pop(250).error.code == grpc.StatusCode.NOT_FOUND.value[0]
    assert all(reply.prediction.output.number == tag for tag, reply in replies.items())


async def test_an_application_is_described_and_feedback_is_acknowledged(house: House) -> None:
    peer = await house.model()
    house.registry.put(application("app", "sum"), model("sum"), version("sum"), replica("sum", peer.address))
    channel = await house.channel(await house.start())
    describe = predict_pb2_grpc.PredictServiceStub(channel).DescribeApplication
    found = await describe(predict_pb2.DescribeApplicationRequest(application="app"))
    assert (found.input_type, found.has_default_output) == (values_pb2.INPUT_TYPE_DOUBLES, True)
    send = feedback_pb2_grpc.FeedbackServiceStub(channel).SendFeedback
    label = values_pb2.Output(number=1)
    sent = await send(feedback_pb2.SendFeedbackRequest(application="app", input=doubles(1), label=label))
    assert not sent.learned
    sent = await send(feedback_pb2.SendFeedbackRequest(application="app", query_id=1, label=label))
    assert not sent.learned  # a static policy has nothing to learn


async def test_health_and_reflection_are_served(house: House) -> None:
    channel = await house.channel(await house.start())
    check = health_pb2_grpc.HealthStub(channel).Check
    for service in ("", "clipper.v1.PredictService", "clipper.v1.FeedbackService"):
        status = (await check(health_pb2.HealthCheckRequest(service=service))).status
        assert status == health_pb2.HealthCheckResponse.SERVING
    reflect = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo
    async for found in reflect(iter([reflection_pb2.ServerReflectionRequest(list_services="")])):
        names = {each.name for each in found.list_services_response.service}
    assert names >= {"clipper.v1.PredictService", "clipper.v1.FeedbackService", "grpc.health.v1.Health"}


@on_every_transport
async def test_a_query_that_expires_while_it_waits_never_reaches_the_model(house: House) -> None:
    gate = Gate()
    peer = await house.model(gate)
    house.registry.put(
        application("patient", "sum", objective_ms=20_000),
        application("hasty", "sum", objective_ms=50),
        model("sum"),
        version("sum", max_batches_in_flight=1),
        replica("sum", peer.address),
    )
    stub = await house.stub(await house.start())
    first = asyncio.ensure_future(stub.Predict(asking(1, app="patient")))
    await gate.entered.wait()
    late = await asyncio.gather(*(stub.Predict(asking(100 + each, app="hasty")) for each in range(20)))
    assert {each.default_reason for each in late} == {predict_pb2.DEFAULT_REASON_LATE}
    last = asyncio.ensure_future(stub.Predict(asking(2, app="patient")))
    gate.opened.set()
    assert [(await first).output.number, (await last).output.number] == [1, 2]
    assert peer.inputs == [[1], [2]]


async def round_trips(stub: predict_pb2_grpc.PredictServiceStub) -> None:
    """Lets the frontend take in what was sent to it before."""
    for _ in range(5):
        await stub.DescribeApplication(predict_pb2.DescribeApplicationRequest(application="app"))


@on_every_transport
async def test_a_client_that_leaves_the_queue_never_reaches_the_model_and_spares_its_neighbours(house: House) -> None:
    gate = Gate()
    peer = await house.model(gate)
    house.registry.put(
        application("app", "sum", objective_ms=20_000),
        model("sum"),
        version("sum", max_batches_in_flight=1),
        replica("sum", peer.address),
    )
    stub = await house.stub(await house.start())
    first = asyncio.ensure_future(stub.Predict(asking(1)))
    await gate.entered.wait()
    waiting = [stub.Predict(asking(each)) for each in (2, 3, 4)]
    await round_trips(stub)  # calls of one connection come in order: these have arrived now
    waiting[1].cancel()
    await round_trips(stub)
    gate.opened.set()
    assert [(await call).output.number for call in (first, waiting[0], waiting[2])] == [1, 2, 4]
    assert sorted(each[0] for each in peer.inputs) == [1, 2, 4]


@on_every_transport
async def test_a_client_that_leaves_a_batch_under_way_spares_its_neighbours(house: House) -> None:
    gate = Gate()
    _, stub = await house.serving(compute=gate)
    calls = [stub.Predict(asking(each)) for each in range(4)]
    await gate.entered.wait()
    calls[0].cancel()
    gate.opened.set()
    assert [(await call).output.number for call in calls[1:]] == [1, 2, 3]


async def test_a_clients_own_deadline_gets_the_default_in_time(house: House) -> None:
    gate = Gate()
    _, stub = await house.serving("--reply-margin-ms", "1000", compute=gate)
    reply = await stub.Predict(asking(1), timeout=4.2)  # a quarter of the time at most is kept for the way back
    assert reply.default_reason == predict_pb2.DEFAULT_REASON_LATE
    gate.opened.set()
    assert (await stub.Predict(asking(2))).output.number == 2


async def test_tiny_deadlines_leave_nothing_behind(house: House) -> None:
    _, stub = await house.serving()

    async def hasty(number: int) -> None:
        try:
            await stub.Predict(asking(number), timeout=number * 1e-5)
        except grpc.aio.AioRpcError as error:
            assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED  # noqa: PT017

    await asyncio.gather(*(hasty(each) for each in range(300)))
    reply = await stub.Predict(asking(5, explain=True))
    assert reply.output.number == 5
    assert reply.timing.batch_rows == 1


@on_every_transport
async def test_a_killed_replica_costs_no_query_while_another_one_is_up(house: House, tmp_path: Path) -> None:
    house.registry.put(application("app", "sum", objective_ms=5000), model("sum"), version("sum"))
    runtimes = [
        Process(
            module("model_process"),
            log=tmp_path / f"runtime-{each}.log",
            env={"PYTHONPATH": str(Path(__file__).parents[1])},
        )
        for each in range(2)
    ]
    for number, runtime in enumerate(runtimes):
        house.stack.push_async_callback(asyncio.to_thread, runtime.stop)
        await asyncio.to_thread(runtime.start)
        house.registry.put(replica("sum", runtime.address, replica_id=number))
    stub = await house.stub(await house.start())
    answers: list[int] = []
    stopping = False

    async def client() -> None:
        while not stopping:
            reply = await stub.Predict(asking(1, 2))
            assert not reply.default, reply
            answers.append(reply.contributions[0].replica_id)

    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        for _ in range(8):
            tasks.create_task(client())
        while set(answers) != {0, 1}:
            await asyncio.sleep(0.01)
        runtimes[0].send_signal(signal.SIGKILL)
        await asyncio.to_thread(runtimes[0].wait)
        answers.clear()
        while len(answers) < 300:
            await asyncio.sleep(0.01)
        stopping = True
    assert set(answers[100:]) == {1}


async def test_with_its_only_replica_gone_queries_get_the_default_at_once_until_it_is_back(house: House) -> None:
    gate = Gate()
    peer, stub = await house.serving(compute=gate)
    port = int(peer.address.rpartition(":")[2])
    under_way = asyncio.ensure_future(stub.Predict(asking(1)))
    await gate.entered.wait()
    await peer.stop()
    assert (await under_way).default_reason in {
        predict_pb2.DEFAULT_REASON_REPLICA_LOST,
        predict_pb2.DEFAULT_REASON_NO_REPLICA,
    }
    await eventually(stub, asking(1), default_reason=predict_pb2.DEFAULT_REASON_NO_REPLICA)
    gate.opened.set()
    await peer.start(port)
    await eventually(stub, asking(1), output=values_pb2.Output(number=1))


@on_every_transport
async def test_it_goes_on_answering_while_no_manager_is_there_and_follows_again_when_one_is(house: House) -> None:
    registry, log = house.registry, house.log
    peer = await house.model()
    registry.put(application("app", "sum"), model("sum"), version("sum"), replica("sum", peer.address))
    async with registry.serving() as manager:
        stub = await house.stub(await house.start(manager=manager))
        assert (await stub.Predict(asking(1))).output.number == 1
    seen = len(registry.watch_requests)
    for each in range(50):
        assert (await stub.Predict(asking(each))).output.number == each
    registry.put(application("new", "sum"))
    async with registry.serving(int(manager.rpartition(":")[2])), asyncio.timeout(20):
        while True:
            try:
                assert (await stub.Predict(asking(2, app="new"))).output.number == 2
                break
            except grpc.aio.AioRpcError as error:
                assert error.code() == grpc.StatusCode.NOT_FOUND  # noqa: PT017
                await asyncio.sleep(0.01)
    resumed = registry.watch_requests[seen]
    assert (resumed.epoch, resumed.revision) == ("epoch-1", 1)
    assert "manager_away" in log.read_text()


async def test_any_manager_of_several_will_do(house: House) -> None:
    peer = await house.model()
    house.registry.put(application("app", "sum"), model("sum"), version("sum"), replica("sum", peer.address))
    async with house.registry.serving() as other:
        async with house.registry.serving() as first:
            stub = await house.stub(await house.start(manager=f"127.0.0.1:1,{first},{other}"))
            assert (await stub.Predict(asking(1))).output.number == 1
        house.registry.put(application("app", "sum", default="changed"), deleted=[registry_pb.EntityKey(model="sum")])
        changed = values_pb2.Output(string="changed")
        assert (await eventually(stub, asking(1), output=changed)).default


async def test_a_deleted_application_ends_at_once(house: House) -> None:
    _, stub = await house.serving()
    await stub.Predict(asking(1))
    house.registry.put(deleted=[registry_pb.EntityKey(application="app")])
    with pytest.raises(grpc.aio.AioRpcError, match='No application "app"'):
        await eventually(stub, asking(1), default=True)


async def test_it_shows_itself_with_a_lease_and_takes_itself_out(house: House) -> None:
    process = await house.start()
    async with asyncio.timeout(20):
        while house.registry.renewals < 2:
            await asyncio.sleep(0.01)
    [instance] = house.registry.instances.values()
    assert instance.address == process.address
    assert instance.build
    await asyncio.to_thread(process.stop)
    assert house.registry.instances == {}


@on_every_transport
async def test_on_sigterm_health_flips_first_and_what_is_under_way_is_answered(house: House) -> None:
    gate = Gate()
    peer = await house.model(gate)
    house.registry.put(application("app", "sum"), model("sum"), version("sum"), replica("sum", peer.address))
    process = await house.start()
    channel = await house.channel(process)
    watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
    assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
    call = predict_pb2_grpc.PredictServiceStub(channel).Predict(asking(1, 2))
    await gate.entered.wait()
    process.send_signal(signal.SIGTERM)
    assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
    gate.opened.set()
    assert (await call).output.number == 3
    watch.cancel()
    assert await asyncio.to_thread(process.wait) == -signal.SIGTERM


async def test_a_taken_port_is_told_in_one_line(house: House) -> None:
    first = await house.start()
    port = first.address.rpartition(":")[2]
    second = Process(module("clipper_frontend", "--manager", house.manager, "--port", port), log=house.log)
    await asyncio.to_thread(second.start, wait=False)
    assert await asyncio.to_thread(second.wait) == 7
    assert f"cannot listen on 127.0.0.1:{port}" in house.log.read_text().splitlines()[-1]


async def test_workers_share_a_port_and_one_that_dies_is_started_again(house: House) -> None:
    peer = await house.model()
    house.registry.put(application("app", "sum"), model("sum"), version("sum"), replica("sum", peer.address))
    process = await house.start("--workers", "2")
    workers = children(process.pid)
    assert len(workers) == 2
    ids = set()
    for _ in range(32):  # each connection lands in one of the workers
        stub = await house.stub(process)
        reply = await stub.Predict(asking(1, 2))
        assert reply.output.number == 3
        ids.add(reply.query_id)
    assert len({query_id // 2**30 for query_id in ids}) == 2
    inspect = inspect_pb2_grpc.InspectServiceStub(await house.channel(process))
    for query_id in ids:  # of whichever worker: it asks the other one
        told = await inspect.ExplainQuery(inspect_pb2.ExplainQueryRequest(query_id=query_id), timeout=20)
        assert (told.query_id, told.application) == (query_id, "app")
    with pytest.raises(grpc.aio.AioRpcError, match="each process keeps its last 10000") as caught:
        await inspect.ExplainQuery(inspect_pb2.ExplainQueryRequest(query_id=2**52), timeout=20)
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    stats = await inspect.GetStats(inspect_pb2.GetStatsRequest())  # of whichever worker: it tells of all
    assert (stats.processes, [app.predictions for app in stats.applications]) == (2, [32])
    async with httpx.AsyncClient() as client:
        text = (await client.get(f"http://{process.ready['metrics']}/metrics")).text
    sample = r'predict_duration_seconds_count\{worker="(.)",application="app",outcome="prediction"\} (.*)'
    counted = re.findall(sample, text)
    assert sorted(worker for worker, _ in counted) == ["0", "1"]
    assert sum(float(number) for _, number in counted) == 32
    send(workers[0], signal.SIGKILL)
    async with asyncio.timeout(30):
        while len(set(children(process.pid)) - set(workers)) != 1 or len(house.registry.instances) < 3:
            await asyncio.sleep(0.01)
    for _ in range(8):
        assert (await (await house.stub(process)).Predict(asking(1, 2))).output.number == 3
    alive = children(process.pid)
    assert await asyncio.to_thread(process.stop) == -signal.SIGTERM
    assert not any(Path(f"/proc/{each}").exists() for each in alive)


async def test_workers_end_when_their_parent_is_killed(house: House) -> None:
    process = await house.start("--workers", "2")
    workers = children(process.pid)
    await asyncio.to_thread(process.stop, signal.SIGKILL)
    async with asyncio.timeout(20):
        while any(Path(f"/proc/{each}").exists() for each in workers):
            await asyncio.sleep(0.01)


async def test_workers_do_not_share_a_port_with_another_cluster(house: House) -> None:
    first = await house.start("--workers", "2")
    port = first.address.rpartition(":")[2]
    second = Process(
        module("clipper_frontend", "--manager", house.manager, "--port", port, "--workers", "2"), log=house.log
    )
    await asyncio.to_thread(second.start, wait=False)
    assert await asyncio.to_thread(second.wait) == 7


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def send(pid: int, which: signal.Signals) -> None:
    """Sends a signal to a process of ours."""
    os.kill(pid, which)


def test_help_explains_itself_and_bad_flags_are_named() -> None:
    helped = CliRunner().invoke(main, ["--help"])
    assert helped.exit_code == 0
    for word in ("--manager", "--workers", "Examples:", "CLIPPER_FRONTEND_PORT", "Default: 7000"):
        assert word in helped.output
    assert "--parent-fd" not in helped.output
    for flags, word in (
        (["--port", "99999"], "--port"),
        (["--manager", "nonsense"], "host:port"),
        (["--workers", "0"], "--workers"),
    ):
        bad = CliRunner().invoke(main, flags)
        assert bad.exit_code == 2
        assert word in bad.output
