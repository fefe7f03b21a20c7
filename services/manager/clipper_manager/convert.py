"""Messages to values and back. What a message must have to become a value is checked here; all else in `checks`."""

from __future__ import annotations

import json
import math

from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToDict
from google.protobuf.timestamp_pb2 import Timestamp

from clipper.registry.v1 import registry_pb2
from clipper.v1 import admin_pb2, values_pb2
from clipper_manager.feed import Step, Whole
from clipper_manager.registry import ModelView
from clipper_manager.resources import (
    DEFAULT_OBJECTIVE_NS,
    Application,
    Batching,
    BatchPolicy,
    Entity,
    InputType,
    Instance,
    InstanceKind,
    Link,
    Model,
    ModelVersion,
    Replica,
    SelectionPolicy,
    VersionState,
    kind_of,
)
from clipper_rpc.errors import InvalidField

_TYPES = {
    values_pb2.INPUT_TYPE_BYTES: InputType.BYTES,
    values_pb2.INPUT_TYPE_INTEGERS: InputType.INTEGERS,
    values_pb2.INPUT_TYPE_FLOATS: InputType.FLOATS,
    values_pb2.INPUT_TYPE_DOUBLES: InputType.DOUBLES,
    values_pb2.INPUT_TYPE_STRINGS: InputType.STRINGS,
    values_pb2.INPUT_TYPE_TENSORS: InputType.TENSORS,
}
_TYPE_NUMBERS = {value: number for number, value in _TYPES.items()}
_BATCH_POLICIES = {
    admin_pb2.Batching.POLICY_UNSPECIFIED: BatchPolicy.DEFAULT,
    admin_pb2.Batching.POLICY_FIXED: BatchPolicy.FIXED,
    admin_pb2.Batching.POLICY_AIMD: BatchPolicy.AIMD,
    admin_pb2.Batching.POLICY_QUANTILE: BatchPolicy.QUANTILE,
}
_BATCH_POLICY_NUMBERS = {value: number for number, value in _BATCH_POLICIES.items()}
_KINDS = {
    admin_pb2.Instance.KIND_FRONTEND: InstanceKind.FRONTEND,
    admin_pb2.Instance.KIND_MANAGER: InstanceKind.MANAGER,
}
_KIND_NUMBERS = {value: number for number, value in _KINDS.items()}
_STATES = {
    VersionState.STAGED: admin_pb2.ModelVersion.STATE_STAGED,
    VersionState.ACTIVE: admin_pb2.ModelVersion.STATE_ACTIVE,
}
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

# Messages to values


def input_type(field: str, number: int) -> InputType:
    """The input type of that number; InvalidField if there is none."""
    found = _TYPES.get(number)  # type: ignore[call-overload]  # enum numbers are plain integers
    if found is None:
        given = "required" if number == 0 else f"{number} is not known"
        raise InvalidField(field=field, problem=f"{given}; one of {', '.join(InputType)}")
    return InputType(found)


def to_application(message: admin_pb2.Application) -> Application:
    """An application as a caller wants it; its input type must be set."""
    return _application(message, input_type("application.input_type", message.input_type))


def to_update(message: admin_pb2.Application) -> tuple[Application, InputType | None]:
    """An application as a caller wants it to be, and the input type if that is set."""
    wanted = input_type("application.input_type", message.input_type) if message.input_type else None
    return _application(message, wanted or InputType.BYTES), wanted


def _application(message: admin_pb2.Application, of_type: InputType) -> Application:
    objective_ns = DEFAULT_OBJECTIVE_NS
    if message.HasField("latency_objective"):
        objective_ns = to_ns(message.latency_objective)
    parameters = MessageToDict(message.selection_policy.parameters)
    return Application(
        name=message.name,
        input_type=of_type,
        default_output=_output(message.default_output) if message.HasField("default_output") else None,
        latency_objective_ns=objective_ns,
        selection_policy=SelectionPolicy(message.selection_policy.name, json.dumps(parameters, sort_keys=True)),
        confidence_threshold=message.confidence_threshold,
        revision=message.revision,
    )


def _output(message: values_pb2.Output) -> bytes:
    problem = ""
    match message.WhichOneof("value"):
        case None:
            problem = 'no value is set; set one, for example {"string": "-1.0"}, or leave default_output out'
        case "json":
            try:
                json.loads(message.json)
            except ValueError as error:
                problem = f"its json does not parse: {error}"
        case "tensor":
            problem = _tensor_problem(message.tensor)
    if problem:
        raise InvalidField(field="application.default_output", problem=problem)
    return message.SerializeToString(deterministic=True)


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
    """A version as a caller wants it."""
    policy = _BATCH_POLICIES.get(message.batching.policy)
    if policy is None:
        raise InvalidField(field="model_version.batching.policy", problem=f"{message.batching.policy} is not known")
    return ModelVersion(
        model=message.model,
        version=message.version,
        input_type=input_type("model_version.input_type", message.input_type),
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
        ),
    )


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
    kind = _KINDS.get(message.kind)
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


# Values to messages


