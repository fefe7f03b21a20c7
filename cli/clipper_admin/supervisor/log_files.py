"""Logs of bounded size: what a process prints goes through a pipe into a file that is rotated; and reading them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections import deque
from pathlib import Path

_ROTATE_AT_BYTES = 10 * 1024 * 1024
_KEPT = 2
"""Older files beside the current one, .1 the younger: at most 30 MB per process."""
_CHUNK_BYTES = 64 * 1024
_DRAINED_CHUNKS = 64
"""More than a pipe holds, however it is set up: 4 MB."""
_TAIL_LINES = 15


class LogFile:
    """A file that lines are added to and that is rotated when it has become large."""

    def __init__(self, path: Path, *, rotate_at_bytes: int = _ROTATE_AT_BYTES) -> None:
        self.path = path
        self._rotate_at_bytes = rotate_at_bytes
        self._descriptor = self._open()
        self._size = os.fstat(self._descriptor).st_size

    def write(self, data: bytes) -> None:
        """Adds data. A full disk loses it, and stops nobody."""
        with contextlib.suppress(OSError):
            if self._size >= self._rotate_at_bytes:
                self._rotate()
            self._size += os.write(self._descriptor, data)

    def close(self) -> None:
        """Closes the file."""
        os.close(self._descriptor)

    def _open(self) -> int:
        return os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def _rotate(self) -> None:
        for number in range(_KEPT, 0, -1):
            older = self.path.with_name(f"{self.path.name}.{number}")
            younger = self.path if number == 1 else self.path.with_name(f"{self.path.name}.{number - 1}")
            with contextlib.suppress(FileNotFoundError):
                younger.replace(older)
        os.close(self._descriptor)
        self._descriptor, self._size = self._open(), 0


class LogPump:
    """A pipe for the output of a process, read by the event loop into a LogFile. Made and closed on the loop."""

    def __init__(self, file: LogFile) -> None:
        self._file = file
        self._read, self.write_fd = os.pipe()
        os.set_blocking(self._read, False)
        self._lines: deque[bytes] = deque(maxlen=_TAIL_LINES)
        self._unfinished = b""
        self._awaited: tuple[bytes, asyncio.Future[None]] | None = None
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._read, self._pump)

    def expect(self, text: str) -> asyncio.Future[None]:
        """Resolves once a line with this text comes by, from now on."""
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._awaited = (text.encode(), waiter)
        return waiter

    def tail(self) -> str:
        """The last lines so far, readable."""
        self._drain()
        return "\n".join(readable(line.decode(errors="replace")) for line in self._lines)

    def close(self) -> None:
        """Takes what is still in the pipe, and ends."""
        self._drain()
        self._loop.remove_reader(self._read)
        os.close(self._read)
        os.close(self.write_fd)
        self._file.close()

    def _drain(self) -> None:
        for _ in range(_DRAINED_CHUNKS):  # a process that got away may write for ever
            if not self._pump():
                break

    def _pump(self) -> bool:
        try:
            data = os.read(self._read, _CHUNK_BYTES)
        except BlockingIOError:
            return False
        if not data:  # all writers are gone
            return False
        self._file.write(data)
        *lines, self._unfinished = (self._unfinished + data).split(b"\n")
        self._unfinished = self._unfinished[-_CHUNK_BYTES:]
        self._lines.extend(lines)
        if self._awaited is not None and any(self._awaited[0] in line for line in lines):
            if not self._awaited[1].done():
                self._awaited[1].set_result(None)
            self._awaited = None
        return True


def readable(line: str) -> str:
    """A line of a log for people: our JSON lines as time, level, event and fields; others as they are."""
    try:
        found = json.loads(line)
        time, level, event = found.pop("time"), found.pop("level"), found.pop("event")
    except (ValueError, KeyError, TypeError, AttributeError):
        return line
    for known in ("process", "pid", "logger"):
        found.pop(known, None)
    trace = found.pop("trace", "")
    fields = "".join(f" {name}={value}" for name, value in found.items())
    return f"{time} {level:<7} {event}{fields}" + (f"\n{trace}" if trace else "")


def last_lines(path: Path, count: int) -> list[str]:
    """The last lines of a log file, oldest first; none if there is no such file."""
    try:
        with path.open("rb") as file:
            return [line.decode(errors="replace").rstrip("\n") for line in deque(file, maxlen=count)]
    except FileNotFoundError:
        return []
