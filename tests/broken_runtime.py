"""A ModelService in a few lines, right unless told to be wrong in a certain way: what `runtime check` is tried on."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from clipper.model.v1 import model_service_pb2 as pb
from clipper.model.v1 import model_service_pb2_grpc as stubs
from clipper.v1 import values_pb2 as values

SERVICE = "clipper.model.v1.ModelService"
LARGE = 64 * 1024 * 1024


class Runtime(stubs.ModelServiceServicer):
    """Sums vectors; refuses whatever has -99 in it."""

    def __init__(self, *faults: str) -> None:
        self.faults = set(faults)

    def GetModelInfo(self, request: pb.GetModelInfoRequest, context: Any) -> pb.GetModelInfoResponse:
        if "unnamed" in self.faults:
            return pb.GetModelInfoResponse(input_type=values.INPUT_TYPE_DOUBLES)
        return pb.GetModelInfoResponse(model="sum", version="1", input_type=values.INPUT_TYPE_DOUBLES, runtime="test")

    def Predict(self, request: pb.PredictRequest, context: Any) -> pb.PredictResponse:
        if not request.inputs and "takes no inputs" not in self.faults:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "a batch has at least one input")
        results = [self._result(each, context) for each in request.inputs]
        if "reversed" in self.faults:
            results.reverse()
        if "loses the last" in self.faults:
            del results[3:]
        return pb.PredictResponse(results=results)

    def _result(self, given: values.Input, context: Any) -> pb.PredictResult:
        problem = "takes doubles" if given.WhichOneof("value") != "doubles" else ""
        if -99 in given.doubles.values:
            problem = "cannot take -99"
        if problem and "fails together" in self.faults:
            context.abort(grpc.StatusCode.INTERNAL, problem)
        if problem and "takes anything" not in self.faults:
            text = problem * 100 if "talks" in self.faults else problem
            return pb.PredictResult(error=pb.PredictError(kind="ValueError", message=text))
        if "says nothing" in self.faults:
            return pb.PredictResult()
        return pb.PredictResult(output=values.Output(number=sum(given.doubles.values)))


@contextmanager
def serving(*faults: str) -> Iterator[str]:
    """Serves one, and gives its address."""
    options = [] if "default limits" in faults else [("grpc.max_receive_message_length", LARGE)]
    server = grpc.server(ThreadPoolExecutor(4), options=options)
    stubs.add_ModelServiceServicer_to_server(Runtime(*faults), server)  # type: ignore[no-untyped-call]
    if "without health" not in faults:
        status = health_pb2.HealthCheckResponse
        checks = health.HealthServicer()
        checks.set("", status.NOT_SERVING if "not serving" in faults else status.SERVING)
        checks.set(SERVICE, status.SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()
