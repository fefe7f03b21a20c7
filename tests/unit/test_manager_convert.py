"""Messages and values say the same."""

from __future__ import annotations

from typing import Any

import pytest

from clipper.v1 import admin_pb2, values_pb2
from clipper_manager.convert import incoming, numbers, outgoing
from clipper_manager.feed import Step, Whole
from clipper_manager.resources import (
    Application,
    BatchPolicy,
    InputType,
    Instance,
    InstanceKind,
    Link,
    Model,
    ModelVersion,
    Replica,
    ReplicaCounter,
    SelectionPolicy,
    VersionState,
)
from clipper_manager.store import Entry, Position
from clipper_rpc.errors import InvalidField

APPLICATION = Application(
    "a",
    InputType.STRINGS,
    values_pb2.Output(string="-1.0").SerializeToString(),
    5_000_000,
    SelectionPolicy("static", '{"x": 1.5}'),
    0.5,
    (Link("m", 0.25),),
    1_700_000_000_123_456_789,
    7,
)
VERSION = ModelVersion(
    "m", "1", InputType.FLOATS, ("l",), "i", "d", state=VersionState.ACTIVE, create_time_ns=3, uid="u", revision=8
)
REPLICA = Replica("m", "1", 4, "h:1", InputType.FLOATS, "secret", 5, "host", "runtime")
INSTANCE = Instance(InstanceKind.MANAGER, "i", "h:1", "secret", "0.1.0", 5)
MODEL = Model("m", InputType.FLOATS, "1", 8)
EVERYTHING = (APPLICATION, MODEL, VERSION, REPLICA, ReplicaCounter("m", "1", 5), INSTANCE)


@pytest.mark.parametrize("known", InputType)
def test_every_input_type_has_its_number_in_the_contract(known: InputType) -> None:
    number = values_pb2.InputType.Value(f"INPUT_TYPE_{known.name}")
    assert incoming.input_type("f", number) == known
    assert numbers.INPUT_TYPE_NUMBERS[known] == number


def test_every_enum_of_the_contract_is_known_here() -> None:
    assert set(numbers.INPUT_TYPES) == set(values_pb2.InputType.values()) - {0}
    assert set(numbers.BATCH_POLICIES) == set(admin_pb2.Batching.Policy.values())
    assert set(numbers.BATCH_POLICIES.values()) == set(BatchPolicy)
    assert set(numbers.KINDS) == set(admin_pb2.Instance.Kind.values()) - {0}
    assert set(numbers.STATE_NUMBERS.values()) == set(admin_pb2.ModelVersion.State.values()) - {0}


def test_an_application_comes_back_but_for_what_the_manager_sets() -> None:
    message = outgoing.from_application(APPLICATION)
    assert [(link.model, link.weight) for link in message.links] == [("m", 0.25)]
    assert (message.create_time.seconds, message.create_time.nanos) == (1_700_000_000, 123_456_789)
    del message.links[:]
    again = incoming.to_application(message)
    for field in (
        "name",
        "input_type",
        "default_output",
        "latency_objective_ns",
        "selection_policy",
        "confidence_threshold",
        "revision",
    ):
        assert getattr(again, field) == getattr(APPLICATION, field)


def test_an_empty_default_output_of_a_known_kind_is_one() -> None:
    message = admin_pb2.Application(name="a", input_type=values_pb2.INPUT_TYPE_BYTES)
    message.default_output.doubles.SetInParent()
    value = incoming.to_application(message)
    assert outgoing.from_application(value).default_output.WhichOneof("value") == "doubles"


@pytest.mark.parametrize(
    "output",
    [
        {"number": float("nan")},
        {"number": float("-inf")},
        {"json": "[NaN]"},
        {"json": '{"a": -Infinity}'},
        {"json": "{"},
        {"json": "[" * 100_000},
    ],
)
def test_a_default_output_that_json_cannot_say_is_refused(output: dict[str, Any]) -> None:
    message = admin_pb2.Application(input_type=values_pb2.INPUT_TYPE_BYTES, default_output=output)
    with pytest.raises(InvalidField, match=r"application\.default_output"):
        incoming.to_application(message)


def test_a_tensor_must_have_as_many_bytes_as_it_says() -> None:
    tensor = values_pb2.Tensor(data_type=values_pb2.DATA_TYPE_INT16, shape=[2, 3], data=bytes(12))
    message = admin_pb2.Application(input_type=values_pb2.INPUT_TYPE_BYTES, default_output={"tensor": tensor})
    incoming.to_application(message)
    for wrong in (
        values_pb2.Tensor(data_type=values_pb2.DATA_TYPE_INT16, shape=[2, 3], data=bytes(11)),
        values_pb2.Tensor(shape=[2], data=bytes(2)),
        values_pb2.Tensor(data_type=values_pb2.DATA_TYPE_INT16, shape=[-1, -6], data=bytes(12)),
    ):
        message.default_output.tensor.CopyFrom(wrong)
        with pytest.raises(InvalidField, match="tensor"):
            incoming.to_application(message)


def test_leases_are_nobodys_business() -> None:
    for message in (outgoing.from_replica(REPLICA), outgoing.from_instance(INSTANCE)):
        assert b"secret" not in message.SerializeToString()


def test_watchers_are_told_what_frontends_need_and_no_more() -> None:
    whole = outgoing.from_step(Whole(Position("e", 9), EVERYTHING))
    assert (whole.epoch, whole.revision) == ("e", 9)
    kinds = [entity.WhichOneof("entity") for entity in whole.snapshot.entities]
    assert kinds == ["application", "model", "model_version", "replica"]
    keys = tuple(entity.key for entity in EVERYTHING)
    step = outgoing.from_step(Step(Position("e", 10), Entry(10, "id", EVERYTHING, keys)))
    assert [entity.WhichOneof("entity") for entity in step.delta.put] == kinds
    assert [key.WhichOneof("key") for key in step.delta.deleted] == kinds
    assert (step.delta.deleted[3].replica.version, step.delta.deleted[3].replica.replica_id) == ("1", 4)


def test_a_step_without_anything_for_frontends_is_an_empty_one() -> None:
    step = outgoing.from_step(Step(Position("e", 10), Entry(10, "id", (INSTANCE,), (INSTANCE.key,))))
    assert step.WhichOneof("step") == "delta"
    assert step.revision == 10
    empty = outgoing.from_step(Whole(Position("e", 0), ()))
    assert empty.WhichOneof("step") == "snapshot"
