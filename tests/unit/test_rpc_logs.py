"""Log lines are JSON, one per record."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from datetime import datetime

import pytest

from clipper_rpc.logs import JsonFormatter, configure, frames_of


def record(message: str, *arguments: object, level: int = logging.INFO, **extra: object) -> logging.LogRecord:
    made = logging.getLogger("clipper.test").makeRecord(
        "clipper.test", level, __file__, 1, message, arguments, None, extra=extra or None
    )
    made.created = 0.5
    return made


def line(made: logging.LogRecord) -> dict[str, object]:
    text = JsonFormatter("frontend").format(made)
    assert "\n" not in text
    parsed = json.loads(text)
    assert isinstance(parsed, dict)
    return parsed


def test_a_line_has_time_level_process_logger_event_and_extras() -> None:
    made = line(record("listening", address="127.0.0.1:7000", workers=2))
    assert made.pop("pid")
    assert made == {
        "time": "1970-01-01T00:00:00.500+00:00",
        "level": "info",
        "process": "frontend",
        "logger": "clipper.test",
        "event": "listening",
        "address": "127.0.0.1:7000",
        "workers": 2,
    }
    assert datetime.fromisoformat("1970-01-01T00:00:00.500+00:00").tzinfo is not None


def test_arguments_of_the_message_are_filled_in() -> None:
    assert line(record("%s of %d", "a", 3))["event"] == "a of 3"


def test_what_json_cannot_say_is_written_as_text() -> None:
    assert line(record("event", where={1}))["where"] == "{1}"


def test_a_text_of_several_lines_stays_on_one() -> None:
    assert line(record("a\nb"))["event"] == "a\nb"


def test_an_exception_has_its_trace() -> None:
    try:
        raise ValueError("broken")
    except ValueError as error:
        made = record("failed", level=logging.ERROR)
        made.exc_info = (type(error), error, error.__traceback__)
    logged = line(made)
    assert logged["level"] == "error"
    assert "ValueError: broken" in str(logged["trace"])


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    noisy = {name: logging.getLogger(name).level for name in ("grpc", "asyncio")}
    yield root
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, old in noisy.items():
        logging.getLogger(name).setLevel(old)


def test_configured_logging_writes_lines_of_the_level_and_above(
    root: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = io.StringIO()
    monkeypatch.setattr("sys.stderr", written)
    configure("manager", "warning")
    logging.getLogger("clipper.test").info("not this")
    logging.getLogger("clipper.test").warning("this")
    lines = [json.loads(each) for each in written.getvalue().splitlines()]
    assert [each["event"] for each in lines] == ["this"]
    assert lines[0]["process"] == "manager"


def test_noisy_libraries_are_kept_at_warning_even_when_debugging(root: logging.Logger) -> None:
    configure("manager", "debug")
    assert root.level == logging.DEBUG
    assert not logging.getLogger("grpc").isEnabledFor(logging.INFO)


def chained(secret: str) -> None:
    try:
        int(secret)
    except ValueError as error:
        raise KeyError(secret) from error


def test_frames_tell_where_and_which_kinds_of_the_whole_chain_and_no_text() -> None:
    secret = "".join(reversed("4711 drowssap"))
    with pytest.raises(KeyError) as caught:
        try:
            chained(secret)
        except KeyError as error:
            error.add_note(secret)
            raise
    first, second = frames_of(caught.value).split("\nThe above exception was the direct cause")
    assert first.endswith("ValueError\n")
    assert second.endswith("\nKeyError")
    assert "in chained" in first
    assert "in chained" in second
    assert secret not in first + second


def test_frames_of_an_error_that_is_its_own_cause_end() -> None:
    error = ValueError()
    error.__cause__ = error
    assert frames_of(error) == "Traceback (most recent call last):\nValueError"
