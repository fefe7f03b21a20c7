"""Processes that a model starts: they live, whatever transport the runtime has."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest
from wires import TRANSPORTS

from clipper.model.v1 import model_service_pb2 as pb
from clipper.model.v1 import model_service_pb2_grpc as stubs
from clipper.v1 import values_pb2 as values
from processes import module, running

MODEL = """
import subprocess

class Parent:
    def predict(self, inputs):
        # As Spark starts Java: code of Python's runs in the child before the exec.
        ends = [subprocess.Popen(["true"], preexec_fn=lambda: None).wait() for _ in range(60)]
        return [str(sum(map(bool, ends))) for _ in inputs]
"""


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_processes_that_a_model_starts_reach_their_exec(tmp_path: Path, transport: str) -> None:
    (tmp_path / "parent.py").write_text(MODEL)
    flags = ["--model-class", "parent:Parent", "--name", "m", "--version", "1", "--input-type", "strings"]
    flags += ["--manager", "none", "--transport", transport]
    command = module("clipper_runtime", *flags)
    with (
        running(command, log=tmp_path / "runtime.log", env={"PYTHONPATH": str(tmp_path)}) as process,
        grpc.insecure_channel(process.address) as channel,
    ):
        stub = stubs.ModelServiceStub(channel)  # type: ignore[no-untyped-call]
        [result] = stub.Predict(pb.PredictRequest(inputs=[values.Input(string="")]), timeout=60).results
    assert result.output.string == "0"
