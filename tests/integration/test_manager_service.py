"""AdminService and RegistryService over gRPC, as clients in any language see them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc.aio
import pytest
from google.protobuf.struct_pb2 import Struct
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from managers import DOUBLES, STRINGS, Client, client, manager, replica

from clipper.v1 import admin_pb2, admin_pb2_grpc, values_pb2
from clipper_rpc.errors import (
    ApplicationExists,
    ApplicationNotFound,
    Code,
    InvalidField,
    LeaseEnded,
    LinkExists,
    LinkNotFound,
    LinkTypeMismatch,
    ModelNotFound,
    ReplicaNotFound,
    ReplicaTypeMismatch,
    ReplicaUnhealthy,
    StaleRevision,
    TooManyLinks,
    VersionExists,
    VersionInUse,
    VersionNotFound,
)
from clipper_rpc.transport import Reply
from processes import Process, RedisServer


@pytest.fixture(scope="module")
def process(redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """One manager for the whole file: its state is cleared by `call`."""
    with manager(redis_server.url, tmp_path_factory.mktemp("manager"), "--cluster", "services") as process:
        yield process


@pytest.fixture
async def call(process: Process) -> AsyncIterator[Client]:
    async with client(process) as call:
        yield call
        for application in (await call("ListApplications")).applications:
            await call("DeleteApplication", application=application.name)
        for version in (await call("ListModelVersions")).model_versions:
            await call("DeleteModelVersion", model=version.model, version=version.version)


def application(**fields: Any) -> admin_pb2.Application:
    return admin_pb2.Application(**{"name": "a", "input_type": DOUBLES, **fields})


def version(**fields: Any) -> admin_pb2.ModelVersion:
    return admin_pb2.ModelVersion(**{"model": "m", "version": "1", "input_type": DOUBLES, **fields})


async def test_an_application_is_kept_as_it_was_given(call: Client) -> None:
    wanted = application(
        name="hello-world",
        input_type=values_pb2.INPUT_TYPE_TENSORS,
        default_output={"json": '{"a": 1}'},
        latency_objective={"nanos": 20_000_000},
        confidence_threshold=0.75,
    )
    created = (await call("CreateApplication", application=wanted)).application
    assert created.create_time.seconds > 0
    assert created.revision > 0
    assert created.selection_policy.name == "static"
    got = (await call("GetApplication", application="hello-world")).application
    assert got == created
    assert got.default_output == wanted.default_output
    assert got.latency_objective == wanted.latency_objective
    assert got.confidence_threshold == 0.75


async def test_what_is_left_out_takes_its_default(call: Client) -> None:
    created = (await call("CreateApplication", application=application())).application
    assert created.latency_objective.ToMilliseconds() == 100
    assert not created.HasField("default_output")
    assert not created.HasField("selection_policy") or not created.selection_policy.HasField("parameters")


async def test_a_version_is_kept_as_it_was_given(call: Client) -> None:
    wanted = version(
        labels=["first", "ü"],
        image="registry/sum:1",
        data_path="/models/sum",
        batching={"policy": "POLICY_FIXED", "max_batch_rows": 8, "linger": {"nanos": 5_000_000}, "no_retry": True},
        no_cache=True,
    )
    created = (await call("CreateModelVersion", model_version=wanted)).model_version
    assert created.state == admin_pb2.ModelVersion.STATE_STAGED
    assert created.uid
    got = (await call("GetModelVersion", model="m", version="1")).model_version
    assert got == created
    for field in ("labels", "image", "data_path", "batching", "no_cache"):
        assert getattr(got, field) == getattr(wanted, field)
    assert (await call("GetModel", model="m")).model.current_version == ""


async def test_no_labels_are_no_labels(call: Client) -> None:
    await call.create_version("m", "1")
    assert list((await call("GetModelVersion", model="m", version="1")).model_version.labels) == []


async def test_the_life_of_a_model(call: Client) -> None:
    await call.create_application("hello-world")
    await call.create_version("sum-model", "1")
    linked = (await call("LinkModel", application="hello-world", model="sum-model")).application
    assert [(link.model, link.weight) for link in linked.links] == [("sum-model", 1)]
    await call.create_version("sum-model", "2", activate=False)
    activated = (await call("ActivateModelVersion", model="sum-model", version="2")).model
    assert (activated.current_version, list(activated.linked_applications)) == ("2", ["hello-world"])
    await call("ActivateModelVersion", model="sum-model", version="1")
    await call("DeleteModelVersion", model="sum-model", version="2")
    with pytest.raises(VersionInUse):
        await call("DeleteModelVersion", model="sum-model", version="1")
    await call("DeleteModelVersion", model="sum-model", version="1", force=True)
    unlinked = (await call("UnlinkModel", application="hello-world", model="sum-model")).application
    assert list(unlinked.links) == []
    await call("DeleteApplication", application="hello-world")
    for name, field in (("ListApplications", "applications"), ("ListModels", "models")):
        assert list(getattr(await call(name), field)) == []


async def test_an_update_replaces_what_may_change(call: Client) -> None:
    created = await call.create_application("a")
    wanted = application(revision=created.revision, latency_objective={"nanos": 7_000_000})
    updated = (await call("UpdateApplication", application=wanted)).application
    assert updated.latency_objective.ToMilliseconds() == 7
    assert not updated.HasField("default_output")
    assert updated.create_time == created.create_time
    with pytest.raises(StaleRevision):
        await call("UpdateApplication", application=wanted)
    with pytest.raises(InvalidField, match="input_type: cannot be changed"):
        await call("UpdateApplication", application=application(input_type=STRINGS))


async def test_errors_come_with_their_reason(call: Client) -> None:
    await call.create_application("a")
    await call.create_application("s", STRINGS)
    await call.create_version("m", "1")
    await call.create_version("n", "1")
    await call("LinkModel", application="a", model="m")
    for error, name, fields in (
        (ApplicationExists, "CreateApplication", {"application": application()}),
        (ApplicationNotFound, "GetApplication", {"application": "x"}),
        (ApplicationNotFound, "DeleteApplication", {"application": "x"}),
        (ApplicationNotFound, "UpdateApplication", {"application": application(name="x")}),
        (ApplicationNotFound, "GetSelectionState", {"application": "x"}),
        (ApplicationNotFound, "LinkModel", {"application": "x", "model": "m"}),
        (ModelNotFound, "LinkModel", {"application": "a", "model": "x"}),
        (LinkTypeMismatch, "LinkModel", {"application": "s", "model": "m"}),
        (LinkExists, "LinkModel", {"application": "a", "model": "m"}),
        (TooManyLinks, "LinkModel", {"application": "a", "model": "n"}),
        (LinkNotFound, "UnlinkModel", {"application": "a", "model": "n"}),
        (VersionExists, "CreateModelVersion", {"model_version": version()}),
        (LinkTypeMismatch, "CreateModelVersion", {"model_version": version(version="2", input_type=STRINGS)}),
        (ModelNotFound, "GetModel", {"model": "x"}),
        (ModelNotFound, "GetModelVersion", {"model": "x", "version": "1"}),
        (VersionNotFound, "GetModelVersion", {"model": "m", "version": "9"}),
        (VersionNotFound, "ActivateModelVersion", {"model": "m", "version": "9"}),
        (VersionNotFound, "DeleteModelVersion", {"model": "m", "version": "9"}),
        (VersionInUse, "DeleteModelVersion", {"model": "m", "version": "1"}),
        (ReplicaNotFound, "GetReplica", {"model": "m", "version": "1", "replica_id": 7}),
        (LeaseEnded, "RenewLease", {"lease_id": "x"}),
    ):
        with pytest.raises(error):
            await call(name, **fields)


BAD_NAMES: list[tuple[str, dict[str, Any]]] = [
    ("CreateApplication", {"application": application(name="Bad_Name")}),
    ("UpdateApplication", {"application": application(name="Bad_Name")}),
    ("GetApplication", {"application": "Bad_Name"}),
    ("DeleteApplication", {"application": "Bad_Name"}),
    ("GetSelectionState", {"application": "Bad_Name"}),
    ("LinkModel", {"application": "Bad_Name", "model": "m"}),
    ("LinkModel", {"application": "a", "model": "Bad_Name"}),
    ("UnlinkModel", {"application": "Bad_Name", "model": "m"}),
    ("UnlinkModel", {"application": "a", "model": "Bad_Name"}),
    ("CreateModelVersion", {"model_version": version(model="Bad_Name")}),
    ("CreateModelVersion", {"model_version": version(version="bad/version")}),
    ("GetModelVersion", {"model": "Bad_Name", "version": "1"}),
    ("GetModelVersion", {"model": "m", "version": "bad/version"}),
    ("ActivateModelVersion", {"model": "Bad_Name", "version": "1"}),
    ("ActivateModelVersion", {"model": "m", "version": "bad/version"}),
    ("DeleteModelVersion", {"model": "Bad_Name", "version": "1"}),
    ("DeleteModelVersion", {"model": "m", "version": "bad/version"}),
    ("ListModelVersions", {"model": "Bad_Name"}),
    ("GetModel", {"model": "Bad_Name"}),
    ("GetReplica", {"model": "Bad_Name", "version": "1"}),
    ("GetReplica", {"model": "m", "version": "bad/version"}),
    ("ListReplicas", {"model": "Bad_Name"}),
    ("ListReplicas", {"model": "m", "version": "bad/version"}),
    ("RegisterReplica", {"model": "Bad_Name", "version": "1", "address": "h:1", "input_type": DOUBLES}),
    ("RegisterReplica", {"model": "m", "version": "bad/version", "address": "h:1", "input_type": DOUBLES}),
    ("RegisterInstance", {"instance": admin_pb2.Instance(kind=1, instance_id="bad/id", address="h:1")}),  # type: ignore[arg-type]
]

BAD_FIELDS: list[tuple[str, dict[str, Any], str]] = [
    ("CreateApplication", {}, "application"),
    ("CreateApplication", {"application": application(input_type=0)}, "application.input_type"),
    ("CreateApplication", {"application": application(input_type=99)}, "application.input_type"),
    ("CreateApplication", {"application": application(latency_objective={})}, "application.latency_objective"),
    ("CreateApplication", {"application": application(default_output={})}, "application.default_output"),
    ("CreateApplication", {"application": application(default_output={"json": "{"})}, "application.default_output"),
    (
        "CreateApplication",
        {"application": application(default_output={"tensor": {"data_type": "DATA_TYPE_INT32", "shape": [2]}})},
        "application.default_output",
    ),
    ("CreateApplication", {"application": application(links=[{"model": "m"}])}, "application.links"),
    ("CreateApplication", {"application": application(selection_policy={"name": "x"})}, "application.selection_policy"),
    ("CreateModelVersion", {"model_version": version(input_type=0)}, "model_version.input_type"),
    ("CreateModelVersion", {"model_version": version(labels=["a,b"])}, "model_version.labels"),
    ("CreateModelVersion", {"model_version": version(batching={"policy": 99})}, "model_version.batching.policy"),
    ("LinkModel", {"application": "a", "model": "m", "weight": -1}, "weight"),
    ("ListApplications", {"page_size": -1}, "page_size"),
    ("ListModels", {"page_token": "x"}, "page_token"),
    ("ListReplicas", {"version": "1"}, "version"),
    ("GetReplica", {"model": "m", "version": "1", "replica_id": -1}, "replica_id"),
    ("RegisterReplica", {"model": "m", "version": "1", "address": "h", "input_type": DOUBLES}, "address"),
    ("RegisterReplica", {"model": "m", "version": "1", "address": "h:1"}, "input_type"),
    ("RegisterInstance", {}, "instance.kind"),
    ("RenewLease", {}, "lease_id"),
    ("EndLease", {}, "lease_id"),
]


async def test_bad_names_are_refused_at_the_door_of_every_call(call: Client) -> None:
    for name, fields in BAD_NAMES:
        with pytest.raises(InvalidField, match=r"for example|it has 1 to 128"):
            await call(name, **fields)


async def test_bad_fields_are_named(call: Client) -> None:
    for name, fields, field in BAD_FIELDS:
        with pytest.raises(InvalidField) as caught:
            await call(name, **fields)
        assert caught.value.fields["field"].startswith(field), name


async def test_a_parameter_that_is_no_json_is_refused(call: Client) -> None:
    parameters = Struct()
    parameters["x"] = float("nan")
    policy = admin_pb2.SelectionPolicy(name="static", parameters=parameters)
    with pytest.raises(InvalidField, match="parameters"):
        await call("CreateApplication", application=application(selection_policy=policy))


async def test_lists_come_in_pages(call: Client) -> None:
    for number in range(5):
        await call.create_application(f"a{number}")
        await call.create_version("m", f"{number}")
        await call.create_version(f"m{number}", "1")
    for name, field, seen in (
        ("ListApplications", "applications", [f"a{number}" for number in range(5)]),
        ("ListModels", "models", ["m", *(f"m{number}" for number in range(5))]),
    ):
        found: list[str] = []
        token = ""
        while True:
            page = await call(name, page_size=2, page_token=token)
            found.extend(each.name for each in getattr(page, field))
            token = page.next_page_token
            if not token:
                break
        assert found == seen
    versions = await call("ListModelVersions", model="m", page_size=3)
    rest = await call("ListModelVersions", model="m", page_size=3, page_token=versions.next_page_token)
    listed = [*versions.model_versions, *rest.model_versions]
    assert [each.version for each in listed] == [str(number) for number in range(5)]
    assert len((await call("ListModelVersions")).model_versions) == 10


async def test_the_static_policy_has_no_state(call: Client) -> None:
    await call.create_application("a")
    state = await call("GetSelectionState", application="a", context="user-1")
    assert (state.policy, state.observation_count, len(state.state)) == ("static", 0, 0)


async def test_a_replica_registers_once_it_answers_health(call: Client) -> None:
    await call.create_version("m", "1")
    async with replica() as address:
        registered = await call.register_replica(address)
        assert registered.replica_id == 0
        assert registered.lease.lease_id
        assert registered.lease.ttl.ToMilliseconds() == 500
        listed = list((await call("ListReplicas", model="m", version="1")).replicas)
        assert [(each.replica_id, each.address) for each in listed] == [(0, address)]
        got = (await call("GetReplica", model="m", version="1", replica_id=0)).replica
        assert got == listed[0]
        await call("EndLease", lease_id=registered.lease.lease_id)
        assert list((await call("ListReplicas")).replicas) == []


async def test_a_replica_that_does_not_serve_is_refused_with_the_reason(call: Client) -> None:
    await call.create_version("m", "1")
    with pytest.raises(ReplicaUnhealthy, match="UNAVAILABLE"):
        await call.register_replica("127.0.0.1:1")
    async with replica(serving=False) as address:
        with pytest.raises(ReplicaUnhealthy, match="it says NOT_SERVING"):
            await call.register_replica(address)
    async with replica(version="2") as address:
        with pytest.raises(ReplicaUnhealthy, match="it serves m:2, not m:1"):
            await call.register_replica(address)


async def test_a_replica_of_no_version_or_another_type_is_refused(call: Client) -> None:
    async with replica() as address:
        with pytest.raises(ModelNotFound):
            await call.register_replica(address)
        await call.create_version("m", "1", STRINGS)
        with pytest.raises(ReplicaTypeMismatch):
            await call.register_replica(address)


async def test_processes_are_listed_by_kind_and_start(call: Client) -> None:
    for number in (2, 1):
        wanted = admin_pb2.Instance(
            kind=admin_pb2.Instance.KIND_FRONTEND,
            instance_id=f"f{number}",
            address="h:1",
            build="0.1.0",
            create_time={"seconds": number},
        )
        assert (await call("RegisterInstance", instance=wanted)).lease.lease_id
    listed = list((await call("ListInstances")).instances)
    assert [each.instance_id for each in listed[:2]] == ["f1", "f2"]
    assert listed[2].kind == admin_pb2.Instance.KIND_MANAGER


async def test_query_ids_are_reserved_in_ranges(call: Client) -> None:
    first, second = [await call("ReserveQueryIds") for _ in range(2)]
    assert first.first > 0
    assert second.first >= first.first + first.count


async def test_plain_grpc_clients_get_the_code_and_a_text_that_helps(process: Process) -> None:
    async with grpc.aio.insecure_channel(process.address) as channel:
        stub = admin_pb2_grpc.AdminServiceStub(channel)  # type: ignore[no-untyped-call]  # generated
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.GetApplication(admin_pb2.GetApplicationRequest(application="nobody"))
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND
    assert "clipperctl app list" in str(caught.value.details())


async def test_health_and_reflection_are_served(process: Process) -> None:
    async with grpc.aio.insecure_channel(process.address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for service in ("", "clipper.v1.AdminService", "clipper.registry.v1.RegistryService"):
            answer = await health.Check(health_pb2.HealthCheckRequest(service=service))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        reflection = reflection_pb2_grpc.ServerReflectionStub(channel)
        requests = [reflection_pb2.ServerReflectionRequest(list_services="")]
        async for response in reflection.ServerReflectionInfo(iter(requests)):
            names = {each.name for each in response.list_services_response.service}
    assert {"clipper.v1.AdminService", "clipper.registry.v1.RegistryService", "grpc.health.v1.Health"} <= names


async def test_a_request_that_does_not_parse_is_refused(call: Client) -> None:
    done: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
    call.channel.call("/clipper.v1.AdminService/GetModel", b"\xff\xff\xff", done.set_result)
    assert (await done).status.code == Code.INVALID_ARGUMENT


def change(**fields: Any) -> admin_pb2.Change:
    return admin_pb2.Change(**fields)


def version_of(model: str, version: str = "1", **fields: Any) -> admin_pb2.Change:
    wanted = admin_pb2.ModelVersion(model=model, version=version, input_type=DOUBLES)
    return change(create_model_version={"model_version": wanted, "activate": True, **fields})


def link_of(application: str, model: str) -> admin_pb2.Change:
    return change(link_model={"application": application, "model": model})


async def test_several_changes_are_one_step_and_build_on_one_another(call: Client) -> None:
    changes = [version_of("m"), change(create_application={"application": application()}), link_of("a", "m")]
    await call("ApplyChanges", changes=changes)
    found = (await call("GetApplication", application="a")).application
    assert [link.model for link in found.links] == ["m"]
    assert found.revision == (await call("GetModelVersion", model="m", version="1")).model_version.revision


async def test_of_changes_of_which_one_is_refused_none_is_made(call: Client) -> None:
    changes = [version_of("m"), change(create_application={"application": application()}), link_of("a", "other")]
    with pytest.raises(ModelNotFound):
        await call("ApplyChanges", changes=changes)
    assert not (await call("ListModels")).models
    assert not (await call("ListApplications")).applications


async def test_looking_at_changes_tells_all_that_would_be_refused_and_makes_none(call: Client) -> None:
    changes = [
        change(create_application={"application": application(name="No")}),
        change(create_application={"application": application()}),
        link_of("a", "m"),
        version_of("m"),
        link_of("a", "m"),
        change(),
    ]
    problems = (await call("ApplyChanges", changes=changes, validate_only=True)).problems
    assert [(each.position, Code(each.error.code)) for each in problems] == [
        (0, Code.INVALID_ARGUMENT),
        (2, Code.NOT_FOUND),
        (5, Code.INVALID_ARGUMENT),
    ]
    assert "application.name" in problems[0].error.message
    assert not (await call("ListApplications")).applications


async def test_every_kind_of_change_can_be_made_with_others(call: Client) -> None:
    await call("ApplyChanges", changes=[version_of("m"), change(create_application={"application": application()})])
    staged = change(create_model_version={"model_version": {"model": "m", "version": "2", "input_type": DOUBLES}})
    changes = [
        link_of("a", "m"),
        staged,
        change(activate_model_version={"model": "m", "version": "2"}),
        change(delete_model_version={"model": "m", "version": "1"}),
        change(update_application={"application": application(default_output={"string": "none"})}),
        change(unlink_model={"application": "a", "model": "m"}),
    ]
    await call("ApplyChanges", changes=changes)
    assert (await call("GetApplication", application="a")).application.default_output.string == "none"
    assert (await call("GetModel", model="m")).model.current_version == "2"
    await call("ApplyChanges", changes=[change(delete_application={"application": "a"})])
    assert not (await call("ListApplications")).applications


async def test_more_changes_than_a_step_takes_are_refused(call: Client) -> None:
    with pytest.raises(InvalidField, match="at most 10000"):
        await call("ApplyChanges", changes=[change()] * 10_001)


async def test_labels_and_batching_of_a_version_change_and_nothing_else_does(call: Client) -> None:
    staged = admin_pb2.ModelVersion(model="m", version="1", input_type=DOUBLES, image="i", labels=["old"])
    stored = (await call("CreateModelVersion", model_version=staged, activate=True)).model_version
    wanted = {"model": "m", "version": "1", "labels": ["new"], "batching": {"max_batch_rows": 7}}
    updated = (await call("UpdateModelVersion", model_version=wanted)).model_version
    assert (list(updated.labels), updated.batching.max_batch_rows) == (["new"], 7)
    assert (updated.image, updated.uid, updated.state, updated.input_type) == (
        "i",
        stored.uid,
        admin_pb2.ModelVersion.STATE_ACTIVE,
        DOUBLES,
    )
    for other in ({"input_type": STRINGS}, {"image": "j"}):
        with pytest.raises(InvalidField, match="cannot be changed"):
            await call("UpdateModelVersion", model_version={**wanted, **other})
    with pytest.raises(StaleRevision):
        await call("UpdateModelVersion", model_version={**wanted, "revision": stored.revision})
    with pytest.raises(VersionNotFound):
        await call("UpdateModelVersion", model_version={**wanted, "version": "2"})
