"""Values to messages. Leases are never part of them: they stay between their holders and the managers."""

from __future__ import annotations

import json

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from clipper.registry.v1 import registry_pb2
from clipper.v1 import admin_pb2
from clipper_manager.convert import numbers
from clipper_manager.feed import Step, Whole
from clipper_manager.registry import ModelView
from clipper_manager.resources import Application, Entity, Instance, Link, Model, ModelVersion, Replica, kind_of
from clipper_rpc.errors import ClipperError
from clipper_rpc.status import to_rpc_status


def from_application(value: Application) -> admin_pb2.Application:
    """The message of an application."""
    message = admin_pb2.Application(
        name=value.name,
        input_type=numbers.INPUT_TYPE_NUMBERS[value.input_type],
        latency_objective=from_ns(value.latency_objective_ns),
        selection_policy=admin_pb2.SelectionPolicy(name=value.selection_policy.name),
        confidence_threshold=value.confidence_threshold,
        links=[_from_link(link) for link in value.links],
        create_time=_timestamp(value.create_time_ns),
        revision=value.revision,
        selection_generation=value.selection_generation,
    )
    if value.default_output is not None:
        message.default_output.ParseFromString(value.default_output)
        message.default_output.SetInParent()
    if parameters := json.loads(value.selection_policy.parameters):
        message.selection_policy.parameters.update(parameters)
    return message


def _from_link(value: Link) -> admin_pb2.Link:
    return admin_pb2.Link(model=value.model, weight=value.weight, shadow=value.shadow, shadow_share=value.shadow_share)


def from_model(value: Model, linked_applications: tuple[str, ...] = ()) -> admin_pb2.Model:
    """The message of a model."""
    return admin_pb2.Model(
        name=value.name,
        input_type=numbers.INPUT_TYPE_NUMBERS[value.input_type],
        current_version=value.current_version,
        canary_version=value.canary_version,
        canary_share=value.canary_share,
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
        input_type=numbers.INPUT_TYPE_NUMBERS[value.input_type],
        labels=value.labels,
        image=value.image,
        data_path=value.data_path,
        batching=admin_pb2.Batching(
            policy=numbers.BATCH_POLICY_NUMBERS[value.batching.policy],
            max_batch_rows=value.batching.max_batch_rows,
            linger=from_ns(value.batching.linger_ns),
            max_queue_rows=value.batching.max_queue_rows,
            max_batches_in_flight=value.batching.max_batches_in_flight,
            no_retry=value.batching.no_retry,
            hedge_percent=value.batching.hedge_percent,
        ),
        no_cache=value.no_cache,
        state=numbers.STATE_NUMBERS[value.state],
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
        input_type=numbers.INPUT_TYPE_NUMBERS[value.input_type],
        create_time=_timestamp(value.create_time_ns),
        host=value.host,
        runtime=value.runtime,
    )


def from_instance(value: Instance) -> admin_pb2.Instance:
    """The message of a process."""
    return admin_pb2.Instance(
        kind=numbers.KIND_NUMBERS[value.kind],
        instance_id=value.instance_id,
        address=value.address,
        build=value.build,
        create_time=_timestamp(value.create_time_ns),
    )


def from_problem(position: int, error: ClipperError) -> admin_pb2.ChangeProblem:
    """The message of a change that would be refused."""
    return admin_pb2.ChangeProblem(position=position, error=to_rpc_status(error))


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
