"""One process of the cluster: started, watched, started again when it dies, stopped.

Rules of this file
 1. A child has one `run`, which ends only after `stop`, with the process gone.
 2. A process is up when it has said so: by a line on its ready pipe, or in its log. Nothing polls.
 3. A process leads a group of its own; when it has ended, whatever it started itself is killed too.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from clipper_admin.supervisor import launch
from clipper_admin.supervisor.backoff import Backoff
from clipper_admin.supervisor.commands import Command
from clipper_admin.supervisor.leftovers import Ledger
from clipper_admin.supervisor.log_files import LogFile, LogPump
from clipper_admin.supervisor.records import ProcessStatus, State
from clipper_rpc.lifecycle import first_line

_GRACE_S = 13.0
"""From SIGTERM to SIGKILL: our processes drain for 10 s at most."""
_log = logging.getLogger(__name__)


class ChildFailed(Exception):
    """A process did not come up; the text has the end of its log."""


class Child:
    """One process, over all its lives."""

    def __init__(self, command: Command, logs: Path, ledger: Ledger) -> None:
        self.command = command
        self._ledger = ledger
        self._log_path = logs / f"{command.name}.log"
        self._backoff = Backoff()
        self._stop = asyncio.Event()
        self._first: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._state = State.STARTING
        self._pid = 0
        self._address = command.address
        self._metrics = ""
        self._since = ""
        self._starts = 0
        self._last_exit = ""

    def status(self) -> ProcessStatus:
        """How it stands now."""
        return ProcessStatus(
            name=self.command.name,
            kind=self.command.kind,
            state=self._state.value,
            pid=self._pid,
            address=self._address,
            since=self._since,
            restarts=max(0, self._starts - 1),
            last_exit=self._last_exit,
            log=str(self._log_path),
            metrics=self._metrics,
        )

    def stop(self) -> None:
        """Asks `run` to end the process, gently at first, and to return."""
        self._stop.set()

    @property
    def has_been_up_or_failed(self) -> bool:
        """Whether the outcome of the first start is known."""
        return self._first.done()

    async def settled(self) -> None:
        """Returns when the outcome of the first start is known."""
        await asyncio.shield(self._first)

    async def up(self) -> None:
        """Returns when the process has come up for the first time.

        Raises:
            ChildFailed: its first start has failed, or it was stopped before. (It is tried again all the same.)
        """
        failure = await asyncio.shield(self._first)
        if failure:
            raise ChildFailed(failure)

    async def run(self) -> None:
        """Keeps the process running until `stop`."""
        pump = LogPump(LogFile(self._log_path))
        try:
            while not self._stop.is_set():
                started_ns = time.monotonic_ns()
                await self._live_once(pump)
                if self._stop.is_set():
                    break
                self._state = State.WAITING
                pause_ns = self._backoff.pause_ns(time.monotonic_ns() - started_ns)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), pause_ns / 1e9)
        finally:
            self._state = State.STOPPED
            self._settle(f"{self.command.name} was stopped.")
            pump.close()

    async def _live_once(self, pump: LogPump) -> None:
        self._state = State.STARTING
        self._starts += 1
        self._since = datetime.now(UTC).isoformat(timespec="seconds")
        ready_read, ready_write = os.pipe()
        # Before it is started: it may be quicker than this loop.
        said = pump.expect(self.command.ready_text) if self.command.ready_text else None
        try:
            process = await self._spawn(pump, ready_write)
        except OSError as error:
            os.close(ready_read)
            self._ended(f"could not be started: {error}", pump)
            return
        finally:
            os.close(ready_write)
        ready = first_line(ready_read)
        self._pid = process.pid
        self._ledger.add(process.pid)
        _log.info("process_started", extra={"child": self.command.name, "child_pid": process.pid})
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(self._watch_ready(said, ready))
            stopping = tasks.create_task(self._end_when_asked(process))
            code = await process.wait()
            watching.cancel()
            stopping.cancel()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        self._ledger.remove(process.pid)
        self._pid, self._metrics = 0, ""
        self._ended(_how(code), pump)

    async def _spawn(self, pump: LogPump, ready_write: int) -> asyncio.subprocess.Process:
        program = self.command.program
        passed: tuple[int, ...] = ()
        if not self.command.ready_text:
            program, passed = (*program, "--ready-fd", str(ready_write)), (ready_write,)
        wrapper = (sys.executable, "-I", "-S", str(launch.__file__), "with-parent", str(os.getpid()))
        return await asyncio.create_subprocess_exec(
            *wrapper,
            *program,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=pump.write_fd,
            stderr=pump.write_fd,
            pass_fds=passed,
            cwd=self.command.cwd if self.command.cwd is not None and self.command.cwd.is_dir() else None,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )

    async def _watch_ready(self, said: asyncio.Future[None] | None, ready: asyncio.Future[bytes]) -> None:
        line = await ready
        if said is not None:
            await said
        elif not line:  # it has closed the pipe without a word; its end is what counts
            return
        else:
            with contextlib.suppress(ValueError, KeyError, AttributeError):  # the line is for the addresses only
                told = json.loads(line)
                # the gateway has its metrics where it takes queries
                self._metrics = str(told.get("metrics") or told.get("query") or "")
                self._address = self.command.address or str(told["address"])
        if self._state is State.STARTING:
            self._state = State.RUNNING
            _log.info("process_ready", extra={"child": self.command.name, "address": self._address})
            self._settle("")

    async def _end_when_asked(self, process: asyncio.subprocess.Process) -> None:
        await self._stop.wait()
        self._state = State.STOPPING
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await asyncio.sleep(_GRACE_S)
        with contextlib.suppress(ProcessLookupError):
            process.kill()

    def _ended(self, how: str, pump: LogPump) -> None:
        self._last_exit = how
        expected = self._stop.is_set()
        _log.log(
            logging.INFO if expected else logging.WARNING,
            "process_ended",
            extra={"child": self.command.name, "how": how},
        )
        if expected:
            self._settle(f"{self.command.name} was stopped before it was up.")
        elif not self._first.done():
            tail = pump.tail()
            self._settle(f"{self.command.name} {how} before it was up. The end of its log, {self._log_path}:\n{tail}")

    def _settle(self, failure: str) -> None:
        if not self._first.done():
            self._first.set_result(failure)


def _how(code: int) -> str:
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"
