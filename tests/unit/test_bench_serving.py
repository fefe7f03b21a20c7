"""How the benchmark of serving counts; what it measures is the machine's affair."""

from __future__ import annotations

import importlib.util
import math
import sys
from pathlib import Path
from types import ModuleType

import pytest

from clipper.v1 import predict_pb2

BENCH = Path(__file__).parents[2] / "bench"
PREDICTION = predict_pb2.PredictResponse()
REFUSAL = predict_pb2.PredictResponse(default=True, default_reason=predict_pb2.DEFAULT_REASON_OVERLOADED)
LATE = predict_pb2.PredictResponse(default=True, default_reason=predict_pb2.DEFAULT_REASON_LATE)


@pytest.fixture(scope="module")
def serving() -> ModuleType:
    """The benchmark as a module."""
    spec = importlib.util.spec_from_file_location("serving", BENCH / "serving.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["serving"] = module  # where its dataclasses look for it
    spec.loader.exec_module(module)
    return module


def test_what_was_accepted_and_late_counts_against_what_was_in_time_however_it_was_late(serving: ModuleType) -> None:
    answers = [(10.0, PREDICTION)] * 6 + [(60.0, PREDICTION), (50.1, LATE)] + [(1.0, REFUSAL), (3.0, REFUSAL)]
    seen = serving.Seen(seconds=2, asked=12, answers=answers, timed_out=2)
    assert seen.good_per_s == 3
    assert seen.late == 4
    assert seen.in_time == pytest.approx(0.6)
    assert seen.refused_ms == 2.0


def test_the_clients_own_delay_is_told_without_its_longest_ones(serving: ModuleType) -> None:
    assert serving.Seen(seconds=1, own_delays_ms=[7.0] + [2.0] * 50 + [1.0] * 150).own_delay_ms == 2.0
    assert serving.Seen(seconds=1).own_delay_ms == 0


def test_without_refusals_there_is_no_time_of_them(serving: ModuleType) -> None:
    assert math.isnan(serving.Seen(seconds=1).refused_ms)
    assert serving.Seen(seconds=1).in_time == 0


def test_a_missed_promise_is_marked_and_remembered(serving: ModuleType) -> None:
    figures = serving.Figures()
    figures.add("rate", "5")
    figures.add("ratio", "12 x", ">= 10 x", is_met=True)
    assert figures.are_all_met
    figures.add("in time", "98 %", ">= 99 %", is_met=False)
    figures.add("more", "1", "1", is_met=True)
    assert not figures.are_all_met
    assert list(figures.table.columns[3].cells) == ["", "met", "MISSED", "met"]


def test_the_model_tells_how_often_it_was_called(serving: ModuleType) -> None:
    model = serving.paced()
    assert [model([[1.0], [2.0]]), model([[3.0]])] == [["1", "1"], ["2"]]
