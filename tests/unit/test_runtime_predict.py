"""One batch: inputs at fault fail alone, at a bounded price, and nothing that a model raises gets out."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipper_runtime.faults import Faults
from clipper_runtime.predict import Failure, predict_each


class Rows:
    """A batch of the numbers 0, 1, 2, ...; notes what was asked for."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.asked: list[tuple[int, int]] = []

    def build(self, start: int, stop: int) -> Any:
        self.asked.append((start, stop))
        return np.arange(start, stop)


def always() -> bool:
    return True


def fails_on(*bad: int, error: BaseException | None = None) -> Callable[[Any], list[str]]:
    def predict(inputs: Any) -> list[str]:
        for each in inputs:
            if each in bad:
                raise error or ValueError(f"{each} is bad")
        return [f"ok {each}" for each in inputs]

    return predict


def test_a_good_batch_costs_one_call_and_keeps_its_order() -> None:
    batch = Rows(5)
    assert predict_each(fails_on(), batch, is_wanted=always) == [f"ok {each}" for each in range(5)]
    assert batch.asked == [(0, 5)]


def test_an_array_stays_an_array() -> None:
    outcomes = predict_each(lambda inputs: inputs * 2.0, Rows(3), is_wanted=always)
    assert isinstance(outcomes, np.ndarray)
    assert outcomes.tolist() == [0.0, 2.0, 4.0]


@given(st.integers(1, 130).flatmap(lambda rows: st.tuples(st.just(rows), st.sets(st.integers(0, rows - 1)))))
def test_exactly_the_inputs_at_fault_fail_at_a_bounded_price(case: tuple[int, set[int]]) -> None:
    rows, bad = case
    batch = Rows(rows)
    outcomes = predict_each(fails_on(*bad), batch, is_wanted=always)
    wanted = [Failure("ValueError", f"{each} is bad") if each in bad else f"ok {each}" for each in range(rows)]
    assert list(outcomes) == wanted
    further = batch.asked[1:]
    assert len(further) <= 2 * (rows - 1)
    assert sum(stop - start for start, stop in further) <= rows * math.ceil(math.log2(rows))
    assert len(set(batch.asked)) == len(batch.asked), "no part is tried twice"
    if len(bad) == 1:
        assert len(further) <= 2 * math.ceil(math.log2(rows))


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), MemoryError("big")])
def test_nothing_that_a_model_raises_gets_out(error: BaseException) -> None:
    outcomes = list(predict_each(fails_on(1, error=error), Rows(3), is_wanted=always))
    assert outcomes[::2] == ["ok 0", "ok 2"]
    assert outcomes[1] == Failure.of(error)
    assert outcomes[1].kind == type(error).__name__


def test_a_single_input_is_not_tried_twice() -> None:
    batch = Rows(1)
    assert predict_each(fails_on(0), batch, is_wanted=always) == [Failure("ValueError", "0 is bad")]
    assert batch.asked == [(0, 1)]


def test_a_batch_fails_as_a_whole_where_that_is_asked_for() -> None:
    batch = Rows(4)
    outcomes = predict_each(fails_on(2), batch, is_wanted=always, isolate=False)
    assert list(outcomes) == [Failure("ValueError", "2 is bad")] * 4
    assert batch.asked == [(0, 4)]


def test_no_attempt_is_begun_once_nobody_waits() -> None:
    batch = Rows(8)
    outcomes = predict_each(fails_on(7), batch, is_wanted=lambda: len(batch.asked) < 3)
    assert len(batch.asked) == 3
    assert len(outcomes) == 8
    assert list(outcomes[:4]) == ["ok 0", "ok 1", "ok 2", "ok 3"]
    assert set(outcomes[4:]) == {Failure("ValueError", "7 is bad")}


@pytest.mark.parametrize(
    ("outputs", "found"),
    [(["a"], 1), ([], 0), (["a"] * 4, 4), (np.zeros(2), 2), (np.zeros((2, 3)), 2), (("a", "b"), 2)],
)
def test_a_wrong_number_of_outputs_fails_the_batch_with_both_numbers(outputs: Any, found: int) -> None:
    batch = Rows(3)
    outcomes = predict_each(lambda _: outputs, batch, is_wanted=always)
    message = f"The model returned {found} outputs for 3 inputs; it must return one output per input."
    assert list(outcomes) == [Failure("WrongOutputCount", message)] * 3
    assert batch.asked == [(0, 3)]


@pytest.mark.parametrize(
    ("outputs", "kind"),
    [("abc", "str"), (None, "NoneType"), ({0: 1}, "dict"), (3.0, "float"), (np.array(3.0), "ndarray")],
)
def test_what_is_no_list_fails_the_batch_with_its_type(outputs: Any, kind: str) -> None:
    outcomes = predict_each(lambda _: outputs, Rows(3), is_wanted=always)
    message = f"The model returned a {kind}; it must return a list with one output per input."
    assert list(outcomes) == [Failure("WrongOutputType", message)] * 3


def test_where_a_model_raised_is_logged_once_per_batch_without_what_it_says(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        predict_each(fails_on(1, 2, 5), Rows(8), is_wanted=always)
    [record] = [each for each in caplog.records if each.message == "model_raised"]
    trace = record.__dict__["trace"]
    assert trace.endswith("\nValueError")
    assert "in predict" in trace
    assert "1 is bad" not in trace
    assert record.exc_info is None


def test_a_fault_that_goes_on_is_logged_ten_times_and_then_seldom_with_how_often(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now_ns = 0
    faults = Faults(lambda: now_ns)

    def lines() -> list[int]:
        found = [each for each in caplog.records if each.message == "model_raised"]
        return [each.__dict__.get("more_since_last_line", 0) for each in found]

    with caplog.at_level(logging.INFO):
        for _ in range(25):
            predict_each(fails_on(0), Rows(1), is_wanted=always, faults=faults)
        assert lines() == [0] * 10
        predict_each(fails_on(0, error=KeyError()), Rows(1), is_wanted=always, faults=faults)
        assert len(lines()) == 11, "another fault is told at once"
        now_ns = 10_000_000_000
        predict_each(fails_on(0), Rows(1), is_wanted=always, faults=faults)
        assert lines()[-1] == 15
    caplog.clear()
    with caplog.at_level(logging.DEBUG):
        for _ in range(25):
            predict_each(fails_on(0), Rows(1), is_wanted=always, faults=faults)
    assert len(lines()) == 25


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def test_an_error_that_cannot_be_printed_is_told_nevertheless() -> None:
    assert Failure.of(Mute()) == Failure("Mute", "(its message cannot be printed)")


def test_a_message_is_one_line_of_limited_length_and_valid_unicode() -> None:
    failure = Failure.of(ValueError("first\n  second\t" + "ü" * 1000))
    assert failure.message.startswith("first second ü")
    assert failure.message.endswith("...")
    assert 500 < len(failure.message.encode()) <= 512
    assert Failure.of(ValueError("half \ud800 a character")).message == "half ? a character"
    long_named = type("L" * 300, (Exception,), {})
    assert len(Failure.of(long_named()).kind.encode()) == 128
