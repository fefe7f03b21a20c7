"""Each process of a running cluster killed in turn: it comes back by itself, and the cluster is as it was."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from clusters import ask, deploy_sum, local_cluster, pid_of, pids_of, until

from clipper_admin import ClipperConnection

pytestmark = pytest.mark.cluster

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClipperConnection]:
    with local_cluster(tmp_path_factory.mktemp("home")) as connection:
        deploy_sum(connection)
        yield connection


def answers_over_rest(connection: ClipperConnection) -> bool:
    url = f"http://{connection.get_query_addr()}/hello-world/predict"
    try:
        reply = httpx.post(url, json={"input": [1.5, 2.0], "bypass_cache": True}, timeout=5)
    except httpx.HTTPError:
        return False
    return reply.status_code == 200 and reply.json()["output"] == 3.5


@pytest.mark.parametrize("name", ["model-sum-model_1-0", "gateway", "manager", "redis", "frontend"])
def test_a_killed_process_comes_back_and_everything_is_as_it_was(cluster: ClipperConnection, name: str) -> None:
    until(lambda: answers_over_rest(cluster), "an answer before")
    addresses = cluster.cm.status().addresses
    before = pid_of(cluster, name)
    os.kill(before, signal.SIGKILL)
    until(lambda: pid_of(cluster, name) not in (0, before), f"another {name}")
    until(lambda: {each["state"] for each in cluster.cm.status().processes} == {"running"}, "all running")
    until(lambda: answers_over_rest(cluster), "an answer over REST after")
    assert cluster.cm.status().addresses == addresses
    assert cluster.get_all_apps() == ["hello-world"]
    assert cluster.get_linked_models("hello-world") == ["sum-model"]
    until(lambda: len(cluster.get_all_model_replicas()) == 1, "the one replica")
    until(lambda: not ask(cluster).default, "an answer over gRPC")


def test_an_idle_cluster_uses_next_to_no_cpu(cluster: ClipperConnection) -> None:
    until(lambda: answers_over_rest(cluster), "an answer before")
    pids = pids_of(cluster)

    def used_s() -> float:
        stats = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids]
        return sum(int(each[11]) + int(each[12]) for each in stats) / TICKS_PER_S

    before, began = used_s(), time.monotonic()
    time.sleep(8)  # what is measured is this time itself
    share = (used_s() - before) / (time.monotonic() - began)
    print(f"\nan idle cluster of {len(pids)} processes uses {share:.2%} of a core")
    assert share < 0.05
