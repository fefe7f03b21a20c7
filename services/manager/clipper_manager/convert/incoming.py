"""Messages to values. What a message must have to become a value is checked here; all else in `checks`."""

from __future__ import annotations

import json
import math

from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToDict

from clipper.registry.v1 import registry_pb2
from clipper.v1 import admin_pb2, values_pb2
from clipper_manager.changes import Changes, Decision, Wanted
from clipper_manager.convert import numbers
from clipper_manager.resources import (
    DEFAULT_OBJECTIVE_NS,
    Application,
    Batching,
    InputType,
    Instance,
    InstanceKind,
    ModelVersion,
    Replica,
    SelectionPolicy,
)
from clipper_rpc.errors import InvalidField

_ELEMENT_BYTES = {
    values_pb2.DATA_TYPE_BOOL: 1,
    values_pb2.DATA_TYPE_UINT8: 1,
    values_pb2.DATA_TYPE_UINT16: 2,
    values_pb2.DATA_TYPE_UINT32: 4,
    values_pb2.DATA_TYPE_UINT64: 8,
    values_pb2.DATA_TYPE_INT8: 1,
    values_pb2.DATA_TYPE_INT16: 2,
    values_pb2.DATA_TYPE_INT32: 4,
    values_pb2.DATA_TYPE_INT64: 8,
    values_pb2.DATA_TYPE_FLOAT16: 2,
    values_pb2.DATA_TYPE_FLOAT32: 4,
    values_pb2.DATA_TYPE_FLOAT64: 8,
}


def input_type(field: str, number: int) -> InputType:
    """The input type of that number; InvalidField if there is none."""
    found = numbers.INPUT_TYPES.get(number)  # type: ignore[call-overload]  # enum numbers are plain integers
    if found is None:
        given = "required" if number == 0 else f"{number} is not known"
        raise InvalidField(field=field, problem=f"{given}; one of {', '.join(InputType)}")
    return InputType(found)


def to_application(message: admin_pb2.Application) -> Application:
    """An application as a caller wants it; its input type must be set."""
    if message.links:
        raise InvalidField(field="application.links", problem="must be empty; link models once it is created")
    return _application(message, input_type("application.input_type", message.input_type))


def to_update(message: admin_pb2.Application) -> tuple[Application, InputType | None]:
    """An application as a caller wants it to be, and the input type if that is set."""
    wanted = input_type("application.input_type", message.input_type) if message.input_type else None
    return _application(message, wanted or InputType.BYTES), wanted


def _application(message: admin_pb2.Application, of_type: InputType) -> Application:
    objective_ns = DEFAULT_OBJECTIVE_NS
    if message.HasField("latency_objective"):
        objective_ns = to_ns(message.latency_objective)
    return Application(
        name=message.name,
        input_type=of_type,
        default_output=_output(message.default_output) if message.HasField("default_output") else None,
        latency_objective_ns=objective_ns,
        selection_policy=_policy(message.selection_policy),
        confidence_threshold=message.confidence_threshold,
        revision=message.revision,
    )


def _policy(message: admin_pb2.SelectionPolicy) -> SelectionPolicy:
    try:
        parameters = MessageToDict(message.parameters)
    except ValueError as error:
        raise InvalidField(field="application.selection_policy.parameters", problem=str(error)) from None
    return SelectionPolicy(message.name, json.dumps(parameters, sort_keys=True))


def _output(message: values_pb2.Output) -> bytes:
    problem = ""
    match message.WhichOneof("value"):
        case None:
            problem = 'no value is set; set one, for example {"string": "-1.0"}, or leave default_output out'
        case "number" if not math.isfinite(message.number):
            problem = f"is {message.number}, which JSON has no number for; set a text, or doubles"
        case "json":
            try:
                json.loads(message.json, parse_constant=_no_json)
            except (ValueError, RecursionError) as error:
                problem = f"its json does not parse: {error}"
        case "tensor":
            problem = _tensor_problem(message.tensor)
    if problem:
        raise InvalidField(field="application.default_output", problem=problem)
    return message.SerializeToString(deterministic=True)


