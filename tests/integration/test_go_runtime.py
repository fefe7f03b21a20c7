"""The example of a runtime in Go: keeps the rules, serves a cluster's queries, and leaves without hurting one."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from clusters import local_cluster, until
from traffic import flawless

from clipper_admin import ClipperConnection
from clipperctl.command import cli
from processes import Process

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def binary(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The example, compiled."""
    target = tmp_path_factory.mktemp("go") / "go_runtime"
    command = [str(ROOT / "tools" / "go"), "build", "-C", str(ROOT / "examples" / "go_runtime"), "-o", str(target), "."]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return str(target)


def runtime(binary: str, log: Path, *flags: str) -> Process:
    return Process([binary, *flags], log=log).start()


def test_it_keeps_every_rule(binary: str, tmp_path: Path) -> None:
    process = runtime(binary, tmp_path / "go.log", "-manager", "none")
    inputs = [option for each in ("[1, 2]", "[3, 6]", "[8, 8]") for option in ("--input", each)]
    done = CliRunner().invoke(cli, ["runtime", "check", process.address, *inputs, "--failing-input", "[-1]"])
    assert done.exit_code == 0, done.output
    assert "\n25 holds\n" in done.output
    process.stop()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClipperConnection]:
    """A cluster that has a model whose replicas are to come."""
    with local_cluster(tmp_path_factory.mktemp("cluster")) as connection:
        connection.register_application("roots", "doubles", "none", 10_000_000)
        connection.register_model("root", 1, "doubles")
        connection.link_model_to_app("roots", "root")
        yield connection


def replicas(connection: ClipperConnection) -> int:
    return len(connection.get_all_model_replicas())


def test_it_serves_a_cluster_and_its_replicas_come_and_go_without_a_lost_query(
    binary: str, cluster: ClipperConnection, tmp_path: Path
) -> None:
    manager = ("-manager", cluster.cm.get_manager_addr())
    first = runtime(binary, tmp_path / "first.log", *manager)
    until(lambda: replicas(cluster) == 1, "the replica has registered")
    asked = cluster.client.describe_application("roots")
    until(lambda: cluster.client.predict(asked, [4, 5]).output == 3, "the frontend knows the replica")
    with flawless(cluster, "roots") as traffic:
        second = runtime(binary, tmp_path / "second.log", *manager)
        until(lambda: replicas(cluster) == 2, "the second has registered")
        traffic.goes_on(50)
        assert first.stop() == 0
        assert replicas(cluster) == 1
        traffic.goes_on(50)
    batch = cluster.client.predict_batch(asked, [[4, 5], [-1], [0]])
    assert [getattr(each, "output", None) for each in batch] == [3, "none", 0]
    assert second.stop() == 0
