"""The batch policy of the paper: larger bit by bit while it fits, a little smaller when it does not."""

from __future__ import annotations

from clipper_frontend.choice import Choice, Why, choice
from clipper_frontend.latency import LatencyCurve

_BACKOFF_NUMERATOR, _BACKOFF_DENOMINATOR = 9, 10
_FULL_BATCHES_PER_STEP = 8


class Aimd:
    """Additive increase, multiplicative decrease.

    A batch that was as large as allowed:
        within its budget: rows += step; until the first one that was not: rows *= 2
    Any batch above its budget:
        rows = 9/10 · rows, at least 1; step = 1

    The step is 1 and doubles with every 8 full batches in a row that fit, so that a model that became much faster is
    followed in O(log) rather than O(rows) batches. A batch that was not full shows no head-room and changes nothing.

    From nothing it converges in log2(rows) + 8 batches; a model that becomes f times slower costs log(f) / log(10/9)
    batches (7 for f = 2); after that it swings between 9/10 of the largest size and just above it.

    Source: Clipper, NSDI 2017, section 4.3 (additive increase, back-off by 10 %); the doublings are those of TCP's slow
    start.
    """

    def __init__(self, ceiling_rows: int) -> None:
        self._ceiling_rows = ceiling_rows
        self.curve = LatencyCurve()  # only to tell others; sizes do not depend on it
        self._rows = 1
        self._step = 1
        self._full = 0
        self._is_starting = True
        self._budget_ns = 0

    def max_rows(self, budget_ns: int) -> int:
        """See BatchPolicy."""
        self._budget_ns = budget_ns
        return self._rows

    def observe(self, rows: int, elapsed_ns: int) -> None:
        """See BatchPolicy. The batch is held against the budget of the last choice."""
        self.curve.observe(rows, elapsed_ns)
        if elapsed_ns > self._budget_ns:
            self._rows = max(1, self._rows * _BACKOFF_NUMERATOR // _BACKOFF_DENOMINATOR)
            self._step, self._full, self._is_starting = 1, 0, False
        elif rows >= self._rows:
            self._rows = min(self._ceiling_rows, 2 * self._rows if self._is_starting else self._rows + self._step)
            self._full += 1
            if self._full == _FULL_BATCHES_PER_STEP:
                self._full = 0
                self._step *= 2

    def predict_ns(self, rows: int) -> int | None:
        """See BatchPolicy."""
        return self.curve.predict_ns(rows)

    def explain(self) -> Choice:
        """See BatchPolicy."""
        why = Why.CEILING if self._rows == self._ceiling_rows else Why.REACH if self._is_starting else Why.BUDGET
        return choice("aimd", self._rows, why, self._budget_ns, self.curve)
