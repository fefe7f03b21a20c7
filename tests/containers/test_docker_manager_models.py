"""Models in containers: built, deployed, scaled, crashed, stopped; each as Clipper's own integration tests had it."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from typing import Any

import pytest
from containers.asking import MakeManager, ask, until, until_output
from traffic import another_value

from clipper_admin import ClipperConnection, ClipperException
from clipper_admin.deployers import python as python_deployer

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]


def feature_sum(xs: Any) -> list[str]:
    return [str(sum(x)) for x in xs]


def replicas(engine: Any, connection: ClipperConnection, model: str) -> list[Any]:
    cluster = f"ai.clipper.container.label={connection.cm.cluster_name}"
    labels = [cluster, f"ai.clipper.model_container.label={model}"]
    found: list[Any] = engine.containers.list(all=True, filters={"label": labels})
    return found


@pytest.fixture(scope="module")
def summing(cluster: ClipperConnection) -> ClipperConnection:
    """A cluster with an application `app` that is linked to a model `sum-model`, version 1."""
    cluster.register_application("app", "doubles", "default", 1_000_000)
    python_deployer.deploy_python_closure(cluster, "sum-model", 1, "doubles", feature_sum)
    cluster.link_model_to_app("app", "sum-model")
    until_output(cluster, "app", [1.5, 2.0], 3.5)
    return cluster


def test_replicas_are_scaled_and_counts_agree_with_what_runs(engine: Any, summing: ClipperConnection) -> None:
    first = {each.id for each in replicas(engine, summing, "sum-model_1")}
    for count in (3, 1):
        summing.set_num_replicas("sum-model", count)
        found = replicas(engine, summing, "sum-model_1")
        assert len(found) == summing.get_num_replicas("sum-model") == count
        assert len(summing.get_all_model_replicas()) == count
    assert {each.id for each in found} == first, "the oldest stays"
    assert {each.attrs["HostConfig"]["RestartPolicy"]["Name"] for each in found} == {"unless-stopped"}
    until_output(summing, "app", [1.0], 1.0)


def test_logs_of_a_model_are_those_of_its_containers_and_what_others_say_of_it(summing: ClipperConnection) -> None:
    (name,) = {each.name for each in summing.cm.containers() if each.name.startswith("sum-model_1-")}
    others = {each.name for each in summing.cm.containers()} - {name}
    lines = [json.loads(line) for line in logs(summing, "--model", "sum-model", "--since", "1h")]
    assert {"listening", "model_ready", "registered"} <= {each["event"] for each in lines if each["log"] == name}
    assert {each["event"] for each in lines if each["log"] in others} >= {"changed", "replica_up"}
    assert not [each for each in logs(summing, "--model", "sum") if each], "the name of another model"


def test_logs_are_followed_and_tell_of_one_application(summing: ClipperConnection) -> None:
    summing.register_application("nobody", "doubles", "default", 1_000_000)
    command = [sys.executable, "-m", "clipperctl", "--cluster", summing.cm.cluster_name, "-o", "json"]
    with subprocess.Popen([*command, "logs", "--docker", "-f", "--app", "nobody"], stdout=subprocess.PIPE) as following:
        try:
            assert following.stdout is not None
            assert json.loads(following.stdout.readline())["event"] == "changed", "what was said before"
            ask(summing, "nobody", [1.0])
            line = json.loads(following.stdout.readline())
        finally:
            following.terminate()
    summing.unregister_application("nobody")
    assert (line["event"], line["application"], line["reason"]) == ("default_answered", "nobody", "NO_MODEL")


def logs(connection: ClipperConnection, *options: str) -> list[str]:
    command = [sys.executable, "-m", "clipperctl", "--cluster", connection.cm.cluster_name, "-o", "json"]
    done = subprocess.run([*command, "logs", "--docker", *options], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_crashed_replica_comes_back_by_itself(engine: Any, summing: ClipperConnection) -> None:
    (container,) = replicas(engine, summing, "sum-model_1")
    container.exec_run(["python", "-c", "import os; os.kill(-1, 9)"], detach=True)

    def came_back() -> bool:
        container.reload()
        return bool(container.attrs["RestartCount"]) and container.status == "running"

    until(came_back)
    until_output(summing, "app", [4.0], 4.0)
    assert summing.get_num_replicas("sum-model") == 1


def test_without_replicas_the_default_is_answered_and_they_can_come_again(summing: ClipperConnection) -> None:
    summing.set_num_replicas("sum-model", 0)
    # The cache goes on answering what it knows.
    reply = until(lambda: (found := ask(summing, "app", another_value())).get("default") and found)
    assert reply["output"] == "default"
    assert reply["default_explanation"] == "No connected models found for query"
    summing.set_num_replicas("sum-model", 1)
    until_output(summing, "app", [2.0], 2.0)


def test_a_model_that_cannot_load_is_told_and_leaves_nothing(engine: Any, summing: ClipperConnection) -> None:
    class Breaks:
        def __reduce__(self) -> Any:
            return (eval, ("1/0",))

    broken = Breaks()
    with pytest.raises(ClipperException, match=r"exit code 6\. It said: .*ZeroDivisionError"):
        python_deployer.deploy_python_closure(summing, "broken", 1, "doubles", lambda xs: [broken for _ in xs])
    assert not replicas(engine, summing, "broken_1")
    assert "broken:1" not in summing.get_all_models()


def test_packages_that_a_model_needs_are_installed_and_progress_is_told(
    summing: ClipperConnection, caplog: pytest.LogCaptureFixture
) -> None:
    def plurals(words: Any) -> list[str]:
        import inflection  # type: ignore[import-not-found,unused-ignore]

        return [str(inflection.pluralize(each)) for each in words]

    with caplog.at_level(logging.INFO, "clipper_admin"):
        python_deployer.create_endpoint(
            summing, "plurals", "strings", plurals, pkgs_to_install=["inflection==0.5.1"], slo_micros=1_000_000
        )
    assert "Installing inflection==0.5.1" in caplog.text
    assert "Pushing" not in caplog.text, "only where a registry is named"
    until_output(summing, "plurals", "octopus", "octopi")


def test_a_package_that_there_is_not_is_told_before_anything_starts(engine: Any, summing: ClipperConnection) -> None:
    with pytest.raises(ClipperException, match=r"could not be built(.|\n)*clipper-no-such-package"):
        python_deployer.deploy_python_closure(
            summing, "missing", 1, "doubles", feature_sum, pkgs_to_install=["clipper-no-such-package"]
        )
    assert not replicas(engine, summing, "missing_1")


def test_an_image_is_pushed_only_where_a_registry_is_named(summing: ClipperConnection) -> None:
    with pytest.raises(ClipperException, match=r"127\.0\.0\.1:9/.*could not be pushed"):
        python_deployer.deploy_python_closure(summing, "pushed", 1, "doubles", feature_sum, registry="127.0.0.1:9")


def test_models_are_stopped_by_version_by_name_and_all(engine: Any, summing: ClipperConnection) -> None:
    for name in ("first", "second"):
        for version in (1, 2):
            python_deployer.deploy_python_closure(summing, name, version, "doubles", feature_sum)

    def running() -> dict[str, int]:
        keys = (f"{name}_{version}" for name in ("first", "second") for version in (1, 2))
        return {key: len(found) for key in keys if (found := replicas(engine, summing, key))}

    assert running() == {"first_1": 1, "first_2": 1, "second_1": 1, "second_2": 1}
    summing.stop_inactive_model_versions(["first"])
    assert running() == {"first_2": 1, "second_1": 1, "second_2": 1}
    summing.stop_versioned_models({"second": ["1"]})
    assert running() == {"first_2": 1, "second_2": 1}
    summing.stop_models(["first"])
    assert running() == {"second_2": 1}
    assert "second:2" in summing.get_all_models()
    assert "first:2" not in summing.get_all_models()


def test_a_replica_needs_a_frontend(make_manager: MakeManager) -> None:
    from clipper_admin import UnconnectedException

    with pytest.raises(UnconnectedException):
        make_manager().set_num_replicas("m", "1", "doubles", "image", 1)
