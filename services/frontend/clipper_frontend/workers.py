"""Several processes on one port: a parent that reserves the port and looks after its children.

The parent holds a socket on the port that does not listen, so that the port stays ours while children come and go; the
kernel spreads connections over the children's listening sockets (SO_REUSEPORT). A child that dies is started again,
with backoff. Children notice a parent that was killed by the end of a pipe.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from clipper_frontend.backoff import Backoff
from clipper_frontend.settings import Settings
from clipper_rpc.lifecycle import StopRequest, first_line
from clipper_rpc.telemetry.endpoint import Page, serving
from clipper_rpc.telemetry.siblings import ask_all, merged, socket_of

_log = logging.getLogger(__name__)

_LIVED_WELL_S = 10.0
_AFTER_GRACE_S = 5.0


def reserve_port(host: str, port: int) -> socket.socket:
    """A socket that holds the port, 0 for a free one, for listeners of ours that share it.

    Raises:
        OSError: the port is taken.
    """
    if port:
        # With SO_REUSEPORT alone we would share the port with any other cluster of the same user.
        with _socket(host) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    held = _socket(host)
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    held.bind((host, port))
    return held


def _socket(host: str) -> socket.socket:
    return socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)


class Workers:
    """The children of one parent."""

    def __init__(self, settings: Settings, port: int, siblings: Path) -> None:
        self._settings = settings
        self._siblings = siblings
        self._port = port
        self._not_ready = settings.workers
        self._running: set[asyncio.subprocess.Process] = set()
        self._stopping = asyncio.Event()
        self.are_ready = asyncio.Event()
        """Set once each of them has been ready."""

    async def keep(self, name: str, parent_fd: int) -> None:
        """Keeps one worker running until `stop`. `parent_fd` is closed when this process ends."""
        backoff = Backoff()
        was_ready = False
        while not self._stopping.is_set():
            started_s = time.monotonic()
            process, ready = await self._start(name, parent_fd)
            self._running.add(process)
            is_ready = b"address" in await first_line(ready)
            if is_ready and not was_ready:
                was_ready = True
                self._not_ready -= 1
                if not self._not_ready:
                    self.are_ready.set()
            code = await process.wait()
            self._running.discard(process)
            if self._stopping.is_set():
                return
            _log.error("worker_died", extra={"worker_pid": process.pid, "exit_code": code})
            if time.monotonic() - started_s > _LIVED_WELL_S:
                backoff.reset()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), backoff.wait_ns() / 1e9)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Passes a signal on to all; none is started again."""
        self._stopping.set()
        for process in self._running:
            if process.returncode is None:
                process.send_signal(how)

    async def _start(self, name: str, parent_fd: int) -> tuple[asyncio.subprocess.Process, int]:
        """Starts a worker; the descriptor gets its line when it is ready, and ends when it ends."""
        ready, told = os.pipe()
        own = self._settings.model_copy(
            update={
                "workers": 1,
                "cache_bytes": self._settings.cache_bytes // self._settings.workers,
                "port": self._port,
                "shared_port": True,
                "ready_fd": told,
                "parent_fd": parent_fd,
                "told_at": socket_of(self._siblings, name),
            }
        )
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "clipper_frontend",
                *own.as_flags(),
                pass_fds=(told, parent_fd),
                start_new_session=True,  # a terminal's Ctrl-C comes to the parent alone, which passes it on
            )
        except BaseException:
            os.close(ready)
            raise
        finally:
            os.close(told)
        _log.info("worker_started", extra={"worker_pid": process.pid})
        return process, ready


async def serve_with_workers(settings: Settings, stop: StopRequest, on_ready: Callable[[str, str], None]) -> None:
    """Runs the parent until it is asked to stop.

    `on_ready` gets both addresses, of queries and of metrics, once all workers answer.

    Raises:
        OSError: the port is taken.
    """
    held = reserve_port(settings.host, settings.port)
    port: int = held.getsockname()[1]
    alive, parent_end = os.pipe()  # nothing is ever written
    try:
        with tempfile.TemporaryDirectory(prefix="clipper-frontend-") as directory:
            siblings = Path(directory)
            pages = {"/metrics": Page(partial(_told_by_all, siblings))}
            async with serving(pages, settings.host, settings.metrics_port) as metrics:
                told = partial(on_ready, f"{settings.host}:{port}", metrics)
                await _serve(settings, stop, Workers(settings, port, siblings), alive, told)
    finally:
        os.close(alive)
        os.close(parent_end)
        held.close()


async def _serve(
    settings: Settings, stop: StopRequest, workers: Workers, alive: int, on_ready: Callable[[], None]
) -> None:
    async with asyncio.TaskGroup() as tasks:
        keepers = [tasks.create_task(workers.keep(str(number), alive)) for number in range(settings.workers)]
        ready = tasks.create_task(_when_ready(workers, on_ready))
        await stop.wait()
        ready.cancel()
        workers.stop()
        _, slow = await asyncio.wait(keepers, timeout=settings.grace_s + _AFTER_GRACE_S)
        if slow:
            _log.warning("workers_killed", extra={"workers": len(slow)})
            workers.stop(signal.SIGKILL)
        for keeper in slow:
            keeper.cancel()


async def _when_ready(workers: Workers, on_ready: Callable[[], None]) -> None:
    await workers.are_ready.wait()
    on_ready()


async def _told_by_all(siblings: Path) -> bytes:
    return merged(await ask_all(siblings, "/metrics"), "worker")
