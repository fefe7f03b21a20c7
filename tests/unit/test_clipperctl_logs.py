"""clipperctl logs: which lines are meant, and in which order; containers read as files are."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import click
import pytest

from clipper_admin.containers.reading import lines_of, new_lines_of
from clipperctl.log_filter import Since, Wanted
from clipperctl.logs import in_order

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def line(event: str, minute: int = 0, **fields: object) -> str:
    return json.dumps({"time": (NOON + timedelta(minutes=minute)).isoformat(), "event": event, **fields})


@pytest.mark.parametrize(
    ("wanted", "process", "text", "is_meant"),
    [
        (Wanted(), "frontend", "a traceback of nobody", True),
        (Wanted(application="app"), "frontend", line("x", application="app"), True),
        (Wanted(application="app"), "frontend", line("x", application="other"), False),
        (Wanted(application="app"), "frontend", "a traceback of nobody", False),
        (Wanted(model="sum"), "frontend", line("replica_up", model="sum"), True),
        (Wanted(model="sum"), "frontend", line("replica_up", model="summer"), False),
        (Wanted(model="sum"), "model-sum_1-0", "printed by the model", True),
        (Wanted(model="sum"), "model-summer_1-0", "printed by another one", False),
        (Wanted(model="sum"), "manager", line("changed", puts=["version/sum/1", "model/sum"], deletes=[]), True),
        (Wanted(model="sum"), "manager", line("changed", puts=[], deletes=["replica/sum/1/0"]), True),
        (Wanted(model="sum"), "manager", line("changed", puts=["model/summer", "application/sum"]), False),
        (Wanted(model="sum"), "supervisor", line("process_started", child="model-sum_1-0"), True),
        (Wanted(model="sum"), "supervisor", line("process_started", child="model-summer_1-0"), False),
        (Wanted(application="app"), "manager", line("changed", puts=["application/app"], deletes=[]), True),
        (Wanted(application="app"), "manager", line("changed", puts=["application/apple"], deletes="app"), False),
        (Wanted(request="r-1"), "runtime", line("batch", request_id="r-0,r-1"), True),
        (Wanted(request="r-1"), "runtime", line("batch", request_id="r-10"), False),
        (Wanted(since=NOON), "frontend", line("x", 0), True),
        (Wanted(since=NOON), "frontend", line("x", -1), False),
        (Wanted(since=NOON), "frontend", "a line without a time", True),
        (Wanted(application="app", since=NOON), "frontend", line("x", -1, application="app"), False),
        (Wanted(application="app"), "frontend", "[1, 2]", False),
    ],
)
def test_filters_let_through_what_is_meant(wanted: Wanted, process: str, text: str, is_meant: bool) -> None:
    assert wanted.has(process, text) is is_meant


def test_times_are_written_as_ago_or_as_dates() -> None:
    since = Since()
    before = datetime.now(UTC)
    assert before <= since.convert("90m", None, None) + timedelta(minutes=90) <= datetime.now(UTC)
    assert since.convert("2026-11-23T12:00+00:00", None, None) == NOON
    assert since.convert("2026-11-23T12:00", None, None).tzinfo is not None
    for nonsense in ("yesterday", "10", "m", "-5m"):
        with pytest.raises(click.BadParameter, match="write 10m"):
            since.convert(nonsense, None, None)


def test_lines_of_several_processes_come_in_order_of_time() -> None:
    trace = "Traceback (most recent call last):"
    lines = [("a", line("1", 1)), ("a", trace), ("a", line("4", 4)), ("b", line("0", 0)), ("b", line("3", 3))]
    assert [text for _, text in in_order(lines)] == [line("0", 0), line("1", 1), trace, line("3", 3), line("4", 4)]


class FakeContainer:
    """Says what a container of the SDK says, in awkward parts."""

    name = "gateway"

    def __init__(self, *parts: bytes) -> None:
        self.parts = parts
        self.asked: dict[str, Any] = {}

    def logs(self, *, stream: bool = False, **asked: Any) -> Any:
        self.asked = asked
        return (part for part in self.parts) if stream else b"".join(self.parts)


def test_containers_are_read_line_by_line_however_their_parts_fall() -> None:
    one, two = FakeContainer(b"fir", b"st\nsec", b"ond\nrest"), FakeContainer(b"other\n")
    assert list(lines_of(one, 5, NOON)) == ["first", "second", "rest"]
    assert one.asked == {"tail": 5, "since": NOON}
    found = list(new_lines_of({"one": one, "two": two}, NOON))
    assert [text for name, text in found if name == "one"] == ["first", "second", "rest"]
    assert ("two", "other") in found
    assert one.asked == {"follow": True, "since": NOON}
