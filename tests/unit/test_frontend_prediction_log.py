"""The prediction log: whole lines, a sample that all agree on, within its bounds."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from clipper.v1 import values_pb2
from clipper_frontend.outputs import logged_input, logged_output
from clipper_frontend.prediction_log import PredictionLog, is_sampled
from clipper_frontend.selection.records import Asked, Shown
from clipper_selection import Outcome

OUTPUT = values_pb2.Output(number=0.5).SerializeToString()


def shown(query_id: int, *, output: bytes = OUTPUT) -> Shown:
    value = values_pb2.Input(doubles=values_pb2.Doubles(values=[1, 2])).SerializeToString()
    asked = (Asked("a", "1", 0.25, output, 1.0),)
    return Shown(query_id, "app", "exp3", "ann", value, output, False, 0.75, asked, ("a", "b"))


def log(directory: Path, *, share: float = 1.0, max_bytes: int = 10**6) -> PredictionLog:
    return PredictionLog(directory, share=share, max_bytes=max_bytes, value=logged_output, input_value=logged_input)


def lines(directory: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for path in sorted(directory.iterdir()) for line in path.read_text().splitlines()]


async def test_what_was_shown_and_what_came_of_it_are_lines_that_any_program_reads(tmp_path: Path) -> None:
    made = log(tmp_path / "not" / "there")
    made.shown(shown(7))
    made.outcome("app", 7, Outcome(("a", "b"), {"a": 0.25}, {"a": 0.5}))
    await made.end()
    first, second = lines(tmp_path / "not" / "there")
    assert first.pop("time_ms") > 1e12
    assert first == {
        "kind": "shown",
        "query_id": 7,
        "application": "app",
        "policy": "exp3",
        "context": "ann",
        "models": ["a", "b"],
        "asked": [{"model": "a", "version": "1", "propensity": 0.25, "output": 0.5, "weight": 1.0}],
        "output": 0.5,
        "default": False,
        "confidence": 0.75,
        "input": [1.0, 2.0],
    }
    assert (second["kind"], second["query_id"], second["losses"], second["propensities"]) == (
        "outcome",
        7,
        {"a": 0.25},
        {"a": 0.5},
    )


async def test_every_frontend_draws_the_same_sample_so_that_outcomes_find_their_queries(tmp_path: Path) -> None:
    asked, told = log(tmp_path / "asked", share=0.1), log(tmp_path / "told", share=0.1)
    for query_id in range(1, 5001):
        asked.shown(shown(query_id))
        told.outcome("app", query_id, Outcome((), {}, {}))
    await asked.end()
    await told.end()
    ids = [line["query_id"] for line in lines(tmp_path / "asked")]
    assert ids == [line["query_id"] for line in lines(tmp_path / "told")]
    assert len(ids) == pytest.approx(500, rel=0.1)
    assert not any(is_sampled(query_id, 0.0) for query_id in range(1000))
    assert all(is_sampled(query_id, 1.0) for query_id in range(1000))


async def test_the_directory_is_bounded_and_the_oldest_lines_go(tmp_path: Path) -> None:
    made = log(tmp_path, max_bytes=40_000)
    for query_id in range(1, 2001):
        made.shown(shown(query_id))
        if query_id % 5 == 0:
            await made.end()
    kept = [line["query_id"] for line in lines(tmp_path)]
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 40_000
    assert max(kept) == 2000
    assert sorted(kept) == list(range(2001 - len(kept), 2001))
    assert len(kept) > 50


async def test_large_values_are_left_out(tmp_path: Path) -> None:
    made = log(tmp_path)
    made.shown(shown(1, output=values_pb2.Output(string="x" * 10_000).SerializeToString()))
    await made.end()
    [line] = lines(tmp_path)
    assert line["output"] is line["asked"][0]["output"] is None


async def test_a_disk_that_takes_nothing_costs_lines_only(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    made = log(tmp_path / "file")
    running = asyncio.create_task(made.run())
    made.shown(shown(1))
    while not made.given_up:
        await asyncio.sleep(0)
    for query_id in range(20_100):
        made.shown(shown(query_id))
    assert made.given_up == 101
    assert not running.done()
    running.cancel()
    await asyncio.wait((running,))


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (values_pb2.Input(string="ä"), "ä"),
        (values_pb2.Input(bytes=b"\0\1"), "AAE="),
        (values_pb2.Input(integers=values_pb2.Integers(values=[1, -2])), [1.0, -2.0]),
        (values_pb2.Input(doubles=values_pb2.Doubles(values=[1, float("nan")])), [1.0, None]),
        (values_pb2.Input(), None),
    ],
)
def test_inputs_are_logged_as_json_can_write_them(value: values_pb2.Input, plain: object) -> None:
    found = logged_input(value.SerializeToString())
    assert json.loads(json.dumps(found, allow_nan=False)) == plain
    assert logged_input(b"\xff") is None
