"""Starting, finding, stopping and starting again; several clusters; taken ports; what a crash leaves."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from clusters import ask, deploy_sum, local_cluster, manager, pid_of, pids_of, until

from clipper_admin import ClipperConnection, ClipperException, UnconnectedException
from clipper_admin.supervisor.leftovers import birth

pytestmark = pytest.mark.cluster


def test_a_second_start_says_what_runs_and_disturbs_nothing(tmp_path: Path) -> None:
    with local_cluster(tmp_path) as first:
        before = pids_of(first)
        second = ClipperConnection(manager(tmp_path))
        with pytest.raises(ClipperException, match=rf"runs already .*gRPC at {first.cm.get_frontend_addr()}.*connect"):
            second.start_clipper()
        assert pids_of(first) == before


def test_a_new_process_finds_the_cluster_and_all_that_is_configured(tmp_path: Path) -> None:
    with local_cluster(tmp_path) as connection:
        connection.register_application("hello-world", "doubles", "-1.0", 100000)
        code = (
            "from clipper_admin import ClipperConnection, LocalContainerManager\n"
            f"c = ClipperConnection(LocalContainerManager('test', home={str(tmp_path)!r}))\n"
            "c.connect(); print(c.get_app_info('hello-world'), c.get_query_addr())"
        )
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
        assert "'latency_slo_micros': 100000" in run.stdout, run.stderr
        assert connection.get_query_addr() in run.stdout


def test_taken_ports_are_exchanged_for_free_ones(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with local_cluster(tmp_path, clipper_query_port=port, clipper_rpc_port=port) as connection:
            assert connection.get_query_addr() != f"127.0.0.1:{port}"
            assert connection.cm.get_frontend_addr() != connection.get_query_addr()
            assert connection.get_all_apps() == []


def test_a_free_port_is_the_one_that_was_wanted(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with local_cluster(tmp_path, clipper_query_port=port) as connection:
        assert connection.get_query_addr() == f"127.0.0.1:{port}"


def test_everything_is_there_again_after_stop_and_start(tmp_path: Path) -> None:
    with local_cluster(tmp_path) as connection:
        deploy_sum(connection, replicas=2)
    with local_cluster(tmp_path) as connection:
        assert connection.get_all_apps() == ["hello-world"]
        assert connection.get_linked_models("hello-world") == ["sum-model"]
        assert connection.get_num_replicas("sum-model") == 2
        until(lambda: not ask(connection).default, "an answer of the model")
        assert float(ask(connection).output) == 3.5
        until(lambda: len(connection.get_all_model_replicas()) == 2, "both replicas")


def test_clusters_on_one_machine_do_not_disturb_each_other(tmp_path: Path) -> None:
    with local_cluster(tmp_path, "one") as one, local_cluster(tmp_path, "two") as two:
        one.register_application("hello-world", "doubles", "-1.0", 100000)
        assert two.get_all_apps() == []
        two.register_application("hello-world", "strings", "none", 100000)
        assert ask(one).output == "-1.0"
        assert ask(two, value="x").output == "none"
        two.stop_all()
        assert one.get_all_apps() == ["hello-world"]
        two.start_clipper()
        assert two.get_all_apps() == ["hello-world"]


def test_a_home_that_is_too_long_for_unix_sockets_is_no_obstacle(tmp_path: Path) -> None:
    home = tmp_path / ("a-directory-with-a-long-name" * 4)
    with local_cluster(home) as connection:
        assert connection.get_all_apps() == []
        assert manager(home).is_running()


def test_files_of_a_cluster_are_for_its_user_alone(tmp_path: Path) -> None:
    with local_cluster(tmp_path / "home") as connection:
        directory = connection.cm.directory
        assert directory.stat().st_mode & 0o777 == 0o700
        for name in ("cluster.json", "settings.json", "processes.json"):
            assert (directory / name).stat().st_mode & 0o777 == 0o600


def test_a_killed_supervisor_leaves_no_orphans_and_the_next_start_brings_everything_back(tmp_path: Path) -> None:
    connection = ClipperConnection(manager(tmp_path))
    connection.start_clipper()
    deploy_sum(connection)
    pids = pids_of(connection)
    os.kill(pids[0], signal.SIGKILL)
    until(lambda: not any(birth(pid) for pid in pids), "the end of all processes")
    with pytest.raises(ClipperException, match="has crashed"):
        ClipperConnection(manager(tmp_path)).connect()
    with local_cluster(tmp_path) as again:
        until(lambda: not ask(again).default, "an answer of the model")


def test_a_start_right_after_a_killed_supervisor_ends_what_is_left_first(tmp_path: Path) -> None:
    connection = ClipperConnection(manager(tmp_path))
    connection.start_clipper()
    pids = pids_of(connection)
    redis = pid_of(connection, "redis")
    os.kill(redis, signal.SIGSTOP)  # deaf to the SIGTERM that its parent's death sends
    os.kill(pids[0], signal.SIGKILL)
    until(lambda: not birth(pids[0]), "the end of the supervisor")
    with local_cluster(tmp_path) as again:
        assert not birth(redis)
        assert again.get_all_apps() == []


def test_sigterm_stops_a_cluster_in_order(tmp_path: Path) -> None:
    connection = ClipperConnection(manager(tmp_path))
    connection.start_clipper()
    pids = pids_of(connection)
    connection.stop_all(graceful=False)
    assert not any(birth(pid) for pid in pids)


def test_an_interrupted_start_leaves_nothing(tmp_path: Path) -> None:
    code = f"import clusters, pathlib\nclusters.manager(pathlib.Path({str(tmp_path)!r})).start_clipper()"
    tests = str(Path(__file__).parents[1])
    process = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": tests})
    cluster_json = manager(tmp_path).directory / "cluster.json"
    until(cluster_json.exists, "a supervisor that starts processes")
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == -signal.SIGINT
    assert not manager(tmp_path).is_running()
    assert (manager(tmp_path).directory / "processes.json").read_text() == "{}\n"


def test_stopping_what_does_not_run_is_no_error_and_finding_it_is(tmp_path: Path) -> None:
    connection = ClipperConnection(manager(tmp_path))
    connection.stop_all()
    with pytest.raises(ClipperException, match=r"No cluster test runs here.*start_clipper"):
        connection.connect()
    with pytest.raises(UnconnectedException, match="connect"):
        connection.get_all_apps()


def test_purge_forgets_everything(tmp_path: Path) -> None:
    with local_cluster(tmp_path) as connection:
        connection.register_application("hello-world", "doubles", "-1.0", 100000)
        with pytest.raises(ClipperException, match="Stop it first"):
            connection.cm.purge()
    manager(tmp_path).purge()
    assert not manager(tmp_path).directory.exists()
    with local_cluster(tmp_path) as connection:
        assert connection.get_all_apps() == []


def test_a_cluster_that_cannot_start_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    connection = ClipperConnection(manager(tmp_path, redis_url="redis://127.0.0.1:1/0", transport="carrier-pigeon"))
    with pytest.raises(ClipperException, match="did not start"):
        connection.start_clipper()
    assert not manager(tmp_path).is_running()
    assert not (manager(tmp_path).directory / "cluster.json").exists()


def test_a_redis_of_somebody_else_is_used_and_left_running(tmp_path: Path, redis_url: str) -> None:
    with local_cluster(tmp_path, redis_url=redis_url) as connection:
        connection.register_application("hello-world", "doubles", "-1.0", 100000)
        assert [each["name"] for each in connection.cm.status().processes] == ["manager", "frontend", "gateway"]
    with local_cluster(tmp_path, redis_url=redis_url) as connection:
        assert connection.get_all_apps() == ["hello-world"]
