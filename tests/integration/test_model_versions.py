"""Versions of a model: staged, asked, proven by golden examples, live, on trial, rolled back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from clusters import ask, local_cluster, until

from clipper_admin import ClipperConnection, ClipperException
from clipper_admin.deployers import python as python_deployer
from clipper_admin.resources import Failure
from clipper_rpc.errors import InvalidField, NoReplica, VersionNotFound
from clipper_runtime.model_dir import save_function

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClipperConnection]:
    with local_cluster(tmp_path_factory.mktemp("home")) as connection:
        connection.register_application("app", "doubles", "default", 3000000)
        yield connection


@pytest.fixture
def cluster(shared: ClipperConnection) -> Iterator[ClipperConnection]:
    """A cluster with an application "app" whose model "m" has version 1, which answers "one"."""
    deploy(shared, 1, "one")
    shared.link_model_to_app("app", "m")
    until(lambda: ask(shared, "app", [1.0]).output == "one", "version 1")
    yield shared
    shared.unlink_model_from_app("app", "m")
    shared.stop_all_model_containers()


def deploy(connection: ClipperConnection, version: int, text: str, **options: object) -> None:
    """A version that answers the same text always."""
    python_deployer.deploy_python_closure(
        connection,
        "m",
        version,
        "doubles",
        lambda xs: [text for _ in xs],
        **options,  # type: ignore[arg-type]
    )


def answers(connection: ClipperConnection, count: int) -> list[object]:
    """What many queries get that name no version; each is asked something else, so that none comes from a cache."""
    client = connection.client
    asked = client.describe_application("app")
    found = client.predict_batch(asked, [[float(each)] for each in range(count)])
    return [getattr(each, "output", each) for each in found]


def test_a_staged_version_answers_only_those_who_name_it_until_it_goes_live(cluster: ClipperConnection) -> None:
    deploy(cluster, 2, "two", activate=False)
    assert cluster.get_current_model_version("m") == "1"
    assert cluster.get_num_replicas("m", 2) == 1
    assert answers(cluster, 5) == ["one"] * 5
    described = cluster.client.describe_application("app")
    assert cluster.client.predict(described, [1.0], version="2").output == "two"
    assert cluster.ask_model_version("m", 2, [[1.0], [2.0]]) == ["two", "two"]
    cluster.set_model_version("m", 2)
    until(lambda: ask(cluster, "app", [1.0]).output == "two", "version 2")
    cluster.set_model_version("m", 1)
    until(lambda: ask(cluster, "app", [1.0]).output == "one", "version 1 again")


def test_a_version_on_trial_gets_its_share_until_either_becomes_current(cluster: ClipperConnection) -> None:
    deploy(cluster, 2, "two", activate=False)
    cluster.set_model_version("m", 2, share=0.5)
    until(lambda: "two" in answers(cluster, 20), "version 2 on trial")
    found = answers(cluster, 200)
    assert set(found) == {"one", "two"}
    assert 50 < found.count("two") < 150
    assert cluster.get_current_model_version("m") == "1"
    model = cluster.client.get_model("m")
    assert (model.canary_version, model.canary_share) == ("2", 0.5)
    cluster.set_model_version("m", 2)
    until(lambda: set(answers(cluster, 20)) == {"two"}, "version 2 alone")
    assert cluster.client.get_model("m").canary_version == ""


def test_a_version_that_passes_its_golden_examples_goes_live(cluster: ClipperConnection) -> None:
    python_deployer.deploy_python_closure(
        cluster,
        "m",
        2,
        "doubles",
        lambda xs: [str(sum(x)) for x in xs],
        golden=[([0.1, 0.2], 0.3), ([1.0, 2.0], "3.0"), ([5.0], lambda output: float(output) > 4)],
    )
    until(lambda: ask(cluster, "app", [2.0, 2.5]).output == "4.5", "version 2")


def test_a_version_that_fails_a_golden_example_never_goes_live_and_leaves_nothing(cluster: ClipperConnection) -> None:
    with pytest.raises(ClipperException, match=r"golden example 2 of 2, input \[2.0\], 'two' is expected, but it answ"):
        deploy(cluster, 2, "one", golden=[([1.0], "one"), ([2.0], "two")])
    assert cluster.get_all_models() == ["m:1"]
    assert cluster.get_num_replicas("m", 2) == 0
    assert answers(cluster, 5) == ["one"] * 5
    deploy(cluster, 2, "two", golden=[([2.0], "two")])  # its name is free


def test_golden_examples_that_cannot_be_asked_are_refused_before_anything_starts(cluster: ClipperConnection) -> None:
    with pytest.raises(ClipperException, match="Golden example 1 is no pair"):
        deploy(cluster, 2, "two", golden=[[1.0]])
    with pytest.raises(ClipperException, match="is no value of type doubles"):
        deploy(cluster, 2, "two", golden=[("text", "two")])
    with pytest.raises(ClipperException, match="need a replica"):
        deploy(cluster, 2, "two", golden=[([1.0], "two")], num_replicas=0)
    assert cluster.get_all_models() == ["m:1"]


def test_a_version_can_be_asked_directly_and_says_what_is_wrong(cluster: ClipperConnection) -> None:
    def fussy(xs):
        if len(xs[0]) > 1:
            raise ValueError("one number only")
        return [float(x[0]) for x in xs]

    python_deployer.deploy_python_closure(cluster, "m", 2, "doubles", fussy, activate=False)
    assert cluster.ask_model_version("m", 2, [[1.5]]) == [1.5]
    assert cluster.ask_model_version("m", 2, [[1.0, 2.0]]) == [Failure("ValueError", "one number only")]
    cluster.set_num_replicas("m", 0, 2)
    for version, inputs, error in ((2, [[1.0]], NoReplica), (1, [], InvalidField), (9, [[1.0]], VersionNotFound)):
        with pytest.raises(ClipperException) as told:
            cluster.ask_model_version("m", version, inputs)
        assert isinstance(told.value.__cause__, error)
    with pytest.raises(ClipperException, match="give a share"):
        cluster.set_model_version("m", 2, share=0)
    with pytest.raises(ClipperException, match="it is the current version itself"):
        cluster.set_model_version("m", 1, share=0.5)


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("python", "3.8.1", r"Python 3\.8 \(saved with 3\.8\.1\), but this is 3\."),
        ("packages", {"numpy": "1.26.4"}, r"numpy 1\.26\.4, but .* is installed(.|\n)*pip install numpy==1\.26\.4"),
    ],
)
def test_another_environment_is_named_before_anything_starts(
    cluster: ClipperConnection, tmp_path: Path, field: str, value: object, told: str
) -> None:
    save_function(tmp_path / "m", name="m", version=2, input_type="doubles", func=lambda xs: xs)
    manifest = tmp_path / "m" / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), field: value}))
    before = len(cluster.cm.status().processes)
    with pytest.raises(ClipperException, match=told):
        cluster.build_and_deploy_model("m", 2, "doubles", str(tmp_path / "m"))
    assert len(cluster.cm.status().processes) == before
    assert cluster.get_all_models() == ["m:1"]
