"""The scenarios of Clipper's own integration tests, on a cluster of Docker containers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import scenarios

from clipper_admin import ClipperConnection

pytestmark = [pytest.mark.docker, pytest.mark.timeout(600)]


@pytest.fixture
def empty(cluster: ClipperConnection) -> Iterator[ClipperConnection]:
    """A running cluster with nothing configured."""
    yield cluster
    cluster.stop_all_model_containers()
    for name in cluster.get_all_apps():
        cluster.unregister_application(name)


@pytest.mark.parametrize(
    "scenario",
    [scenarios.configuration, scenarios.inactive_versions, scenarios.pinned_versions, scenarios.defaults_and_batches],
    ids=lambda scenario: scenario.__name__,
)
def test_a_scenario_of_clippers_own_tests(
    empty: ClipperConnection, scenario: Callable[[ClipperConnection], None]
) -> None:
    scenario(empty)


def test_many_applications_and_many_models(empty: ClipperConnection, tmp_path: Path) -> None:
    scenarios.many_apps_many_models(empty, tmp_path / "logs")
