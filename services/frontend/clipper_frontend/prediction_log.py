"""The prediction log: what was shown with which probability, and what it was worth, for those who evaluate policies.

JSON lines in files of each process, written in bursts by a thread: a slow disk delays nobody. Bounded: a file is turned
over when it has an eighth of what the log may take, and the oldest of the directory go. Whether a query is logged is
told by its id, so that frontends agree on it and outcomes find their queries.

    {"kind": "shown", "query_id": …, "time_ms": …, "application": …, "policy": …, "context": …, "models": […],
     "asked": [{"model": …, "version": …, "propensity": …, "output": …, "weight": …}, …],
     "output": …, "default": …, "confidence": …, "input": …}
    {"kind": "outcome", "query_id": …, "time_ms": …, "application": …, "losses": {model: …}, "propensities": {model: …}}
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from clipper_frontend.selection.records import Shown
from clipper_selection import Outcome

_log = logging.getLogger(__name__)

_MAX_WAITING = 20_000
_MAX_VALUE_BYTES = 4096
_FILES = 8
_GOLDEN = 0x9E3779B97F4A7C15
_WORD = 1 << 64


def is_sampled(query_id: int, share: float) -> bool:
    """Whether a query is in a sample of this share. Source: Knuth, TAOCP 3, 6.4 (multiplicative hashing)."""
    return (query_id * _GOLDEN) % _WORD < share * _WORD


class PredictionLog:
    """Writes the log of one process.

    Args:
        directory: where; made if it is not there. Several processes may write into one.
        share: the share of queries that is logged.
        max_bytes: what all files of the directory may take.
        value: reads a serialized Output as JSON can write it.
        input_value: the same for an Input.
    """

    def __init__(
        self,
        directory: Path,
        *,
        share: float,
        max_bytes: int,
        value: Callable[[bytes], object],
        input_value: Callable[[bytes], object],
    ) -> None:
        self._directory = directory
        self._path = directory / f"predictions-{os.getpid()}.jsonl"
        self._share = share
        self._max_bytes = max_bytes
        self._value = value
        self._input_value = input_value
        self._waiting: list[Callable[[], Mapping[str, Any]]] = []
        self._has_work = asyncio.Event()
        self._is_failing = False
        self.given_up = 0
        """How many lines were given up, since the disk did not keep up or was full."""

    def shown(self, record: Shown) -> None:
        """See records.Recorder."""
        if is_sampled(record.query_id, self._share):
            time_ms = time.time_ns() // 1_000_000  # wall clock, for people
            self._put(lambda: self._line(record, time_ms))

    def outcome(self, application: str, query_id: int, outcome: Outcome) -> None:
        """See teaching.Notes."""
        if is_sampled(query_id, self._share):
            line = {
                "kind": "outcome",
                "query_id": query_id,
                "time_ms": time.time_ns() // 1_000_000,
                "application": application,
                "losses": dict(outcome.losses),
                "propensities": dict(outcome.propensities),
            }
            self._put(lambda: line)

    async def run(self) -> None:
        """Writes for ever."""
        while True:
            await self._has_work.wait()
            await self.end()

    async def end(self) -> None:
        """Writes what waits."""
        lines, self._waiting = self._waiting, []
        self._has_work.clear()
        try:
            await asyncio.to_thread(self._write, lines)
            self._is_failing = False
        except OSError as error:
            self.given_up += len(lines)
            if not self._is_failing:
                self._is_failing = True
                _log.warning("predictions_not_logged", extra={"path": str(self._path), "problem": str(error)})

    def _put(self, line: Callable[[], Mapping[str, Any]]) -> None:
        if len(self._waiting) >= _MAX_WAITING:
            self.given_up += 1
            return
        self._waiting.append(line)
        self._has_work.set()

    def _write(self, lines: list[Callable[[], Mapping[str, Any]]]) -> None:
        text = "".join(json.dumps(line(), separators=(",", ":"), ensure_ascii=False) + "\n" for line in lines)
        self._directory.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(text)
            is_full = file.tell() >= self._max_bytes // _FILES
        if is_full:
            self._path.rename(self._path.with_stem(f"{self._path.stem}-{time.time_ns() // 1_000_000}"))
            self._prune()

    def _prune(self) -> None:
        """Deletes the oldest files, so that another one has room."""
        found = []
        for path in self._directory.glob("predictions-*.jsonl"):
            with suppress(FileNotFoundError):  # another process has deleted it
                found.append((path.stat().st_mtime_ns, path.stat().st_size, path))
        left = self._max_bytes * (_FILES - 1) // _FILES
        for _, size, path in sorted(found, reverse=True):
            left -= size
            if left < 0:
                path.unlink(missing_ok=True)

    def _line(self, record: Shown, time_ms: int) -> Mapping[str, Any]:
        return {
            "kind": "shown",
            "query_id": record.query_id,
            "time_ms": time_ms,
            "application": record.application,
            "policy": record.policy,
            "context": record.context,
            "models": record.models,
            "asked": [
                {
                    "model": each.model,
                    "version": each.version,
                    "propensity": each.propensity,
                    "output": _small(each.output, self._value),
                    "weight": each.weight,
                }
                for each in record.asked
            ],
            "output": _small(record.output, self._value),
            "default": record.is_default,
            "confidence": record.confidence,
            "input": _small(record.input, self._input_value),
        }


def _small(value: bytes | None, read: Callable[[bytes], object]) -> object:
    """The value for the log; none where it is large."""
    return read(value) if value is not None and len(value) <= _MAX_VALUE_BYTES else None
