"""What goes wrong in a model's code, as the log may tell it: where and of which kind, never what it says of its inputs.

A model that fails on each query would fill the log: of each fault at most ten lines in ten seconds are written, and the
next one tells how many were left out. With the log at DEBUG all are.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from clipper_rpc.logs import frames_of

_log = logging.getLogger(__name__)

_WHILE_NS = 10_000_000_000
_MOST_LINES = 10
_MOST_FAULTS = 1000


@dataclass(slots=True)
class _Seen:
    since_ns: int
    lines: int = 0
    left_out: int = 0


class Faults:
    """The faults of one process's model. Threads may tell at the same time: at worst a line too many is written."""

    def __init__(self, now_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._now_ns = now_ns
        self._seen: dict[tuple[str, str], _Seen] = {}

    def raised(self, error: BaseException, rows: int) -> None:
        """The model has raised for a batch of so many inputs."""
        self._tell("model_raised", _place(error), lambda: {"rows": rows, "trace": frames_of(error)})

    def returned(self, problem: str) -> None:
        """What the model returned is no list of one output per input."""
        self._tell("model_returned_wrong_outputs", problem, lambda: {"problem": problem})

    def _tell(self, event: str, what: str, details: Callable[[], dict[str, object]]) -> None:
        now_ns = self._now_ns()
        seen = self._seen.get((event, what))
        if seen is None:
            if len(self._seen) >= _MOST_FAULTS:
                self._seen.clear()
            seen = self._seen[event, what] = _Seen(now_ns)
        if now_ns - seen.since_ns >= _WHILE_NS:
            seen.since_ns, seen.lines = now_ns, 0
        if seen.lines >= _MOST_LINES and not _log.isEnabledFor(logging.DEBUG):
            seen.left_out += 1
            return
        more = {"more_since_last_line": seen.left_out} if seen.left_out else {}
        seen.lines, seen.left_out = seen.lines + 1, 0
        _log.error(event, extra={**details(), **more})


def _place(error: BaseException) -> str:
    """The kind of an exception, and the line of code that raised it."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace is not None else ""
    return f"{type(error).__name__} {where}"
