"""Questions to a version, and its answers."""

from __future__ import annotations

from clipper.model.v1 import model_service_pb2
from clipper.v1 import trial_pb2
from clipper_manager import checks
from clipper_rpc.errors import InvalidField

_DEFAULT_TIMEOUT_S = 10.0
_LONGEST_TIMEOUT_S = 600.0
_MOST_INPUTS = 1000


def to_timeout_s(request: trial_pb2.AskModelVersionRequest) -> float:
    """How long the version may take, for a question that can be asked; InvalidField for one that cannot."""
    checks.name("model", request.model)
    checks.version("version", request.version)
    if not 1 <= len(request.inputs) <= _MOST_INPUTS:
        raise InvalidField(field="inputs", problem=f"has {len(request.inputs)} inputs; give 1 to {_MOST_INPUTS}")
    if not request.HasField("timeout"):
        return _DEFAULT_TIMEOUT_S
    timeout_s = request.timeout.seconds + request.timeout.nanos / 1e9
    if not 0 < timeout_s <= _LONGEST_TIMEOUT_S:
        raise InvalidField(field="timeout", problem=f"is {timeout_s:g} s; it is above 0, at most 10 minutes")
    return timeout_s


def from_result(result: model_service_pb2.PredictResult) -> trial_pb2.ModelVersionAnswer:
    """The answer to one input."""
    if result.HasField("output"):
        return trial_pb2.ModelVersionAnswer(output=result.output)
    failure = trial_pb2.ModelVersionFailure(kind=result.error.kind, message=result.error.message)
    return trial_pb2.ModelVersionAnswer(failure=failure)
