"""Deploying, rolling back, scaling and stopping under traffic, on a local cluster."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from clusters import local_cluster
from rollouts import deploy_roll_back_and_scale

from clipper_admin import ClipperConnection

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClipperConnection]:
    with local_cluster(tmp_path_factory.mktemp("rollouts")) as connection:
        yield connection


def test_traffic_sees_no_error_and_no_default_through_a_rollout(cluster: ClipperConnection) -> None:
    deploy_roll_back_and_scale(cluster, "rolling", "model")
