"""Where everything of a local cluster lies, and the lock that says whether a supervisor runs.

~/.clipper/<cluster>/            0700
    settings.json                how it was started last
    cluster.json                 while it runs: pid, addresses, control socket
    deployments.json             the replicas that are wanted
    processes.json               what the supervisor has started
    supervisor.lock              held as long as the supervisor lives
    redis/                       the data of Redis
    models/<model>/<version>/    the model directories
    logs/<process>.log           and .log.1 …
    run/                         unix sockets; elsewhere when the path would be too long for one
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from clipper_admin.supervisor.records import Deployment, JsonObject, Running, Settings

_LONGEST_SOCKET_BYTES = 100
"""Unix socket paths end at 107 bytes on Linux, at 103 on macOS."""


class AlreadyRunning(Exception):
    """Another supervisor holds the cluster's lock."""


class ClusterDir:
    """The directory of one cluster. Making one touches nothing."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.settings = path / "settings.json"
        self.running = path / "cluster.json"
        self.deployments = path / "deployments.json"
        self.processes = path / "processes.json"
        self.lock = path / "supervisor.lock"
        self.redis = path / "redis"
        self.models = path / "models"
        self.logs = path / "logs"

    @property
    def run(self) -> Path:
        """Where the unix sockets are; the same for every process of the user."""
        inside = self.path / "run"
        if len(os.fsencode(inside / "control.sock")) <= _LONGEST_SOCKET_BYTES:
            return inside
        digest = hashlib.sha256(os.fsencode(self.path)).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"clipper-{os.getuid()}-{digest}"

    @property
    def control(self) -> Path:
        """The supervisor's socket."""
        return self.run / "control.sock"

    def create(self) -> None:
        """Makes what is missing, for the user alone.

        Raises:
            PermissionError: the place for the sockets exists and belongs to somebody else.
        """
        for each in (self.path, self.redis, self.models, self.logs, self.run):
            each.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = self.run.lstat()
        if found.st_uid != os.getuid():
            raise PermissionError(f"{self.run} belongs to another user")
        self.run.chmod(0o700)

    def purge(self) -> None:
        """Deletes the cluster's files. Only while no supervisor runs."""
        for each in (self.run, self.path):
            shutil.rmtree(each, ignore_errors=True)

    def read_settings(self) -> Settings:
        """How the cluster was started last; the defaults if never."""
        found = read_json(self.settings)
        return Settings.from_json(found) if found is not None else Settings(cluster=self.path.name)

    def read_running(self) -> Running | None:
        """What cluster.json says; None if there is none. It may be of a supervisor that was killed."""
        found = read_json(self.running)
        return Running.from_json(found) if found is not None else None

    def read_deployments(self) -> list[Deployment]:
        """The replicas that are wanted, by model and version."""
        found = read_json(self.deployments)
        return [Deployment.from_json(each) for each in found.get("deployments", [])] if found is not None else []

    def write_deployments(self, deployments: list[Deployment]) -> None:
        """Keeps the replicas that are wanted."""
        write_atomically(self.deployments, {"format": 1, "deployments": [each.to_json() for each in deployments]})

    def is_running(self) -> bool:
        """Whether a supervisor lives."""
        try:
            with self.lock.open("rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    def wait_until_gone(self, timeout_s: float) -> bool:
        """Waits until no supervisor lives; returns whether that came true in time."""
        until = time.monotonic() + timeout_s
        while self.is_running():
            if time.monotonic() > until:
                return False
            time.sleep(0.01)
        return True

    def hold_lock(self) -> None:
        """Takes the lock for as long as the process lives: the system gives it back at the very end.

        Raises:
            AlreadyRunning: another supervisor has it.
        """
        lock = os.open(self.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        until = time.monotonic() + 1.0  # somebody may just be asking whether it is held
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > until:
                    os.close(lock)
                    raise AlreadyRunning(f"a supervisor runs in {self.path} already") from None
                time.sleep(0.02)
            else:
                return

    @contextlib.contextmanager
    def choosing_ports(self) -> Iterator[None]:
        """Held from the choice of ports until they are listened on, so that clusters of one home do not collide."""
        with (self.path.parent / ".ports.lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def read_json(path: Path) -> JsonObject | None:
    """The JSON object in a file; None if there is no such file.

    Raises:
        ValueError: the file holds something else.
    """
    try:
        text = path.read_text()
    except FileNotFoundError:
        return None
    try:
        found = json.loads(text)
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path} is damaged: it holds no JSON object")  # noqa: TRY004  # as any other damage
    return found


def write_atomically(path: Path, value: object) -> None:
    """Writes JSON so that a reader sees the old or the new text, also after a crash; for the user alone (0600)."""
    new = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(value, file, indent=2)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
