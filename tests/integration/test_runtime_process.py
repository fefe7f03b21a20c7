"""The runtime as a process: what it serves, what it survives, what it refuses to start with."""

from __future__ import annotations

import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from clipper.model.v1 import model_service_pb2 as pb
from clipper.model.v1 import model_service_pb2_grpc as stubs
from clipper.v1 import values_pb2 as values
from clipper_runtime import save_class, save_function
from processes import Process, free_port, module

SERVICE = "clipper.model.v1.ModelService"
PATIENCE_S = 30.0


class Client:
    """Calls a runtime by the generated stubs."""

    def __init__(self, address: str) -> None:
        self.channel = grpc.insecure_channel(address)
        self.model = stubs.ModelServiceStub(self.channel)  # type: ignore[no-untyped-call]
        self.health = health_pb2_grpc.HealthStub(self.channel)

    def predict(self, *inputs: values.Input, timeout_s: float = PATIENCE_S) -> pb.PredictResponse:
        response: pb.PredictResponse = self.model.Predict(pb.PredictRequest(inputs=inputs), timeout=timeout_s)
        return response

    def is_serving(self, service: str = "") -> bool:
        request = health_pb2.HealthCheckRequest(service=service)
        status = self.health.Check(request, timeout=PATIENCE_S, wait_for_ready=True).status
        return bool(status == health_pb2.HealthCheckResponse.SERVING)


