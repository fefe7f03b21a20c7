"""Files of a local cluster that are not as they should be: always a ClipperException that says where."""

from __future__ import annotations

import fcntl
import socket
from pathlib import Path

import pytest

from clipper_admin import ClipperConnection, ClipperException, LocalContainerManager
from clipper_admin.exceptions import InvalidArgumentException, NotRunningException
from clipper_admin.supervisor.cluster_dir import ClusterDir, write_atomically
from clipper_admin.supervisor.control import Request, Verb
from clipper_admin.supervisor.handle import SupervisorHandle, TookTooLong
from clipper_admin.supervisor.records import Running
from clipperctl.main import exit_code


@pytest.mark.parametrize("call", ["start_clipper", "connect", "stop_all", "is_running", "purge"])
def test_a_home_that_is_a_file_is_told(tmp_path: Path, call: str) -> None:
    home = tmp_path / "home"
    home.write_text("not a directory")
    with pytest.raises(ClipperException, match=rf"cannot be used in {home}/default-cluster"):
        getattr(LocalContainerManager(home=home), call)()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}'])
def test_what_a_damaged_file_says_is_told_and_not_believed(tmp_path: Path, text: str) -> None:
    directory = tmp_path / "default-cluster"
    directory.mkdir()
    (directory / "cluster.json").write_text(text)
    with pytest.raises(ClipperException, match=r"damaged|No cluster"):
        LocalContainerManager(home=tmp_path).connect()


@pytest.mark.parametrize("call", ["start_clipper", "connect", "stop_all", "purge"])
def test_a_cluster_that_runs_with_a_damaged_file_is_told_at_once(tmp_path: Path, call: str) -> None:
    directory = ClusterDir(tmp_path / "default-cluster")
    directory.create()
    directory.running.write_text("{")
    with directory.lock.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ClipperException, match=r"cluster\.json is damaged") as told:
            getattr(LocalContainerManager(home=tmp_path), call)()
    assert exit_code(told.value) == 1


def test_a_place_without_a_cluster_is_no_error_to_stop_and_one_to_find(tmp_path: Path) -> None:
    manager = LocalContainerManager(home=tmp_path)
    manager.stop_all()
    assert not manager.is_running()
    with pytest.raises(NotRunningException, match="clipperctl start"):
        manager.connect()


@pytest.mark.parametrize("port", [-1, 65536, "1337", None, 1.5, True])
def test_a_port_that_cannot_be_is_refused_before_anything_starts(tmp_path: Path, port: object) -> None:
    for name in ("clipper_query_port", "clipper_management_port", "clipper_rpc_port", "manager_port"):
        with pytest.raises(InvalidArgumentException, match=name):
            LocalContainerManager(home=tmp_path, **{name: port})  # type: ignore[arg-type]


def test_a_supervisor_that_hangs_is_told_with_how_to_end_it(tmp_path: Path) -> None:
    directory = ClusterDir(tmp_path / "c")
    directory.create()
    running = Running("c", 12345, str(directory.control), {}, "now")
    write_atomically(directory.running, running.to_json())
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.bind(str(directory.control))
        deaf.listen()
        with pytest.raises(TookTooLong, match=r"not answered stop_models within 0\.01 s(.|\n)*kill -9 12345"):
            SupervisorHandle(directory).ask(Request(Verb.STOP_MODELS), 0.01)


def test_logs_that_cannot_be_written_are_told(tmp_path: Path) -> None:
    class Connected(ClipperConnection):
        @property
        def client(self):  # type: ignore[no-untyped-def,override]
            return None

    (tmp_path / "a-file").write_text("")
    connection = Connected(LocalContainerManager(home=tmp_path))
    with pytest.raises(ClipperException, match=r"Logs cannot be written to .*a-file"):
        connection.get_clipper_logs(str(tmp_path / "a-file"))