def _no_json(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def _tensor_problem(tensor: values_pb2.Tensor) -> str:
    element_bytes = _ELEMENT_BYTES.get(tensor.data_type)
    if element_bytes is None:
        return "its tensor has no data type that is known"
    if any(length < 0 for length in tensor.shape):
        return "its tensor has an axis of negative length"
    wanted = math.prod(tensor.shape) * element_bytes
    if len(tensor.data) != wanted:
        return f"its tensor has {len(tensor.data)} bytes; its shape and type make {wanted}"
    return ""


def to_model_version(message: admin_pb2.ModelVersion) -> ModelVersion:
    """A version as a caller wants it; its input type must be set."""
    return _model_version(message, input_type("model_version.input_type", message.input_type))


def to_version_update(message: admin_pb2.ModelVersion) -> tuple[ModelVersion, InputType | None]:
    """A version as a caller wants it to be, and the input type if that is set."""
    wanted = input_type("model_version.input_type", message.input_type) if message.input_type else None
    return _model_version(message, wanted or InputType.BYTES), wanted


def _model_version(message: admin_pb2.ModelVersion, of_type: InputType) -> ModelVersion:
    policy = numbers.BATCH_POLICIES.get(message.batching.policy)
    if policy is None:
        raise InvalidField(field="model_version.batching.policy", problem=f"{message.batching.policy} is not known")
    return ModelVersion(
        model=message.model,
        version=message.version,
        input_type=of_type,
        labels=tuple(message.labels),
        image=message.image,
        data_path=message.data_path,
        batching=Batching(
            policy=policy,
            max_batch_rows=message.batching.max_batch_rows,
            linger_ns=to_ns(message.batching.linger),
            max_queue_rows=message.batching.max_queue_rows,
            max_batches_in_flight=message.batching.max_batches_in_flight,
            no_retry=message.batching.no_retry,
            hedge_percent=message.batching.hedge_percent,
        ),
        no_cache=message.no_cache,
        revision=message.revision,
    )


def to_change(message: admin_pb2.Change) -> Wanted:
    """A change as a caller wants it. What is wrong with it shows once it is called."""

    def decide(changes: Changes) -> Decision[object]:
        match message.WhichOneof("change"):
            case "create_application":
                return changes.create_application(to_application(message.create_application.application))
            case "update_application":
                return changes.update_application(*to_update(message.update_application.application))
            case "delete_application":
                return changes.delete_application(message.delete_application.application)
            case "link_model":
                link = message.link_model
                return changes.link_model(
                    link.application, link.model, link.weight, shadow=link.shadow, shadow_share=link.shadow_share
                )
            case "unlink_model":
                return changes.unlink_model(message.unlink_model.application, message.unlink_model.model)
            case "create_model_version":
                new = message.create_model_version
                return changes.create_version(to_model_version(new.model_version), activate=new.activate)
            case "update_model_version":
                return changes.update_version(*to_version_update(message.update_model_version.model_version))
            case "activate_model_version":
                chosen = message.activate_model_version
                return changes.activate_version(chosen.model, chosen.version, chosen.share)
            case "delete_model_version":
                old = message.delete_model_version
                return changes.delete_version(old.model, old.version, force=old.force)
            case _:
                raise InvalidField(field="changes", problem="one of them says nothing that is known here")

    return decide


def to_replica(message: registry_pb2.RegisterReplicaRequest) -> Replica:
    """A replica as it presents itself; number and lease are still to come."""
    return Replica(
        model=message.model,
        version=message.version,
        replica_id=0,
        address=message.address,
        input_type=input_type("input_type", message.input_type),
        lease_id="",
        host=message.host,
        runtime=message.runtime,
    )


def to_instance(message: admin_pb2.Instance) -> Instance:
    """A process as it presents itself; its lease is still to come."""
    kind = numbers.KINDS.get(message.kind)
    if kind is None:
        raise InvalidField(field="instance.kind", problem=f"required; one of {', '.join(InstanceKind)}")
    return Instance(
        kind=kind,
        instance_id=message.instance_id,
        address=message.address,
        lease_id="",
        build=message.build,
        create_time_ns=message.create_time.seconds * 10**9 + message.create_time.nanos,
    )


def to_ns(duration: Duration) -> int:
    """A duration in nanoseconds."""
    return duration.seconds * 10**9 + duration.nanos
