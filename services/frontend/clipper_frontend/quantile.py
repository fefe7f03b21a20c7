"""The batch policy by regression: the largest batch whose learned tail latency fits the budget."""

from __future__ import annotations

from clipper_frontend.choice import Choice, Why, choice
from clipper_frontend.latency import WINDOW, LatencyCurve


class Quantile:
    """Asks the learned curve q(n) = fixed + per_row · n (see `latency`) how much the budget has room for.

        rows = min(ceiling, reach, (budget - fixed) / per_row), at least 1

    where `reach` keeps it from believing the line far beyond what was seen: it is twice the third largest batch of the
    window, or the largest one that fitted its budget and was not followed by a smaller one that did not. When a
    whole window of batches was of one size, so that a slope cannot be seen, it asks for a few batches of one quarter
    more rows, if the usual size fits the budget: so it finds head-room that a wrong line hides.

    From nothing it converges in log2(rows) + 8 batches; it is back under its budget 8 batches after the model became
    slower, and back at the largest size 16 batches after it became faster, by half at least; else after a window.

    Source: Clipper, NSDI 2017, section 4.3 (quantile regression, the alternative to AIMD).
    """

    def __init__(self, ceiling_rows: int, *, window: int = WINDOW) -> None:
        self._ceiling_rows = ceiling_rows
        self.curve = LatencyCurve(window=window)
        self._proven_rows = 0
        self._rows = 1
        self._why = Why.LEARNING
        self._budget_ns = 0

    def max_rows(self, budget_ns: int) -> int:
        """See BatchPolicy."""
        self._budget_ns = budget_ns
        fit = self.curve.fit()
        if fit is None:
            return 1
        rows, why = fit.rows_within(budget_ns), Why.BUDGET
        if self.curve.is_stale:
            large = self.curve.large_rows
            step = large + large // 4 + 1
            if rows < step and fit.predict_ns(large) <= budget_ns:
                rows, why = step, Why.PROBE
        reach = max(self._proven_rows, 2 * self.curve.large_rows)
        if rows > reach:
            rows, why = reach, Why.REACH
        if rows >= self._ceiling_rows:
            rows, why = self._ceiling_rows, Why.CEILING
        elif rows < 1:
            rows, why = 1, Why.LEAST
        self._rows, self._why = rows, why
        return rows

    def observe(self, rows: int, elapsed_ns: int) -> None:
        """See BatchPolicy."""
        self.curve.observe(rows, elapsed_ns)
        if elapsed_ns <= self._budget_ns:
            self._proven_rows = max(self._proven_rows, rows)
        elif rows < self._proven_rows:
            self._proven_rows = rows

    def predict_ns(self, rows: int) -> int | None:
        """See BatchPolicy."""
        return self.curve.predict_ns(rows)

    def explain(self) -> Choice:
        """See BatchPolicy."""
        return choice("quantile", self._rows, self._why, self._budget_ns, self.curve)
