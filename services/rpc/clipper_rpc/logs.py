"""One JSON object per line on stderr: time, level, process, logger, event, and the fields given as `extra`.

Nothing is logged per query above DEBUG; payloads never. So what a model or a plug-in has raised is told by `frames_of`.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType

_bound: ContextVar[Mapping[str, str]] = ContextVar("clipper_log_fields", default=MappingProxyType({}))

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


@contextmanager
def bound(**fields: str) -> Iterator[None]:
    """Adds fields, but for empty ones, to all that this thread or task logs meanwhile, whosever code it is."""
    token = _bound.set({**_bound.get(), **{name: value for name, value in fields.items() if value}})
    try:
        yield
    finally:
        _bound.reset(token)


class JsonFormatter(logging.Formatter):
    """Writes a record as one line of JSON."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        """The line for one record."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "process": self._process,
            "pid": record.process,
            "logger": record.name,
            "event": record.getMessage(),
        }
        line.update(_bound.get())
        line.update({key: value for key, value in record.__dict__.items() if key not in _STANDARD})
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


def frames_of(error: BaseException) -> str:
    """Where an exception comes from and of which kinds it and its causes are, without their texts.

    For errors of foreign code that has seen a query: their texts often quote it.
    """
    parts: list[str] = []
    seen: set[int] = set()
    link, each = "", error
    while id(each) not in seen:
        seen.add(id(each))
        stack = "".join(traceback.format_tb(each.__traceback__))
        parts.append(f"Traceback (most recent call last):\n{stack}{type(each).__name__}\n{link}")
        if each.__cause__ is not None:
            link, each = "\nThe above exception was the direct cause of the following exception:\n\n", each.__cause__
        elif each.__context__ is not None and not each.__suppress_context__:
            link = "\nDuring handling of the above exception, another exception occurred:\n\n"
            each = each.__context__
    return "".join(reversed(parts)).rstrip()


def configure(process: str, level: str) -> None:
    """Sends everything of this process, at `level` and above, to stderr as JSON lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(process))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for noisy in ("grpc", "asyncio"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))
