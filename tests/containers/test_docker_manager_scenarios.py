"""The scenarios of Clipper's clipper_admin_tests.py, and a rollout under traffic, on a cluster of containers."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from admin_scenarios import SCENARIOS, clear
from rollouts import deploy_roll_back_and_scale

from clipper_admin import ClipperConnection

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]


@pytest.fixture
def empty(cluster: ClipperConnection) -> Iterator[ClipperConnection]:
    yield cluster
    clear(cluster)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda each: each.__name__)
def test_a_cluster_of_containers(empty: ClipperConnection, scenario: Callable[[ClipperConnection], None]) -> None:
    scenario(empty)


def test_traffic_sees_no_error_and_no_default_through_a_rollout_of_containers(empty: ClipperConnection) -> None:
    deploy_roll_back_and_scale(empty, "rolling", "model")
