"""The scenarios of Clipper's clipper_admin_tests.py on a local cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import httpx
import pytest
from admin_scenarios import SCENARIOS, clear, keeps_clusters_apart, tells_the_metrics_of_each_replica
from clusters import local_cluster

from clipper_admin import ClipperConnection, LocalContainerManager

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClipperConnection]:
    with local_cluster(tmp_path_factory.mktemp("scenarios")) as connection:
        yield connection


def test_two_local_clusters_with_the_same_application(
    empty: ClipperConnection, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with local_cluster(tmp_path_factory.mktemp("other"), "other") as other:
        keeps_clusters_apart(empty, other)


def test_each_replica_of_a_local_cluster_tells_its_metrics(empty: ClipperConnection) -> None:
    manager = empty.cm
    assert isinstance(manager, LocalContainerManager)

    def told() -> list[str]:
        places = [each["metrics"] for each in manager.status().processes if each["kind"] == "replica"]
        return [httpx.get(f"http://{each}/metrics", trust_env=False).text for each in places]

    tells_the_metrics_of_each_replica(empty, told)


@pytest.fixture
def empty(cluster: ClipperConnection) -> Iterator[ClipperConnection]:
    yield cluster
    clear(cluster)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda each: each.__name__)
def test_a_local_cluster(empty: ClipperConnection, scenario: Callable[[ClipperConnection], None]) -> None:
    scenario(empty)
