"""Clusters of containers: started, found, isolated, stopped without a trace."""

from __future__ import annotations

import gc
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from containers.asking import MakeManager, until

from clipper_admin import ClipperConnection, ClipperException, DockerContainerManager, UnconnectedException
from clipper_admin.deployers import python as python_deployer
from clipper_admin.exceptions import AlreadyRunningException, NotRunningException

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]


def of(engine: Any, connection: ClipperConnection) -> dict[str, Any]:
    """The containers of a cluster, by the last part of their names."""
    label = f"ai.clipper.container.label={connection.cm.cluster_name}"
    found = engine.containers.list(all=True, filters={"label": label})
    return {each.name.rpartition("-")[2]: each for each in found}


def crash(container: Any) -> None:
    """Kills what runs in a container, as a crash would."""
    container.exec_run(["python", "-c", "import os; os.kill(-1, 9)"], detach=True)


def is_healthy(container: Any) -> bool:
    container.reload()
    return bool(container.attrs["State"]["Health"]["Status"] == "healthy")


def came_back(container: Any) -> bool:
    container.reload()
    return bool(container.attrs["RestartCount"]) and container.status == "running"


def test_a_cluster_is_found_again_by_another_process_with_its_ports(cluster: ClipperConnection, network: str) -> None:
    code = (
        "from clipper_admin import ClipperConnection, DockerContainerManager\n"
        f"c = ClipperConnection(DockerContainerManager({cluster.cm.cluster_name!r}, docker_network={network!r}))\n"
        "c.connect(); print(c.get_query_addr(), c.cm.get_admin_addr(), c.cm.get_manager_addr(), c.get_all_apps())"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    cm = cluster.cm
    assert told.strip() == f"{cm.get_query_addr()} {cm.get_admin_addr()} {cm.get_manager_addr()} []"


def test_its_containers_have_labels_and_healthchecks_and_no_rights(engine: Any, cluster: ClipperConnection) -> None:
    found = of(engine, cluster)
    assert set(found) == {"redis", "manager", "frontend", "gateway"}
    assert "ai.clipper.query_frontend.label" in found["frontend"].labels
    assert "ai.clipper.management_frontend.label" in found["gateway"].labels
    assert found["gateway"].labels["ai.clipper.query_frontend.query.port"] == cluster.get_query_addr().split(":")[1]
    for each in found.values():
        config, host = each.attrs["Config"], each.attrs["HostConfig"]
        assert config["User"] not in ("", "root", "0")
        assert host["ReadonlyRootfs"]
        assert host["CapDrop"] == ["ALL"]
        assert host["RestartPolicy"]["Name"] == "unless-stopped"
        assert {port["HostIp"] for ports in (host["PortBindings"] or {}).values() for port in ports} <= {"127.0.0.1"}
        until(lambda: is_healthy(each))  # noqa: B023  # called at once


def test_ports_that_are_taken_are_exchanged(cluster: ClipperConnection, make_manager: MakeManager) -> None:
    taken = int(cluster.get_query_addr().split(":")[1])
    other = ClipperConnection(make_manager(clipper_query_port=taken, clipper_management_port=taken))
    other.start_clipper()
    ports = {int(each.split(":")[1]) for each in (other.get_query_addr(), other.cm.get_admin_addr())}
    assert len(ports) == 2
    assert taken not in ports
    other.stop_all()
    assert cluster.inspect_instance(), "its neighbour goes on"


def test_two_clusters_know_nothing_of_each_other(cluster: ClipperConnection, make_manager: MakeManager) -> None:
    other = ClipperConnection(make_manager())
    other.start_clipper()
    try:
        for connection, default in ((cluster, "mine"), (other, "yours")):
            connection.register_application("same", "doubles", default, 100_000)
        infos = [each.get_app_info("same") or {} for each in (cluster, other)]
        assert [each["default_output"] for each in infos] == ["mine", "yours"]
        other.stop_all()
        assert cluster.get_all_apps() == ["same"]
    finally:
        cluster.unregister_application("same")


@pytest.mark.parametrize("part", ["manager", "frontend"])
def test_a_part_that_crashes_comes_back_by_itself(engine: Any, cluster: ClipperConnection, part: str) -> None:
    container = of(engine, cluster)[part]
    crash(container)
    until(lambda: came_back(container))
    cluster.register_application("after", "doubles", "-1", 100_000)
    until(lambda: "after" in cluster.get_all_apps())
    cluster.unregister_application("after")


def test_configuration_survives_a_restart_of_redis(engine: Any, cluster: ClipperConnection) -> None:
    cluster.register_application("lasting", "doubles", "-1", 100_000)
    of(engine, cluster)["redis"].restart(timeout=5)

    def is_writable() -> bool:
        try:
            cluster.register_application("later", "doubles", "-1", 100_000)
        except ClipperException:
            return False
        return True

    until(is_writable)
    assert cluster.get_all_apps() == ["lasting", "later"]
    for name in ("lasting", "later"):
        cluster.unregister_application(name)


def test_logs_are_a_file_for_each_container(cluster: ClipperConnection, tmp_path: Path) -> None:
    paths = [Path(each) for each in cluster.get_clipper_logs(str(tmp_path / "logs"))]
    assert len(paths) == 4
    assert all(re.fullmatch(r"image_[0-9a-f]{12}:container_[0-9a-f]{12}\.log", each.name) for each in paths)
    assert any("serving" in each.read_text() for each in paths)


def test_a_second_start_is_refused_with_a_hint(cluster: ClipperConnection, make_manager: MakeManager) -> None:
    again = ClipperConnection(make_manager(cluster.cm.cluster_name))
    with pytest.raises(AlreadyRunningException, match=r"connect\(\)"):
        again.start_clipper()
    again.connect()
    assert again.get_all_apps() == []
    again.close()


def test_a_cluster_that_does_not_run_is_told_with_those_that_do(
    cluster: ClipperConnection, make_manager: MakeManager
) -> None:
    with pytest.raises(NotRunningException, match=rf"no cluster nobody.*{cluster.cm.cluster_name}"):
        make_manager("nobody").connect()


def test_options_are_for_every_container(engine: Any, make_manager: MakeManager) -> None:
    options = {"mem_limit": "700m", "labels": {"team": "ours"}, "environment": {"CLIPPER_MANAGER_LOG_LEVEL": "debug"}}
    connection = ClipperConnection(make_manager(extra_container_kwargs=options))
    connection.start_clipper()
    for each in of(engine, connection).values():
        assert each.attrs["HostConfig"]["Memory"] == 700 * 1024 * 1024
        assert each.labels["team"] == "ours"
        assert "CLIPPER_MANAGER_LOG_LEVEL=debug" in each.attrs["Config"]["Env"]
    connection.stop_all()


def test_a_network_whose_name_only_begins_like_anothers_is_a_network_of_its_own(
    engine: Any, make_manager: MakeManager, network: str
) -> None:
    longer = engine.networks.create(f"{network}-begins-longer", labels={"ai.clipper.network.label": ""})
    try:
        connection = ClipperConnection(make_manager(docker_network=f"{network}-begins"))
        connection.start_clipper()
        connection.stop_all(graceful=False)
        longer.reload()
    finally:
        longer.remove()


def test_options_that_docker_does_not_know_are_told(make_manager: MakeManager) -> None:
    with pytest.raises(ClipperException, match=r"extra_container_kwargs cannot be: .*nonsense"):
        ClipperConnection(make_manager(extra_container_kwargs={"nonsense": 1})).start_clipper()


def test_stop_all_leaves_nothing_behind(engine: Any, make_manager: MakeManager, network: str) -> None:
    alone = f"{network}-alone"
    connection = ClipperConnection(make_manager(docker_network=alone))
    connection.start_clipper()
    label = {"label": f"ai.clipper.container.label={connection.cm.cluster_name}"}
    assert engine.volumes.list(filters=label)
    connection.stop_all()
    assert not engine.containers.list(all=True, filters=label)
    assert not engine.volumes.list(filters=label)
    assert not engine.networks.list(names=[alone])
    connection.stop_all()  # once more is no error
    with pytest.raises(UnconnectedException):
        connection.get_all_apps()


def test_what_was_given_stays(engine: Any, make_manager: MakeManager, network: str) -> None:
    """A network, a volume and a Redis of the user's: configuration is there again after the next start."""
    mine = engine.networks.create(f"{network}-mine")
    volume = engine.volumes.create(f"{network}-mine")
    try:
        name = "test-given"
        for expected in ([], ["kept"]):
            connection = ClipperConnection(make_manager(name, docker_network=mine.name, redis_volume=volume.name))
            connection.start_clipper()
            assert connection.get_all_apps() == expected
            if not expected:
                connection.register_application("kept", "doubles", "-1", 100_000)
            connection.stop_all()
        mine.reload()
        volume.reload()
    finally:
        volume.remove()
        mine.remove()


def test_an_external_redis_is_used_on_its_true_port(engine: Any, make_manager: MakeManager, network: str) -> None:
    mine = engine.networks.create(f"{network}-redis")
    command = ["redis-server", "--port", "6390", "--bind", "0.0.0.0", "--protected-mode", "no"]
    redis = engine.containers.run("redis:7-bookworm", command, network=mine.name, name=f"{mine.name}-1", detach=True)
    try:
        manager = make_manager(docker_network=mine.name, redis_ip=redis.name, redis_port=6390)
        connection = ClipperConnection(manager)
        connection.start_clipper()
        assert set(of(engine, connection)) == {"manager", "frontend", "gateway"}
        connection.register_application("there", "doubles", "-1", 100_000)
        look = ["docker", "exec", redis.name, "redis-cli", "-p", "6390", "keys", "*"]
        keys = subprocess.run(look, capture_output=True, text=True, check=True).stdout
        assert f"clipper:{manager.cluster_name}:" in keys
        connection.stop_all()
        redis.reload()
        assert redis.status == "running"
    finally:
        redis.remove(force=True, v=True)
        mine.remove()


def test_a_start_that_fails_says_why_and_leaves_nothing(engine: Any, make_manager: MakeManager) -> None:
    connection = ClipperConnection(make_manager(extra_container_kwargs={"environment": {"CLIPPER_FRONTEND_PORT": "x"}}))
    with pytest.raises(ClipperException, match=r"frontend does not serve(.|\n)*--port"):
        connection.start_clipper()
    assert not of(engine, connection)


def test_an_image_that_is_not_there_is_told_with_how_to_get_it(make_manager: MakeManager) -> None:
    with pytest.raises(ClipperException, match=r"no image clipper/frontend:no-such(.|\n)*make images"):
        ClipperConnection(make_manager()).start_clipper(query_frontend_image="clipper/frontend:no-such")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the SDK leaves its socket open
def test_an_engine_that_does_not_answer_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nobody.sock")
    with pytest.raises(ClipperException, match=r"No Docker engine answers(.|\n)*LocalContainerManager"):
        ClipperConnection(DockerContainerManager()).connect()
    gc.collect()


def says_so(xs: Any) -> list[str]:
    print("hello from the model", flush=True)
    return ["" for _ in xs]


FLUENTD = """
FROM python:3.11-slim-bookworm
RUN mkdir -p /fluentd/etc
CMD ["python3", "-u", "-c", "import socketserver as s\\nclass H(s.BaseRequestHandler):\\n  def handle(self):\\n    \
while d := self.request.recv(65536): print(d)\\ns.ThreadingTCPServer(('', 24224), H).serve_forever()"]
"""


def test_logs_can_be_gathered_in_one_container(engine: Any, make_manager: MakeManager, tmp_path: Path) -> None:
    context = tmp_path / "fluentd"
    context.mkdir()
    (context / "Dockerfile").write_text(FLUENTD)
    stand_in, _ = engine.images.build(path=str(context), rm=True)
    first = ClipperConnection(make_manager(use_centralized_log=True, fluentd_image=stand_in.id))
    try:
        first.start_clipper()
        gathered = of(engine, first)["fluentd"]
        until(lambda: b"serving" in gathered.logs())
        python_deployer.deploy_python_closure(first, "m", 1, "doubles", says_so)
        first.ask_model_version("m", 1, [[1.0]])
        until(lambda: b"hello from the model" in gathered.logs())
        ports = (first.get_query_addr(), gathered.labels["ai.clipper.fluentd.port"])
        second = ClipperConnection(make_manager(first.cm.cluster_name))
        second.connect()
        assert (second.get_query_addr(), of(engine, second)["fluentd"].labels["ai.clipper.fluentd.port"]) == ports
        for each in (first, second):
            with pytest.raises(NotImplementedError, match="docker logs"):
                each.get_clipper_logs(str(tmp_path))
        second.close()
    finally:
        first.stop_all(graceful=False)
        engine.images.remove(stand_in.id, force=True)


def test_a_central_log_cannot_be_had_afterwards(cluster: ClipperConnection, make_manager: MakeManager) -> None:
    with pytest.raises(ClipperException, match="without a central log"):
        make_manager(cluster.cm.cluster_name, use_centralized_log=True).connect()
