"""A Go client and a Python client, each made from the protos alone, get the same answers from a real frontend."""

from __future__ import annotations

import json
import math
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from gateways import Chain, chain
from google.protobuf import json_format
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from clipper.v1 import predict_pb2, predict_pb2_grpc, values_pb2
from processes import RedisServer

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60.0


def feature_sum(xs: Any) -> list[Any]:
    if any(len(x) == 1 and x[0] == 13 for x in xs):
        raise ValueError("thirteen")
    return [float(sum(x)) for x in xs]


def shapes(xs: Any) -> list[Any]:
    import numpy as np

    every = {"vector": np.arange(3.0), "matrix": np.eye(2, dtype=np.float32), "json": {"a": [1]}, "bytes": b"\x00\xff"}
    return [every.get(x, x) for x in xs]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    directory = tmp_path_factory.mktemp("clients")
    redis = RedisServer(directory)
    redis.start()
    try:
        with chain(directory, redis.url) as made:
            made.deploy("hello-world", feature_sum)
            made.deploy("words", shapes, input_type="strings")
            made.serves("hello-world", {"input": [1]})
            made.serves("words", {"input": "x"})
            yield made
    finally:
        redis.kill()


@pytest.fixture(scope="module")
def go_client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Go client, compiled."""
    binary = tmp_path_factory.mktemp("go") / "clienttest"
    subprocess.run([ROOT / "tools/go", "build", "-o", binary, "./clienttest"], check=True, timeout=600)
    return binary


def ask_with_go(client: Path, frontend: str, request: predict_pb2.PredictBatchRequest) -> dict[str, Any]:
    text = json_format.MessageToJson(request)
    done = subprocess.run(
        [client, "--frontend", frontend], input=text, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert done.returncode == 0, done.stderr
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen


def ask_with_python(frontend: str, request: predict_pb2.PredictBatchRequest) -> dict[str, Any]:
    with grpc.insecure_channel(frontend) as channel:
        stub = predict_pb2_grpc.PredictServiceStub(channel)  # type: ignore[no-untyped-call]
        ask = predict_pb2.DescribeApplicationRequest(application=request.application)
        described = stub.DescribeApplication(ask, timeout=PATIENCE_S)
        singles = [predict_pb2.PredictRequest(application=request.application, input=each) for each in request.inputs]
        tagged = [predict_pb2.PredictStreamRequest(tag=tag, request=each) for tag, each in enumerate(singles)]
        unknown = predict_pb2.PredictRequest(application="no-such-application", input=values_pb2.Input())
        health = health_pb2_grpc.HealthStub(channel).Check(
            health_pb2.HealthCheckRequest(service="clipper.v1.PredictService"), timeout=PATIENCE_S
        )
        listed = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(
            iter([reflection_pb2.ServerReflectionRequest(list_services="")]), timeout=PATIENCE_S
        )
        return {
            "input_type": values_pb2.InputType.Name(described.input_type),
            "objective": f"{described.latency_objective.ToTimedelta().total_seconds():g}s",
            "single": [called(stub, each) for each in singles],
            "batch": batched(stub, request),
            "stream": {str(each.tag): outcome(each) for each in stub.PredictStream(iter(tagged), timeout=PATIENCE_S)},
            "unknown_application": called(stub, unknown)["error"],
            "health": health_pb2.HealthCheckResponse.ServingStatus.Name(health.status),
            "services": sorted(each.name for each in next(listed).list_services_response.service),
        }


def called(stub: Any, request: predict_pb2.PredictRequest) -> dict[str, Any]:
    try:
        return answered(stub.Predict(request, timeout=PATIENCE_S))
    except grpc.RpcError as error:
        return failed(status_of(error))


def batched(stub: Any, request: predict_pb2.PredictBatchRequest) -> list[dict[str, Any]]:
    try:
        return [outcome(each) for each in stub.PredictBatch(request, timeout=PATIENCE_S).results]
    except grpc.RpcError as error:
        return [failed(status_of(error))]


def status_of(error: grpc.RpcError) -> status_pb2.Status:
    assert isinstance(error, grpc.Call)
    details = dict(error.trailing_metadata() or ())["grpc-status-details-bin"]
    status: status_pb2.Status = status_pb2.Status.FromString(details)
    return status


def outcome(result: predict_pb2.PredictBatchResult | predict_pb2.PredictStreamResponse) -> dict[str, Any]:
    return failed(result.error) if result.WhichOneof("outcome") == "error" else answered(result.prediction)


def failed(status: Any) -> dict[str, Any]:
    """As Go's status prints it: the code in CamelCase, and the reason."""
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    code = next(each.name for each in grpc.StatusCode if each.value[0] == status.code)
    error = f"{code.title().replace('_', '')} {info.reason}"
    return {"default": False, "reason": "", "explanation": "", "models": None, "has_id": False, "error": error}


def answered(answer: predict_pb2.PredictResponse) -> dict[str, Any]:
    return {
        "output": json_format.MessageToDict(answer.output, preserving_proto_field_name=False),
        "default": answer.default,
        "reason": predict_pb2.DefaultReason.Name(answer.default_reason),
        "explanation": answer.default_explanation,
        "models": [f"{each.model}:{each.version}" for each in answer.contributions],
        "has_id": 0 < answer.query_id < 2**53,
    }


def test_numbers_get_the_same_answers_in_go_and_python(served: Chain, go_client: Path) -> None:
    vectors = [[1.1, 2.2, 3.3], [], [1e300, -0.5], [0.1] * 1000, [13.0]]
    inputs = [values_pb2.Input(doubles=values_pb2.Doubles(values=each)) for each in vectors]
    request = predict_pb2.PredictBatchRequest(application="hello-world", inputs=inputs)
    in_python = ask_with_python(served.frontend.address, request)
    assert ask_with_go(go_client, served.frontend.address, request) == in_python
    assert [each["default"] for each in in_python["single"]] == [False] * 4 + [True]
    assert math.isclose(in_python["single"][0]["output"]["number"], 6.6)
    assert in_python["single"] == in_python["batch"]
    assert in_python["single"] == [in_python["stream"][str(tag)] for tag in range(len(vectors))]
    assert in_python["unknown_application"] == "NotFound APPLICATION_NOT_FOUND"
    assert in_python["health"] == "SERVING"
    assert {"clipper.v1.PredictService", "clipper.v1.FeedbackService", "grpc.health.v1.Health"} <= set(
        in_python["services"]
    )
    assert in_python["objective"] == "5s"


def test_every_kind_of_output_is_the_same_in_go_and_python(served: Chain, go_client: Path) -> None:
    words = ["vector", "matrix", "json", "bytes", "é\U0001f600", ""]
    request = predict_pb2.PredictBatchRequest(application="words", inputs=[values_pb2.Input(string=w) for w in words])
    in_python = ask_with_python(served.frontend.address, request)
    assert ask_with_go(go_client, served.frontend.address, request) == in_python
    kinds = [next(iter(each["output"])) for each in in_python["batch"]]
    assert kinds == ["doubles", "tensor", "json", "bytes", "string", "string"]


def test_errors_are_the_same_in_go_and_python(served: Chain, go_client: Path) -> None:
    inputs = [values_pb2.Input(string="x"), values_pb2.Input(bytes=b"x")]
    request = predict_pb2.PredictBatchRequest(application="words", inputs=inputs)
    in_python = ask_with_python(served.frontend.address, request)
    assert ask_with_go(go_client, served.frontend.address, request) == in_python
    assert in_python["single"][0]["output"] == {"string": "x"}
    assert in_python["single"][1]["error"] == "InvalidArgument INPUT_TYPE_MISMATCH"
