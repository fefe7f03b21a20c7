"""What fields may be: the door of every use case."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipper_manager import checks
from clipper_manager.resources import (
    MS,
    Application,
    Batching,
    BatchPolicy,
    InputType,
    Instance,
    InstanceKind,
    ModelVersion,
    SelectionPolicy,
)
from clipper_rpc.errors import InvalidField

APPLICATION = Application("hello-world", InputType.DOUBLES)
VERSION = ModelVersion("sum-model", "1", InputType.DOUBLES)
INSTANCE = Instance(InstanceKind.FRONTEND, "f-1", "10.0.0.1:7000", "")


@pytest.mark.parametrize("name", ["a", "0", "hello-world", "a--b", "a" * 63, "9lives"])
def test_dns_labels_are_names(name: str) -> None:
    assert checks.name("name", name) == name


@pytest.mark.parametrize(
    "name",
    ["", "-a", "a-", "A", "a_b", "a.b", "a b", "a/b", "a:b", "a\n", "ä", "a" * 64, "bad[", "٣"],
)
def test_all_else_is_no_name_and_the_caller_is_told_what_is(name: str) -> None:
    with pytest.raises(InvalidField, match="hello-world") as caught:
        checks.name("application.name", name)
    assert caught.value.fields["field"] == "application.name"


@pytest.mark.parametrize("version", ["1", "1.0.1", "v2_final-3", "A", "x" * 63])
def test_versions_may_have_dots_underscores_and_capitals(version: str) -> None:
    assert checks.version("version", version) == version


@pytest.mark.parametrize("version", ["", ".1", "1.", "_", "1:2", "1,2", "1/2", "a b", "x" * 64, "1\n"])
def test_all_else_is_no_version(version: str) -> None:
    with pytest.raises(InvalidField, match=r"2.0.1"):
        checks.version("version", version)


@given(st.text(max_size=80))
def test_a_name_never_upsets_a_key(name: str) -> None:
    try:
        checks.version("version", name)
    except InvalidField:
        return
    assert not set(name) & set("/:, \n\0")


@pytest.mark.parametrize("address", ["127.0.0.1:1", "host:65535", "a.b-c_d:7001", "[::1]:7001", "[fe80::1%eth0]:80"])
def test_host_and_port_are_an_address(address: str) -> None:
    assert checks.address("address", address) == address


@pytest.mark.parametrize(
    "address",
    ["", "host", ":80", "host:", "host:0", "host:65536", "host:1x", "ho st:80", "::1:80", "host:٣", "http://a:80"],
)
def test_all_else_is_no_address(address: str) -> None:
    with pytest.raises(InvalidField, match="host:port"):
        checks.address("address", address)


@pytest.mark.parametrize("objective_ns", [MS, 100 * MS, 3600 * 1000 * MS])
def test_objectives_from_a_millisecond_to_an_hour_are_taken(objective_ns: int) -> None:
    checks.application(replace(APPLICATION, latency_objective_ns=objective_ns))


@pytest.mark.parametrize("objective_ns", [-MS, 0, MS - 1, 3600 * 1000 * MS + 1])
def test_no_other_objective_is_taken(objective_ns: int) -> None:
    with pytest.raises(InvalidField, match=r"latency_objective: .*1 ms to 1 hour"):
        checks.application(replace(APPLICATION, latency_objective_ns=objective_ns))


@pytest.mark.parametrize("threshold", [-0.1, 1.1, math.nan, math.inf])
def test_a_confidence_threshold_is_a_share(threshold: float) -> None:
    with pytest.raises(InvalidField, match="confidence_threshold"):
        checks.application(replace(APPLICATION, confidence_threshold=threshold))


def test_a_default_output_is_kept_small() -> None:
    checks.application(replace(APPLICATION, default_output=b"x" * checks.MAX_DEFAULT_OUTPUT_BYTES))
    with pytest.raises(InvalidField, match="default_output"):
        checks.application(replace(APPLICATION, default_output=b"x" * (checks.MAX_DEFAULT_OUTPUT_BYTES + 1)))


def test_no_policy_is_the_static_one() -> None:
    assert checks.application(replace(APPLICATION, selection_policy=SelectionPolicy(""))) == APPLICATION


def test_a_policy_that_no_frontend_knows_is_refused_with_those_that_they_know() -> None:
    with pytest.raises(InvalidField, match=r"selection_policy.name: \"guess\" .* there are static, .*exp3"):
        checks.application(replace(APPLICATION, selection_policy=SelectionPolicy("guess")))


@pytest.mark.parametrize("name", ["static", "epsilon_greedy", "ucb1", "thompson", "exp3", "exp4", "ensemble"])
def test_the_policies_of_the_frontends_are_known(name: str) -> None:
    wanted = replace(APPLICATION, selection_policy=SelectionPolicy(name))
    assert checks.application(wanted) == wanted


def test_a_parameter_out_of_its_range_is_told_with_the_range() -> None:
    with pytest.raises(InvalidField, match=r"selection_policy.parameters.epsilon: is 2; it is from 0 to 1"):
        checks.application(replace(APPLICATION, selection_policy=SelectionPolicy("epsilon_greedy", '{"epsilon": 2}')))


def test_a_threshold_needs_a_default_to_answer() -> None:
    with pytest.raises(InvalidField, match=r"confidence_threshold: is 0\.5, .* set default_output too"):
        checks.application(replace(APPLICATION, confidence_threshold=0.5, default_output=None))


def test_a_parameter_that_the_policy_does_not_take_is_named() -> None:
    with pytest.raises(InvalidField, match=r"selection_policy.parameters.gamma: .*takes none"):
        checks.application(replace(APPLICATION, selection_policy=SelectionPolicy("static", '{"gamma": 0.1}')))


def test_a_weight_is_above_zero_or_not_given() -> None:
    assert checks.weight("weight", 0) == 0
    assert checks.weight("weight", 0.25) == 0.25
    for wrong in (-1, math.nan, math.inf):
        with pytest.raises(InvalidField, match="weight"):
            checks.weight("weight", wrong)


def test_a_share_is_above_zero_and_at_most_one_and_all_by_default() -> None:
    assert checks.share("share", 0) == 1
    assert checks.share("share", 0.25) == 0.25
    for wrong in (-0.1, 1.1, math.nan):
        with pytest.raises(InvalidField, match="share"):
            checks.share("share", wrong)


def test_labels_are_free_text() -> None:
    checks.model_version(replace(VERSION, labels=("a label", "ü", "x" * 256)))


@pytest.mark.parametrize("labels", [("",), ("a,b",), ("a:b",), ("x" * 257,), ("ü" * 129,), tuple("abcdefgh" * 9)])
def test_labels_are_few_short_and_without_separators(labels: tuple[str, ...]) -> None:
    with pytest.raises(InvalidField, match=r"model_version.labels"):
        checks.model_version(replace(VERSION, labels=labels))


@pytest.mark.parametrize(
    ("batching", "field"),
    [
        (Batching(max_batch_rows=-1), "max_batch_rows"),
        (Batching(max_queue_rows=-1), "max_queue_rows"),
        (Batching(max_batches_in_flight=-1), "max_batches_in_flight"),
        (Batching(linger_ns=-1), "linger"),
        (Batching(linger_ns=1000 * MS + 1), "linger"),
        (Batching(hedge_percent=101), "hedge_percent: is 101; it is from 0"),
        (Batching(hedge_percent=-1), "hedge_percent"),
        (Batching(hedge_percent=5, no_retry=True), "hedge_percent: .*no_retry"),
    ],
)
def test_batching_that_cannot_be_is_refused(batching: Batching, field: str) -> None:
    with pytest.raises(InvalidField, match=rf"model_version\.batching\.{field}"):
        checks.model_version(replace(VERSION, batching=batching))


def test_batching_that_can_be_is_taken() -> None:
    checks.model_version(replace(VERSION, batching=Batching(BatchPolicy.FIXED, 32, 5 * MS, 1000, 4, no_retry=True)))
    for policy in BatchPolicy:
        checks.model_version(replace(VERSION, batching=Batching(policy, hedge_percent=100)))


@pytest.mark.parametrize("field", ["image", "data_path"])
def test_texts_for_people_are_of_limited_length(field: str) -> None:
    with pytest.raises(InvalidField, match=f"model_version.{field}"):
        checks.model_version(replace(VERSION, **{field: "x" * 5000}))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda: checks.model_version(replace(VERSION, model="A")), "model_version.model"),
        (lambda: checks.model_version(replace(VERSION, version="")), "model_version.version"),
        (lambda: checks.instance(replace(INSTANCE, instance_id="")), "instance.instance_id"),
        (lambda: checks.instance(replace(INSTANCE, instance_id="a/b")), "instance.instance_id"),
        (lambda: checks.instance(replace(INSTANCE, address="nowhere")), "instance.address"),
        (lambda: checks.instance(replace(INSTANCE, build="x" * 257)), "instance.build"),
        (lambda: checks.lease_id("lease_id", ""), "lease_id"),
        (lambda: checks.lease_id("lease_id", "x" * 129), "lease_id"),
        (lambda: checks.replica_id("replica_id", -1), "replica_id"),
    ],
)
def test_every_field_is_checked_under_its_own_name(call: Callable[[], object], field: str) -> None:
    with pytest.raises(InvalidField) as caught:
        call()
    assert caught.value.fields["field"] == field


def test_a_proper_instance_lease_and_number_are_taken() -> None:
    assert checks.instance(INSTANCE) == INSTANCE
    assert checks.lease_id("lease_id", "abc") == "abc"
    assert checks.replica_id("replica_id", 0) == 0


def test_what_is_quoted_back_is_clipped() -> None:
    with pytest.raises(InvalidField) as caught:
        checks.name("name", "X" * 10_000)
    assert len(caught.value.message) < 400