Start = Callable[..., Process]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts runtimes, which end with the test."""
    started: list[Process] = []

    def run(*flags: str, env: dict[str, str] | None = None, wait: bool = True) -> Process:
        arguments = [*flags] if "--manager" in flags else [*flags, "--manager", "none"]
        process = Process(module("clipper_runtime", *arguments), log=tmp_path / f"runtime-{len(started)}.log", env=env)
        started.append(process)
        return process.start(wait=wait)

    yield run
    for process in started:
        process.stop(signal.SIGKILL)


@pytest.fixture
def connect() -> Iterator[Callable[[str], Client]]:
    """Makes clients, which are closed with the test."""
    clients: list[Client] = []

    def make(address: str) -> Client:
        clients.append(Client(address))
        return clients[-1]

    yield make
    for client in clients:
        client.channel.close()


Connect = Callable[[str], Client]


def doubles(*elements: float) -> values.Input:
    return values.Input(doubles=values.Doubles(values=elements))


def saved(tmp_path: Path, func: Callable[[Any], Any], input_type: str = "doubles") -> str:
    place = tmp_path / "model"
    save_function(place, name="m", version=1, input_type=input_type, func=func)
    return str(place)


def picky(inputs: Any) -> list[str]:
    """Sums; hates 13."""
    for row in inputs:
        if 13 in row:
            raise ValueError(f"{row[0]} is unlucky")
    return [str(sum(row)) for row in inputs]


def log_events(process: Process) -> list[dict[str, Any]]:
    return [json.loads(line) for line in process.log.read_text().splitlines() if line.startswith("{")]


def refusal(*flags: str, env: dict[str, str] | None = None) -> tuple[int, str]:
    """Exit code and output of a runtime that does not start."""
    done = subprocess.run(
        module("clipper_runtime", "--manager", "none", *flags),
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_a_scikit_learn_model_answers_as_it_does_at_home(tmp_path: Path, start: Start, connect: Connect) -> None:
    from sklearn.datasets import load_digits
    from sklearn.linear_model import LogisticRegression

    digits = load_digits()
    model = LogisticRegression(max_iter=2000).fit(digits.data[:300], digits.target[:300])
    process = start("--model-dir", saved(tmp_path, lambda inputs: model.predict(inputs)))
    client = connect(process.address)
    response = client.predict(*(doubles(*row) for row in digits.data[300:350]))
    assert [each.output.number for each in response.results] == model.predict(digits.data[300:350]).tolist()
    assert response.model_us > 0
    manifest = json.loads((tmp_path / "model" / "manifest.json").read_text())
    assert "scikit-learn" in manifest["packages"]


def test_it_describes_itself_and_answers_health_and_reflection(tmp_path: Path, start: Start, connect: Connect) -> None:
    process = start("--model-dir", saved(tmp_path, picky))
    client = connect(process.address)
    info = client.model.GetModelInfo(pb.GetModelInfoRequest(), timeout=PATIENCE_S)
    assert (info.model, info.version, info.input_type) == ("m", "1", values.INPUT_TYPE_DOUBLES)
    assert info.runtime.startswith("clipper-runtime ")
    assert client.is_serving()
    assert client.is_serving(SERVICE)
    reflect = reflection_pb2_grpc.ServerReflectionStub(client.channel).ServerReflectionInfo
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    [listing] = list(reflect(iter([request]), timeout=PATIENCE_S))
    names = {each.name for each in listing.list_services_response.service}
    assert {SERVICE, "grpc.health.v1.Health"} <= names
    assert process.ready == {"address": process.address, "metrics": process.ready["metrics"], "pid": process.pid}


def test_a_bad_input_fails_alone_and_the_process_stays(tmp_path: Path, start: Start, connect: Connect) -> None:
    process = start("--model-dir", saved(tmp_path, picky))
    client = connect(process.address)
    inputs = [doubles(1, 2), doubles(13, 0), values.Input(string="what?"), doubles(3, 4, 5), doubles()]
    for _ in range(2):
        results = client.predict(*inputs).results
        assert [each.output.string for each in results] == ["3.0", "", "", "12.0", "0"]
        assert (results[1].error.kind, results[1].error.message) == ("ValueError", "13.0 is unlucky")
        assert results[2].error.kind == "InvalidInput"
    assert process.is_running()
    traces = [each["trace"] for each in log_events(process) if each["event"] == "model_raised"]
    assert len(traces) == 2, "once per batch"
    assert "in picky" in traces[0]


def stubborn(inputs: Any) -> list[str]:
    """Does what a model must not do."""
    match inputs[0]:
        case "exit":
            sys.exit(0)
        case "interrupt":
            raise KeyboardInterrupt
        case "count":
            return []
        case "type":
            return "text"  # type: ignore[return-value]
        case "set":
            return [{1, 2}]  # type: ignore[list-item]
        case text:
            return [f"fine {text}"]


def test_nothing_that_a_model_does_wrong_ends_the_process(tmp_path: Path, start: Start, connect: Connect) -> None:
    process = start("--model-dir", saved(tmp_path, stubborn, "strings"))
    client = connect(process.address)
    kinds = {"exit": "SystemExit", "interrupt": "KeyboardInterrupt", "count": "WrongOutputCount"}
    kinds |= {"type": "WrongOutputType", "set": "UnsupportedOutput"}
    for text, kind in kinds.items():
        [result] = client.predict(values.Input(string=text)).results
        assert result.error.kind == kind
        [result] = client.predict(values.Input(string="again")).results
        assert result.output.string == "fine again"
    assert process.is_running()


@pytest.mark.parametrize(
    ("input_type", "value", "answer"),
    [
        ("integers", values.Input(integers=values.Integers(values=[1, -2])), "ndarray int32 (1, 2)"),
        ("floats", values.Input(floats=values.Floats(values=[1, 2, 3])), "ndarray float32 (1, 3)"),
        ("doubles", values.Input(doubles=values.Doubles(values=[1])), "ndarray float64 (1, 1)"),
        ("bytes", values.Input(bytes=b"ab"), "list bytes 2"),
        ("strings", values.Input(string="äb"), "list str 2"),
        (
            "tensors",
            values.Input(tensor=values.Tensor(data_type=values.DATA_TYPE_UINT8, shape=[2, 2], data=b"abcd")),
            "ndarray uint8 (1, 2, 2)",
        ),
    ],
)
def test_every_input_type_arrives(
    tmp_path: Path, start: Start, connect: Connect, input_type: str, value: values.Input, answer: str
) -> None:
    def describe(inputs: Any) -> list[str]:
        if isinstance(inputs, np.ndarray):
            inputs += 1  # it may be written to
            return [f"ndarray {inputs.dtype} {inputs.shape}"] * len(inputs)
        return [f"list {type(each).__name__} {len(each)}" for each in inputs]

    process = start("--model-dir", saved(tmp_path, describe, input_type))
    [result] = connect(process.address).predict(value).results
    assert result.output.string == answer


def test_a_request_that_makes_no_sense_is_refused(tmp_path: Path, start: Start, connect: Connect) -> None:
    client = connect(start("--model-dir", saved(tmp_path, picky)).address)
    with pytest.raises(grpc.RpcError) as caught:
        client.predict()
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    raw = client.channel.unary_unary(f"/{SERVICE}/Predict")
    with pytest.raises(grpc.RpcError) as caught:
        raw(b"\xff\xff\xff", timeout=PATIENCE_S)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


MODULE = """
import click
from words import LABEL

