"""Whole local clusters for tests: on free ports, in a directory of the test's own, ended with it, nothing left."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clipper_admin import ClipperConnection, LocalContainerManager
from clipper_admin.supervisor.leftovers import birth

PORTS: dict[str, Any] = {
    "clipper_query_port": 0,
    "clipper_management_port": 0,
    "clipper_rpc_port": 0,
    "manager_port": 0,
}


def feature_sum(xs):
    """The model of Clipper's README."""
    return [str(sum(x)) for x in xs]


def manager(home: Path, name: str = "test", **options: Any) -> LocalContainerManager:
    """The manager of a cluster on free ports."""
    return LocalContainerManager(name, home=home, **{**PORTS, **options})


@contextmanager
def local_cluster(home: Path, name: str = "test", **options: Any) -> Iterator[ClipperConnection]:
    """A running cluster; at the end it is stopped, and all its processes must be gone."""
    connection = ClipperConnection(manager(home, name, **options))
    connection.start_clipper()
    try:
        yield connection
    finally:
        pids = pids_of(connection)
        connection.stop_all()
        # The supervisor gives its lock back a moment before the system takes it off the list of processes.
        until(lambda: not any(map(birth, pids)), "all processes are gone", timeout_s=2)


def pids_of(connection: ClipperConnection) -> list[int]:
    """The process ids of a cluster, its supervisor's first."""
    assert isinstance(connection.cm, LocalContainerManager)
    status = connection.cm.status()
    return [status.pid, *(each["pid"] for each in status.processes if each["pid"])]


def pid_of(connection: ClipperConnection, name: str) -> int:
    """The process id of a process by its name; 0 while it does not run."""
    assert isinstance(connection.cm, LocalContainerManager)
    return next(each["pid"] for each in connection.cm.status().processes if each["name"] == name)


def deploy_sum(connection: ClipperConnection, version: str = "1", replicas: int = 1, slo_micros: int = 1000000) -> None:
    """Application "hello-world" served by "sum-model"."""
    from clipper_admin.deployers import python as python_deployer

    connection.register_application("hello-world", "doubles", "-1.0", slo_micros)
    python_deployer.deploy_python_closure(
        connection, "sum-model", version, "doubles", feature_sum, num_replicas=replicas
    )
    connection.link_model_to_app("hello-world", "sum-model")


def ask(connection: ClipperConnection, application: str = "hello-world", value: object = (1.5, 2.0)) -> Any:
    """One prediction over gRPC, computed anew."""
    client = connection.client
    return client.predict(client.describe_application(application), value, fresh=True)


def until(condition: Callable[[], bool], what: str, timeout_s: float = 30.0) -> None:
    """Waits until something has come true."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        time.sleep(0.02)
