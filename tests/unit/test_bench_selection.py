"""The bench of selection compares fairly: nobody is asked about what it has seen, and luck is told from skill."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))

from selection_fair import Comparison, Crossed


class Fit:
    """Answers with its own name, and remembers what it was asked."""

    classes_ = (0, 1)

    def __init__(self, name: float) -> None:
        self.name = name
        self.asked: list[float] = []

    def predict_proba(self, inputs: np.ndarray) -> np.ndarray:
        self.asked += inputs[:, 0].tolist()
        return np.column_stack([np.full(len(inputs), self.name), 1 - np.full(len(inputs), self.name)])


def test_each_fit_is_asked_only_about_the_third_that_it_has_not_seen() -> None:
    fits = [Fit(0.1), Fit(0.2), Fit(0.3)]
    found = Crossed(fits).predict_proba(np.array([[2, 20], [0, 10], [2, 21], [1, 30]]))
    assert found[:, 0].tolist() == [0.3, 0.1, 0.3, 0.2]
    assert [fit.asked for fit in fits] == [[10], [30], [20, 21]]


@pytest.mark.parametrize(
    ("only_first", "only_second", "p"), [(0, 0, 1), (8, 8, 1), (16, 8, 0.1516), (0, 6, 0.03125), (66, 27, 6.5e-5)]
)
def test_chance_is_told_from_how_many_answers_only_one_of_both_has_right(
    only_first: int, only_second: int, p: float
) -> None:
    assert Comparison(only_first, only_second).p == pytest.approx(p, rel=0.01)


def test_comparisons_add_up() -> None:
    first = Comparison.of(np.array([True, True, False, False]), np.array([True, False, True, False]))
    assert first + Comparison(2, 0) == Comparison(3, 1)