def from_application(value: Application) -> admin_pb2.Application:
    """The message of an application."""
    message = admin_pb2.Application(
        name=value.name,
        input_type=_TYPE_NUMBERS[value.input_type],
        latency_objective=from_ns(value.latency_objective_ns),
        selection_policy=admin_pb2.SelectionPolicy(name=value.selection_policy.name),
        confidence_threshold=value.confidence_threshold,
        links=[_from_link(link) for link in value.links],
        create_time=_timestamp(value.create_time_ns),
        revision=value.revision,
    )
    if value.default_output is not None:
        message.default_output.ParseFromString(value.default_output)
        message.default_output.SetInParent()
    if parameters := json.loads(value.selection_policy.parameters):
        message.selection_policy.parameters.update(parameters)
    return message


def _from_link(value: Link) -> admin_pb2.Link:
    return admin_pb2.Link(model=value.model, weight=value.weight)


def from_model(value: Model, linked_applications: tuple[str, ...] = ()) -> admin_pb2.Model:
    """The message of a model."""
    return admin_pb2.Model(
        name=value.name,
        input_type=_TYPE_NUMBERS[value.input_type],
        current_version=value.current_version,
        linked_applications=linked_applications,
        revision=value.revision,
    )


def from_model_view(view: ModelView) -> admin_pb2.Model:
    """The message of a model with the applications that it is linked to."""
    return from_model(view.model, view.linked_applications)


def from_model_version(value: ModelVersion) -> admin_pb2.ModelVersion:
    """The message of a version."""
    return admin_pb2.ModelVersion(
        model=value.model,
        version=value.version,
        input_type=_TYPE_NUMBERS[value.input_type],
        labels=value.labels,
        image=value.image,
        data_path=value.data_path,
        batching=admin_pb2.Batching(
            policy=_BATCH_POLICY_NUMBERS[value.batching.policy],
            max_batch_rows=value.batching.max_batch_rows,
            linger=from_ns(value.batching.linger_ns),
            max_queue_rows=value.batching.max_queue_rows,
            max_batches_in_flight=value.batching.max_batches_in_flight,
            no_retry=value.batching.no_retry,
        ),
        state=_STATES[value.state],
        create_time=_timestamp(value.create_time_ns),
        uid=value.uid,
        revision=value.revision,
    )


def from_replica(value: Replica) -> admin_pb2.Replica:
    """The message of a replica; its lease stays between it and the manager."""
    return admin_pb2.Replica(
        model=value.model,
        version=value.version,
        replica_id=value.replica_id,
        address=value.address,
        input_type=_TYPE_NUMBERS[value.input_type],
        create_time=_timestamp(value.create_time_ns),
        host=value.host,
        runtime=value.runtime,
    )


def from_instance(value: Instance) -> admin_pb2.Instance:
    """The message of a process."""
    return admin_pb2.Instance(
        kind=_KIND_NUMBERS[value.kind],
        instance_id=value.instance_id,
        address=value.address,
        build=value.build,
        create_time=_timestamp(value.create_time_ns),
    )


def from_step(step: Whole | Step) -> registry_pb2.WatchResponse:
    """The message of one step of a watch. Instances and counters are not part of it; a step may thus be empty."""
    message = registry_pb2.WatchResponse(epoch=step.position.epoch, revision=step.position.revision)
    match step:
        case Whole():
            message.snapshot.SetInParent()
            message.snapshot.entities.extend(_watched(step.entities))
        case Step():
            message.delta.SetInParent()
            message.delta.put.extend(_watched(step.entry.puts))
            message.delta.deleted.extend(filter(None, map(_from_key, step.entry.deletes)))
    return message


def _watched(entities: tuple[Entity, ...]) -> list[registry_pb2.Entity]:
    messages = []
    for entity in entities:
        match entity:
            case Application():
                messages.append(registry_pb2.Entity(application=from_application(entity)))
            case Model():
                messages.append(registry_pb2.Entity(model=from_model(entity)))
            case ModelVersion():
                messages.append(registry_pb2.Entity(model_version=from_model_version(entity)))
            case Replica():
                messages.append(registry_pb2.Entity(replica=from_replica(entity)))
            case _:
                pass
    return messages


def _from_key(key: str) -> registry_pb2.EntityKey | None:
    _, *names = key.split("/")
    kind = kind_of(key)
    if kind is Application:
        return registry_pb2.EntityKey(application=names[0])
    if kind is Model:
        return registry_pb2.EntityKey(model=names[0])
    if kind is ModelVersion:
        return registry_pb2.EntityKey(model_version=registry_pb2.ModelVersionKey(model=names[0], version=names[1]))
    if kind is Replica:
        return registry_pb2.EntityKey(
            replica=registry_pb2.ReplicaKey(model=names[0], version=names[1], replica_id=int(names[2]))
        )
    return None


def from_ns(duration_ns: int) -> Duration:
    """A duration from nanoseconds."""
    return Duration(seconds=duration_ns // 10**9, nanos=duration_ns % 10**9)


def _timestamp(time_ns: int) -> Timestamp:
    return Timestamp(seconds=time_ns // 10**9, nanos=time_ns % 10**9)
