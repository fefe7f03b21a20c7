"""The scenarios of Clipper's clipper_admin_tests.py on a local cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from admin_scenarios import SCENARIOS, clear
from clusters import local_cluster

from clipper_admin import ClipperConnection

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClipperConnection]:
    with local_cluster(tmp_path_factory.mktemp("scenarios")) as connection:
        yield connection


@pytest.fixture
def empty(cluster: ClipperConnection) -> Iterator[ClipperConnection]:
    yield cluster
    clear(cluster)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda each: each.__name__)
def test_a_local_cluster(empty: ClipperConnection, scenario: Callable[[ClipperConnection], None]) -> None:
    scenario(empty)
