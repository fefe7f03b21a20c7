"""Messages of clipper.v1 to the plain values of `clipper_admin.resources`, and back where they are sent."""

from __future__ import annotations

from datetime import UTC, datetime

from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToDict
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import status_pb2

from clipper.v1 import admin_pb2, inspect_pb2, predict_pb2, trial_pb2
from clipper_admin.convert.values import from_output, to_output
from clipper_admin.resources import (
    Application,
    Contribution,
    Description,
    Explanation,
    Failure,
    Instance,
    Link,
    Model,
    ModelVersion,
    Part,
    Prediction,
    Replica,
    Timing,
)
from clipper_rpc.errors import ClipperError, Code
from clipper_rpc.status import from_status
from clipper_rpc.transport import Status
from clipper_runtime.names import InputType

_INPUT_TYPES = {each.number: each for each in InputType}


def application_message(application: Application) -> admin_pb2.Application:
    """An application to be created."""
    seconds, micros = divmod(application.objective_us, 10**6)
    return admin_pb2.Application(
        name=application.name,
        input_type=application.input_type.number,  # type: ignore[arg-type]  # the enum's number
        default_output=to_output(application.default_output) if application.has_default_output else None,
        latency_objective=Duration(seconds=seconds, nanos=micros * 1000),
        selection_policy={"name": application.policy, "parameters": dict(application.policy_parameters)},
        confidence_threshold=application.confidence_threshold,
    )


def model_version_message(version: ModelVersion) -> admin_pb2.ModelVersion:
    """A version to be registered."""
    batching = admin_pb2.Batching()
    if version.max_batch_rows:
        batching.policy, batching.max_batch_rows = admin_pb2.Batching.POLICY_FIXED, version.max_batch_rows
    return admin_pb2.ModelVersion(
        model=version.model,
        version=version.version,
        input_type=version.input_type.number,  # type: ignore[arg-type]  # the enum's number
        labels=version.labels,
        image=version.image,
        data_path=version.data_path,
        batching=batching,
        no_cache=version.no_cache,
    )


def application(found: admin_pb2.Application) -> Application:
    """An application as it is stored."""
    has_default = found.HasField("default_output")
    return Application(
        name=found.name,
        input_type=_INPUT_TYPES[found.input_type],
        objective_us=found.latency_objective.ToMicroseconds(),
        has_default_output=has_default,
        default_output=from_output(found.default_output) if has_default else None,
        policy=found.selection_policy.name or "static",
        policy_parameters=MessageToDict(found.selection_policy.parameters),
        confidence_threshold=found.confidence_threshold,
        links=tuple(Link(link.model, link.weight, link.shadow) for link in found.links),
        created=_time(found.create_time),
    )


def model(found: admin_pb2.Model) -> Model:
    """A model as it is stored."""
    return Model(
        name=found.name,
        input_type=_INPUT_TYPES.get(found.input_type),
        current_version=found.current_version,
        linked_applications=tuple(found.linked_applications),
        canary_version=found.canary_version,
        canary_share=found.canary_share,
    )


def model_version(found: admin_pb2.ModelVersion) -> ModelVersion:
    """A version as it is stored."""
    return ModelVersion(
        model=found.model,
        version=found.version,
        input_type=_INPUT_TYPES[found.input_type],
        labels=tuple(found.labels),
        image=found.image,
        data_path=found.data_path,
        max_batch_rows=found.batching.max_batch_rows,
        no_cache=found.no_cache,
        is_current=found.state == admin_pb2.ModelVersion.STATE_ACTIVE,
        created=_time(found.create_time),
    )


def replica(found: admin_pb2.Replica) -> Replica:
    """A replica as it has registered."""
    return Replica(
        model=found.model,
        version=found.version,
        replica_id=found.replica_id,
        address=found.address,
        input_type=_INPUT_TYPES[found.input_type],
        host=found.host,
        runtime=found.runtime,
        created=_time(found.create_time),
    )


def instance(found: admin_pb2.Instance) -> Instance:
    """A process as it has registered."""
    return Instance(
        kind=admin_pb2.Instance.Kind.Name(found.kind).removeprefix("KIND_").lower(),
        instance_id=found.instance_id,
        address=found.address,
        build=found.build,
        created=_time(found.create_time),
    )


def description(found: predict_pb2.DescribeApplicationResponse) -> Description:
    """What a frontend tells of an application."""
    return Description(
        application=found.application,
        input_type=_INPUT_TYPES[found.input_type],
        objective_us=found.latency_objective.ToMicroseconds(),
        has_default_output=found.has_default_output,
        models=tuple(found.models),
    )


def prediction(found: predict_pb2.PredictResponse) -> Prediction:
    """One answer."""
    return Prediction(
        query_id=found.query_id,
        output=from_output(found.output),
        default=found.default,
        default_reason=_reason(found.default_reason),
        default_explanation=found.default_explanation,
        confidence=found.confidence,
        timing=_timing(found.timing) if found.HasField("timing") else None,
        contributions=tuple(map(_contribution, found.contributions)),
    )


def explanation(found: inspect_pb2.ExplainQueryResponse) -> Explanation:
    """What happened to a query."""
    return Explanation(
        query_id=found.query_id,
        application=found.application,
        answered_at=_time(found.answer_time),
        outcome=inspect_pb2.ExplainQueryResponse.Outcome.Name(found.outcome).removeprefix("OUTCOME_").lower(),
        reason=_reason(found.reason),
        explanation=found.explanation,
        error_reason=found.error_reason,
        objective_us=found.objective_us,
        deadline_us=found.deadline_us,
        timing=_timing(found.timing),
        confidence=found.confidence,
        parts=tuple(map(_part, found.contributions)),
        lost_replicas=found.lost_replicas,
    )


def batch_result(found: predict_pb2.PredictBatchResult) -> Prediction | ClipperError:
    """The outcome of one input of a batch."""
    if found.WhichOneof("outcome") == "error":
        return error(found.error)
    return prediction(found.prediction)


def answer(found: trial_pb2.ModelVersionAnswer) -> object:
    """What a version answered: a value, or a Failure."""
    if found.WhichOneof("outcome") == "failure":
        return Failure(found.failure.kind, found.failure.message)
    return from_output(found.output)


def error(found: status_pb2.Status) -> ClipperError:
    """The error that a status within a message stands for."""
    return from_status(Status(Code(found.code), found.message, found.SerializeToString()))


def _part(found: inspect_pb2.ExplainedContribution) -> Part:
    return Part(
        contribution=_contribution(found.contribution),
        reason=_reason(found.reason),
        explanation=found.explanation,
        timing=_timing(found.timing) if found.HasField("timing") else None,
        hedged=found.hedged,
        lost_replicas=found.lost_replicas,
    )


def _contribution(found: predict_pb2.Contribution) -> Contribution:
    return Contribution(
        found.model, found.version, found.weight, found.latency_us, found.replica_id, found.cached, found.joined
    )


def _reason(number: int) -> str:
    """The name of a DefaultReason; empty for none."""
    if not number:
        return ""
    known = predict_pb2.DefaultReason.DESCRIPTOR.values_by_number.get(number)
    return known.name.removeprefix("DEFAULT_REASON_") if known is not None else str(number)


def _timing(found: predict_pb2.Timing) -> Timing:
    return Timing(found.queue_us, found.linger_us, found.batch_rows, found.model_us, found.network_us, found.total_us)


def _time(found: Timestamp) -> datetime | None:
    return found.ToDatetime(UTC) if found.seconds else None
