"""Ends what a killed supervisor left behind: processes that are still there, recognised by pid and time of birth."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import subprocess
import time
from pathlib import Path

from clipper_admin.supervisor.cluster_dir import write_atomically

_log = logging.getLogger(__name__)
_GONE_WITHIN_S = 5.0
_PROC = Path("/proc")


def birth(pid: int) -> str:
    """When a process was born, as text that no later process of the same pid shares; empty when it is not there."""
    if _PROC.is_dir():
        try:
            # Field 22 of stat; the second, the program's name in parentheses, may contain anything.
            after_name = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            return ""
        return "" if after_name[0] == "Z" else after_name[19]
    return subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True).stdout.strip()


class Ledger:
    """The file that names the processes which a supervisor has started and not yet seen end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._births: dict[int, str] = {}

    def add(self, pid: int) -> None:
        """Notes a process that was started."""
        self._births[pid] = birth(pid)
        self._write()

    def remove(self, pid: int) -> None:
        """Forgets a process that has ended."""
        self._births.pop(pid, None)
        self._write()

    def end_leftovers(self) -> list[int]:
        """Kills, with their process groups, the noted processes of an earlier supervisor; returns their pids.

        Raises:
            TimeoutError: one could not be killed within 5 s.
        """
        try:
            noted = {int(pid): str(born) for pid, born in json.loads(self._path.read_text()).items()}
        except (FileNotFoundError, ValueError):
            noted = {}
        alive = [pid for pid, born in noted.items() if born and birth(pid) == born]
        for pid in alive:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
        until = time.monotonic() + _GONE_WITHIN_S
        for pid in alive:
            while birth(pid) == noted[pid]:
                if time.monotonic() > until:
                    raise TimeoutError(f"process {pid} of an earlier run cannot be killed")
                time.sleep(0.01)
        self._write()
        return alive

    def _write(self) -> None:
        try:
            write_atomically(self._path, self._births)
        except OSError as error:  # a full disk: what runs is worth more than the note of it
            _log.warning("ledger_not_written", extra={"problem": str(error)})
