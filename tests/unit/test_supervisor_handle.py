"""Files of a local cluster that are not as they should be: always a ClipperException that says where."""

from __future__ import annotations

from pathlib import Path

import pytest

from clipper_admin import ClipperConnection, ClipperException, LocalContainerManager
from clipper_admin.exceptions import InvalidArgumentException, NotRunningException


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


def test_logs_that_cannot_be_written_are_told(tmp_path: Path) -> None:
    class Connected(ClipperConnection):
        @property
        def client(self):  # type: ignore[no-untyped-def,override]
            return None

    (tmp_path / "a-file").write_text("")
    connection = Connected(LocalContainerManager(home=tmp_path))
    with pytest.raises(ClipperException, match=r"Logs cannot be written to .*a-file"):
        connection.get_clipper_logs(str(tmp_path / "a-file"))
