"""What makes the comparisons of bench/selection.py fair: nobody is asked about what it has seen, and luck is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb
from typing import Any

import numpy as np


class Crossed:
    """One model fitted three times, each time without a third of the examples, which that fit alone is asked about.

    Its inputs begin with the number of their third.
    """

    def __init__(self, fits: Sequence[Any]) -> None:
        self._fits = fits

    def predict_proba(self, inputs: np.ndarray) -> np.ndarray:
        """The probability of each class: [examples, classes]."""
        parts = inputs[:, 0].astype(int)
        found = np.zeros((len(inputs), len(self._fits[0].classes_)))
        for part in set(parts.tolist()):
            found[parts == part] = self._fits[part].predict_proba(inputs[parts == part, 1:])
        return found


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two who answered the same questions: is one of them wrong less often, or was it luck?"""

    only_first: int
    """Answers of the first that are wrong where the second is right."""
    only_second: int

    @classmethod
    def of(cls, first_wrong: np.ndarray, second_wrong: np.ndarray) -> Comparison:
        """By which answers were wrong, in the same order."""
        return cls(int(np.sum(first_wrong & ~second_wrong)), int(np.sum(second_wrong & ~first_wrong)))

    def __add__(self, other: Comparison) -> Comparison:
        return Comparison(self.only_first + other.only_first, self.only_second + other.only_second)

    @property
    def p(self) -> float:
        """How likely a difference like this one, or a larger one, is by luck alone.

        Source: McNemar (1947); two-sided and exact, by the binomial distribution.
        """
        changed, fewer = self.only_first + self.only_second, min(self.only_first, self.only_second)
        tail: int = sum(comb(changed, each) for each in range(fewer + 1))
        return min(1.0, 2 * tail / 2**changed)
