"""The scenarios of Clipper's own integration tests, on a cluster of local processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import scenarios
from clusters import local_cluster

from clipper_admin import ClipperConnection

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


@pytest.mark.parametrize(
    "scenario",
    [
        scenarios.configuration,
        scenarios.inactive_versions,
        scenarios.rehearsed_and_served,
        scenarios.pinned_versions,
        scenarios.defaults_and_batches,
        scenarios.fixed_batches,
    ],
    ids=lambda scenario: scenario.__name__,
)
def test_a_scenario_of_clippers_own_tests(
    cluster: ClipperConnection, scenario: Callable[[ClipperConnection], None]
) -> None:
    scenario(cluster)


def test_many_applications_and_many_models(cluster: ClipperConnection, tmp_path: Path) -> None:
    scenarios.many_apps_many_models(cluster, tmp_path / "logs")
