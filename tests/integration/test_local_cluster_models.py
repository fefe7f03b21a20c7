"""Deploying, scaling, rolling back and stopping models on a local cluster, as Clipper's users do it."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from clusters import ask, feature_sum, local_cluster, manager, until

from clipper_admin import ClipperConnection, ClipperException
from clipper_admin.deployers import python as python_deployer
from clipper_rpc.errors import ApplicationExists, LinkTypeMismatch, VersionExists
from clipper_runtime.model_dir import save_function

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClipperConnection]:
    with local_cluster(tmp_path_factory.mktemp("home")) as connection:
        yield connection


@pytest.fixture
def cluster(shared: ClipperConnection) -> Iterator[ClipperConnection]:
    """A running cluster with nothing configured."""
    yield shared
    shared.stop_all_model_containers()
    for name in shared.get_all_apps():
        shared.unregister_application(name)


def deploy(connection: ClipperConnection, name: str, version: object, text: str, replicas: int = 1) -> None:
    """A model that answers the same text always."""
    python_deployer.deploy_python_closure(
        connection, name, version, "doubles", lambda xs: [text for _ in xs], num_replicas=replicas
    )


def test_an_application_is_listed_shown_and_unregistered(cluster: ClipperConnection) -> None:
    cluster.register_application("app", "ints", "-1.0", 100000)
    wanted = {
        "name": "app",
        "input_type": "integers",
        "default_output": "-1.0",
        "latency_slo_micros": 100000,
        "linked_models": [],
    }
    assert cluster.get_all_apps() == ["app"]
    assert cluster.get_all_apps(verbose=True) == [wanted]
    assert cluster.get_app_info("app") == wanted
    with pytest.raises(ClipperException, match="exists already") as told:
        cluster.register_application("app", "ints", "-1.0", 100000)
    assert isinstance(told.value.__cause__, ApplicationExists)
    cluster.unregister_application("app")
    assert cluster.get_all_apps() == []
    with (
        pytest.warns(DeprecationWarning, match="unregister_application"),
        pytest.raises(ClipperException, match='No application "app"'),
    ):
        cluster.delete_application("app")


def test_unknown_look_ups_give_none_and_a_warning(cluster: ClipperConnection, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert cluster.get_app_info("nope") is None
        assert cluster.get_model_info("nope", 1) is None
        assert cluster.get_model_replica_info("nope", 1, 0) is None
    assert len([each for each in caplog.records if each.levelno == logging.WARNING]) == 3


def test_one_call_makes_an_endpoint(cluster: ClipperConnection) -> None:
    python_deployer.create_endpoint(cluster, name="easy", input_type="doubles", func=feature_sum)
    assert cluster.get_app_info("easy") == {
        "name": "easy",
        "input_type": "doubles",
        "default_output": "None",
        "latency_slo_micros": 3000000,
        "linked_models": ["easy"],
    }
    assert cluster.get_all_models() == ["easy:1"]
    until(lambda: ask(cluster, "easy").output == "3.5", "the sum")


def test_a_new_version_goes_live_and_the_old_one_can_come_back(cluster: ClipperConnection) -> None:
    cluster.register_application("app", "doubles", "none", 1000000)
    deploy(cluster, "m", 1, "one")
    cluster.link_model_to_app("app", "m")
    until(lambda: ask(cluster, "app").output == "one", "version 1")
    deploy(cluster, "m", 2, "two")
    until(lambda: ask(cluster, "app").output == "two", "version 2")
    assert cluster.get_current_model_version("m") == "2"
    cluster.set_model_version("m", 1, num_replicas=2)
    until(lambda: ask(cluster, "app").output == "one", "version 1 again")
    assert cluster.get_num_replicas("m") == 2
    assert cluster.get_num_replicas("m", 2) == 1
    described = cluster.client.describe_application("app")
    assert cluster.client.predict(described, [1.0], version="2").output == "two"


def test_replicas_are_scaled_and_counts_agree(cluster: ClipperConnection) -> None:
    deploy(cluster, "m", "v-1", "x")
    for count in (3, 1, 0, 2):
        cluster.set_num_replicas("m", count)
        assert cluster.get_num_replicas("m", "v-1") == count
        assert len(cluster.get_all_model_replicas()) == count
    found = cluster.get_all_model_replicas(verbose=True)[0]
    assert found["model_id"] == "m:v-1"
    assert cluster.get_model_replica_info("m", "v-1", found["model_replica_id"]) == found


def test_stopping_by_model_by_version_and_what_is_inactive(cluster: ClipperConnection) -> None:
    for name in ("a", "b"):
        for version in (1, 2):
            deploy(cluster, name, version, "x")
    assert len(cluster.get_all_model_replicas()) == 4
    cluster.stop_versioned_models({"a": [1]})
    assert cluster.get_all_models() == ["a:2", "b:1", "b:2"]
    cluster.stop_inactive_model_versions(["a", "b"])
    assert cluster.get_all_models() == ["a:2", "b:2"]
    until(lambda: sorted(each[:3] for each in cluster.get_all_model_replicas()) == ["a:2", "b:2"], "two replicas")
    cluster.stop_models(["a"])
    assert cluster.get_all_models() == ["b:2"]
    cluster.stop_all_model_containers()
    assert cluster.get_all_models() == []
    assert [each["kind"] for each in cluster.cm.status().processes if each["kind"] == "replica"] == []
    deploy(cluster, "a", 1, "again")  # a name that was stopped is free


def test_a_version_is_deployed_once(cluster: ClipperConnection) -> None:
    deploy(cluster, "m", 1, "x")
    with pytest.raises(ClipperException, match="version 1 already") as told:
        deploy(cluster, "m", 1, "y")
    assert isinstance(told.value.__cause__, VersionExists)
    assert len(cluster.get_all_model_replicas()) == 1


def test_a_model_that_cannot_load_is_told_with_its_log_and_leaves_nothing(cluster: ClipperConnection) -> None:
    class Bomb:
        def __reduce__(self) -> object:
            return eval, ("1/0",)

    bomb = Bomb()
    with pytest.raises(ClipperException, match=r"model-m_1-0 ended with exit code(.|\n)*ZeroDivisionError"):
        python_deployer.deploy_python_closure(cluster, "m", 1, "doubles", lambda xs: [bomb for _ in xs])
    assert cluster.get_all_models() == []
    assert list((cluster.cm.directory / "models").iterdir()) == []
    deploy(cluster, "m", 1, "better")


def test_a_version_of_another_type_than_the_linked_application_never_goes_live(cluster: ClipperConnection) -> None:
    cluster.register_application("app", "doubles", "none", 1000000)
    deploy(cluster, "m", 1, "one")
    cluster.link_model_to_app("app", "m")
    with pytest.raises(ClipperException) as told:
        python_deployer.deploy_python_closure(cluster, "m", 2, "strings", lambda xs: list(xs))
    assert isinstance(told.value.__cause__, LinkTypeMismatch)
    assert cluster.get_all_models() == ["m:1"]
    until(lambda: ask(cluster, "app").output == "one", "version 1 still")


def test_a_model_directory_is_deployed_as_what_it_was_saved_as(cluster: ClipperConnection, tmp_path: Path) -> None:
    save_function(tmp_path / "m", name="m", version="7", input_type="doubles", func=feature_sum)
    with pytest.raises(ClipperException, match="whose version is 7, not 8"):
        cluster.build_and_deploy_model("m", 8, "doubles", str(tmp_path / "m"))
    with pytest.raises(ClipperException, match="whose input_type is doubles, not strings"):
        cluster.deploy_model("m", 7, "strings", str(tmp_path / "m"))
    with pytest.raises(ClipperException, match="is no directory"):
        cluster.build_and_deploy_model("m", 7, "doubles", str(tmp_path / "nothing"))
    assert cluster.get_all_models() == []
    image = cluster.build_model("m", 7, str(tmp_path / "m"))
    cluster.deploy_model("m", 7, "doubles", image, labels=["by hand"], batch_size=9)
    found = cluster.get_model_info("m", 7)
    assert found is not None
    assert (found["labels"], found["batch_size"], found["is_current_version"]) == (["by hand"], 9, True)


def test_code_of_a_module_of_ones_own_travels_along(
    cluster: ClipperConnection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_features.py").write_text("def double(x):\n    return 2 * sum(x)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import my_features  # type: ignore[import-not-found]

    python_deployer.create_endpoint(
        cluster, name="doubled", input_type="doubles", func=lambda xs: [str(my_features.double(x)) for x in xs]
    )
    sys.modules.pop("my_features")
    until(lambda: ask(cluster, "doubled").output == "7.0", "twice the sum")


def test_a_containerless_model_is_registered_and_cannot_be_scaled(cluster: ClipperConnection) -> None:
    cluster.register_model("m", 1, "doubles")
    assert cluster.get_current_model_version("m") == "1"
    with pytest.raises(ClipperException, match="containerless model"):
        cluster.set_num_replicas("m", 2)
    with pytest.raises(ClipperException, match='No model "nope"'):
        cluster.set_num_replicas("nope", 2)


def test_missing_packages_are_told_before_anything_is_started(cluster: ClipperConnection) -> None:
    with pytest.raises(ClipperException, match=r"pip install 'no-such-package-anywhere>=1\.0'"):
        python_deployer.deploy_python_closure(
            cluster, "m", 1, "doubles", feature_sum, pkgs_to_install=["numpy", "no-such-package-anywhere>=1.0"]
        )
    assert cluster.get_all_models() == []


@pytest.mark.parametrize(
    ("name", "version"), [("Sum_Model", 1), ("", 1), ("sum-", 1), ("m" * 64, 1), ("m", ""), ("m", "a:b")]
)
def test_names_and_versions_follow_the_rule(cluster: ClipperConnection, name: str, version: object) -> None:
    with pytest.raises(ClipperException, match=r"is no (name|version)"):
        deploy(cluster, name, version, "x")


def test_logs_of_every_process_are_written_into_a_directory(cluster: ClipperConnection, tmp_path: Path) -> None:
    deploy(cluster, "m", 1, "x")
    paths = cluster.get_clipper_logs(str(tmp_path / "logs"))
    names = {Path(path).name for path in paths}
    assert {"redis.log", "manager.log", "frontend.log", "gateway.log", "model-m_1-0.log"} <= names
    assert all(Path(path).stat().st_size >= 0 for path in paths)


def test_metrics_are_a_dict(cluster: ClipperConnection) -> None:
    assert cluster.inspect_instance()


def test_models_can_be_stopped_without_a_connection(cluster: ClipperConnection) -> None:
    deploy(cluster, "m", 1, "x")
    unconnected = ClipperConnection(manager(cluster.cm.directory.parent))
    unconnected.stop_all_model_containers()
    assert [each["kind"] for each in cluster.cm.status().processes if each["kind"] == "replica"] == []