class Teller:
    max_batch_rows = 7

    def load(self, directory):
        print("loading from", directory.name)
        self.text = (directory / "text.txt").read_text()

    def predict(self, inputs):
        return [f"{LABEL} {self.text} {each}" for each in inputs]

class Broken:
    def load(self, directory):
        raise RuntimeError("cannot read the weights")

    def predict(self, inputs):
        return inputs

class Needy:
    def load(self, directory):
        import no_such_module

    def predict(self, inputs):
        return inputs

class Slow:
    def load(self, directory):
        open(directory / "gate").read()  # a FIFO: waits for the test

    def predict(self, inputs):
        return inputs
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with modules of the user's own."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "teller.py").write_text(MODULE)
    (folder / "words.py").write_text("LABEL = 'it says'\n")
    (folder / "text.txt").write_text("hello")
    return folder


def test_a_class_travels_with_its_module_and_files(
    tmp_path: Path, project: Path, start: Start, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as here:
        here.syspath_prepend(str(project))
        place = tmp_path / "class-model"
        files = {"text.txt": project / "text.txt"}
        save_class(place, name="m", version="1", input_type="strings", model_class="teller:Teller", files=files)
    project.rename(tmp_path / "gone")
    process = start("--model-dir", str(place))
    client = connect(process.address)
    [result] = client.predict(values.Input(string="you")).results
    assert result.output.string == "it says hello you"
    assert client.model.GetModelInfo(pb.GetModelInfoRequest()).max_batch_rows == 7
    assert "loading from class-model" in process.log.read_text(), "what a model prints is in the log"


def test_a_class_is_served_without_a_manifest_by_clippers_own_variables(
    project: Path, start: Start, connect: Connect
) -> None:
    env = {
        "PYTHONPATH": str(project),
        "CLIPPER_MODEL_NAME": "teller",
        "CLIPPER_MODEL_VERSION": "2",
        "CLIPPER_INPUT_TYPE": "string",
        "CLIPPER_MODEL_PATH": str(project),
    }
    client = connect(start("--model-class", "teller:Teller", env=env).address)
    info = client.model.GetModelInfo(pb.GetModelInfoRequest(), timeout=PATIENCE_S)
    assert (info.model, info.version, info.input_type) == ("teller", "2", values.INPUT_TYPE_STRINGS)
    [result] = client.predict(values.Input(string="you")).results
    assert result.output.string == "it says hello you"


def test_while_it_loads_it_is_alive_but_not_ready(
    tmp_path: Path, project: Path, start: Start, connect: Connect
) -> None:
    os.mkfifo(project / "gate")
    port = free_port()
    ready = tmp_path / "model_is_ready.check"
    flags = ["--model-class", "teller:Slow", "--name", "m", "--version", "1", "--input-type", "strings"]
    flags += ["--model-dir", str(project), "--port", str(port), "--ready-file", str(ready)]
    process = start(*flags, env={"PYTHONPATH": str(project)}, wait=False)
    client = connect(f"127.0.0.1:{port}")
    assert not client.is_serving(SERVICE)
    with pytest.raises(grpc.RpcError) as caught:
        client.predict(values.Input(string="early"))
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    assert not ready.exists()
    watch = client.health.Watch(health_pb2.HealthCheckRequest(service=SERVICE), timeout=PATIENCE_S)
    assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
    (project / "gate").write_text("go")
    assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
    watch.cancel()
    [result] = client.predict(values.Input(string="now")).results
    assert result.output.string == "now"
    assert ready.exists()
    assert process.stop() == -signal.SIGTERM


def test_a_signal_ends_it_while_it_loads(project: Path, start: Start, connect: Connect) -> None:
    os.mkfifo(project / "gate")
    port = free_port()
    flags = ["--model-class", "teller:Slow", "--name", "m", "--version", "1", "--model-dir", str(project)]
    process = start(*flags, "--port", str(port), env={"PYTHONPATH": str(project)}, wait=False)
    assert not connect(f"127.0.0.1:{port}").is_serving()
    assert process.stop() == -signal.SIGTERM


class Payload:
    """Leaves a trace when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.trace),)


def test_a_tampered_model_is_refused_before_it_is_unpickled(tmp_path: Path) -> None:
    place = Path(saved(tmp_path, picky))
    trace = tmp_path / "trace"
    payload = pickle.dumps(Payload(trace))
    size = (place / "func.pkl").stat().st_size
    (place / "func.pkl").write_bytes(payload.ljust(size, b"\0"))  # same size: only the digest tells
    code, output = refusal("--model-dir", str(place))
    assert code == 4
    assert "func.pkl: is not what was saved: its SHA-256 is" in output
    assert not trace.exists()
    pickle.loads(payload)
    assert trace.exists(), "the payload works"


def test_another_environment_is_refused_with_both_versions_or_only_told(
    tmp_path: Path, start: Start, connect: Connect
) -> None:
    place = Path(saved(tmp_path, picky))
    manifest = json.loads((place / "manifest.json").read_text())
    manifest["packages"]["numpy"] = "1.26.4"
    (place / "manifest.json").write_text(json.dumps(manifest))
    code, output = refusal("--model-dir", str(place))
    assert code == 5
    assert f"numpy 1.26.4, but {np.__version__} is installed" in output
    process = start("--model-dir", str(place), "--no-environment-check")
    assert connect(process.address).is_serving()
    assert any(each["event"] == "environment_differs" for each in log_events(process))


CLASS_FLAGS = ("--name", "m", "--version", "1")


@pytest.mark.parametrize(
    ("name", "code", "problem"),
    [
        ("teller:Broken", 6, "the model's code raised RuntimeError: cannot read the weights"),
        ("teller:Needy", 3, "No module named 'no_such_module'"),
        ("nowhere:Model", 3, "No module named 'nowhere'"),
        ("teller:Nothing", 6, "AttributeError"),
    ],
)
def test_a_model_that_cannot_be_loaded_ends_with_its_own_exit_code(
    project: Path, name: str, code: int, problem: str
) -> None:
    found, output = refusal("--model-class", name, *CLASS_FLAGS, env={"PYTHONPATH": str(project)})
    assert found == code
    assert problem in output


def test_a_directory_without_a_manifest_a_taken_port_and_wrong_flags_have_their_own_exit_codes(tmp_path: Path) -> None:
    code, output = refusal("--model-dir", str(tmp_path))
    assert (code, "has no manifest.json" in output) == (4, True)
    place = saved(tmp_path, picky)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        code, output = refusal("--model-dir", place, "--port", str(taken.getsockname()[1]))
    assert (code, "cannot listen on" in output) == (7, True)
    code, output = refusal("--model-dir", place, "--name", "another")
    assert (code, "--name says another, the manifest in" in output) == (2, True)


def test_several_calls_in_flight_are_answered_in_order_and_a_hang_does_not_keep_it(
    tmp_path: Path, start: Start, connect: Connect
) -> None:
    """Calls queue behind one that hangs; on SIGTERM the process waits for its grace, then goes."""
    gate, begun = tmp_path / "gate", tmp_path / "begun"
    os.mkfifo(gate)
    os.mkfifo(begun)

    def gated(inputs: Any) -> list[str]:
        if inputs[0] == "wait":
            begun.write_text("x")
            gate.read_text()
        return [f"{text}!" for text in inputs]

    process = start("--model-dir", saved(tmp_path, gated, "strings"), "--grace-s", "0.2")
    client = connect(process.address)

    def ask(text: str) -> Any:
        request = pb.PredictRequest(inputs=[values.Input(string=text)])
        return client.model.Predict.future(request, timeout=PATIENCE_S)

    first = ask("wait")
    begun.read_text()
    others = [ask("a"), ask("b")]
    assert client.is_serving(), "health answers while the model computes"
    assert not any(each.done() for each in (first, *others))
    gate.write_text("go")
    assert [each.result().results[0].output.string for each in (first, *others)] == ["wait!", "a!", "b!"]

    hanging = ask("wait")
    begun.read_text()
    assert process.stop() == -signal.SIGTERM
    assert isinstance(hanging.exception(PATIENCE_S), grpc.RpcError)


def test_answers_from_many_threads_never_get_mixed_up(tmp_path: Path, start: Start, connect: Connect) -> None:
    process = start("--model-dir", saved(tmp_path, lambda inputs: inputs.sum(axis=1)), "--threads", "4")
    client = connect(process.address)
    wrong: list[object] = []

    def ask(number: int) -> None:
        for step in range(50):
            wanted = [number * 1000.0 + step + row for row in range(1 + step % 12)]
            found = [each.output.number for each in client.predict(*(doubles(each, 0) for each in wanted)).results]
            if found != wanted:
                wrong.append((wanted, found))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert not wrong


def watched(inputs: Any) -> list[str]:
    """Counts what it sees; hates 13."""
    from clipper_admin.metrics import add_metric, report_metric

    add_metric("rows_seen", "Counter", "Rows that the model has seen")
    report_metric("rows_seen", len(inputs))
    return picky(inputs)


def test_it_tells_what_it_computed_and_what_its_model_counts(tmp_path: Path, start: Start, connect: Connect) -> None:
    process = start("--model-dir", saved(tmp_path, watched))
    client = connect(process.address)
    client.predict(doubles(1), doubles(2), doubles(4))
    client.predict(doubles(13))
    text = httpx.get(f"http://{process.ready['metrics']}/metrics").text
    told = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert float(told["rows_seen_total"]) == 4
    assert float(told['clipper_runtime_predictions_total{model="m",version="1"}']) == 3
    assert float(told['clipper_runtime_errors_total{kind="ValueError",model="m",version="1"}']) == 1
    assert float(told['clipper_runtime_batch_size_bucket{le="4.0",model="m",version="1"}']) == 2
    assert float(told["clipper_mc_pred_total"]) == 3
    assert float(told["clipper_mc_handle_time_ms_count"]) == 2
    assert "process_resident_memory_bytes" in told


def test_metrics_can_be_off(tmp_path: Path, start: Start) -> None:
    assert start("--model-dir", saved(tmp_path, picky), "--metrics-port", "-1").ready["metrics"] == ""


def test_a_request_is_named_in_all_that_its_batch_logs(tmp_path: Path, start: Start, connect: Connect) -> None:
    process = start("--model-dir", saved(tmp_path, picky), "--log-level", "debug")
    request = pb.PredictRequest(inputs=[doubles(13)])
    connect(process.address).model.Predict(request, metadata=(("x-request-id", "order-66"),), timeout=PATIENCE_S)
    connect(process.address).predict(doubles(13))
    named = [(each["event"], each.get("request_id")) for each in log_events(process)]
    assert ("batch", "order-66") in named
    assert [who for event, who in named if event == "model_raised"] == ["order-66", None]
