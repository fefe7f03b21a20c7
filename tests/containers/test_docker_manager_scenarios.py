"""The scenarios of Clipper's clipper_admin_tests.py, and a rollout under traffic, on a cluster of containers."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from admin_scenarios import SCENARIOS, clear, keeps_clusters_apart, tells_the_metrics_of_each_replica
from containers.asking import MakeManager
from rollouts import deploy_roll_back_and_scale

from clipper_admin import ClipperConnection, DockerContainerManager

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]


@pytest.fixture
def empty(cluster: ClipperConnection) -> Iterator[ClipperConnection]:
    yield cluster
    clear(cluster)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda each: each.__name__)
def test_a_cluster_of_containers(empty: ClipperConnection, scenario: Callable[[ClipperConnection], None]) -> None:
    scenario(empty)


def test_two_clusters_of_containers_with_the_same_application(
    empty: ClipperConnection, make_manager: MakeManager
) -> None:
    other = ClipperConnection(make_manager())
    other.start_clipper()
    keeps_clusters_apart(empty, other)
    other.stop_all(graceful=False)


ASK = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:1390/metrics').read().decode())"


def test_each_replica_in_a_container_tells_its_metrics(empty: ClipperConnection) -> None:
    manager = empty.cm
    assert isinstance(manager, DockerContainerManager)

    def told() -> list[str]:
        replicas = [each for each in manager.containers() if "ai.clipper.model_container.label" in each.labels]
        return [each.exec_run(["python", "-c", ASK]).output.decode() for each in replicas]

    tells_the_metrics_of_each_replica(empty, told)


def test_traffic_sees_no_error_and_no_default_through_a_rollout_of_containers(empty: ClipperConnection) -> None:
    deploy_roll_back_and_scale(empty, "rolling", "model")
