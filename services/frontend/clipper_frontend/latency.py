"""How long does a batch take? The latency of one replica's batches by their size, learned from the last ones.

Model: the tail of a batch of n rows takes q(n) = fixed + per_row · n, both from 0.

Formula, over a window of the last W batches (rows n, elapsed t):
 1. Shape. The window is split by size at the middle between the smallest and the largest batch (at least three
    batches each side). The line through the points (median n, median t) of the halves, slope and intercept from 0,
    gives the share of the fixed part, and so the ratio r = fixed/per_row. The share moves to what the line says by
    w = (larger size / smaller size) - 1, at most 1: batches of nearly one size say little about a slope.
 2. Location. t = s · (r + n) with s the median of t / (r + n): a pause among the samples does not move it.
 3. Scale. The tau-quantile of t / (s · (r + n)) raises the line. When the halves differ by a factor of 2 or more, each
    half raises its own point, and q is the line through both: so noise may grow with the size of the batch, or not.
Old behaviour is forgotten after W batches; the tail follows a replica that becomes slower after
(1 - tau) · W + 1 batches, and one that becomes faster after W.

Sources: X. He, "Quantile Curves without Crossing", The American Statistician 51 (1997): regression quantiles restricted
to location plus scale. A. Wald, "The Fitting of Straight Lines if Both Variables are Subject to Error", Annals of
Mathematical Statistics 11 (1940), and J. Tukey's resistant line: slopes from the medians of groups. The use: Clipper,
NSDI 2017, section 4.3 (quantile regression of batch latency on batch size).
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from dataclasses import dataclass

WINDOW = 64
"""How many batches are remembered."""
TAIL = 0.95
"""Which quantile of the latency is the tail."""
_YOUNG = 16
"""Up to so many batches every one renews the fit..."""
_PATIENCE = 4
"""...later every fourth does, or one that took far longer than expected."""
_LEAST_HALF = 3
_SLOPE_SEEN = 0.2
"""From which weight w on the shape counts as seen."""
_FLATTEST = 1e-4
"""The least slope, as a share of latency per row."""


@dataclass(frozen=True, slots=True)
class Fit:
    """What has been learned: a batch of n rows takes up to fixed_ns + per_row_ns · n, but for the worst (1 - TAIL)."""

    fixed_ns: float
    per_row_ns: float

    def predict_ns(self, rows: int) -> int:
        """The tail latency of a batch of `rows`."""
        return int(self.fixed_ns + self.per_row_ns * rows)

    def rows_within(self, budget_ns: int) -> int:
        """The largest batch whose tail latency is within the budget; 0 when none is."""
        return max(0, int((budget_ns - self.fixed_ns) / self.per_row_ns))


class LatencyCurve:
    """Learns the latency of one replica's batches."""

    def __init__(self, *, window: int = WINDOW, tail: float = TAIL) -> None:
        self._samples: deque[tuple[int, int]] = deque(maxlen=window)
        self._tail = tail
        self._fit: Fit | None = None
        self._unseen = 0  # samples since the fit
        self._ratio = 0.0  # fixed / per_row
        self._since_slope = window
        self._usual_rows = 1
        self._large_rows = 1

    @property
    def samples(self) -> int:
        """How many batches are remembered."""
        return len(self._samples)

    @property
    def since_slope(self) -> int:
        """How many batches ago the sizes last differed enough to tell the fixed part from the part per row.

        A whole window, or more, when they never did.
        """
        return self._since_slope

    @property
    def usual_rows(self) -> int:
        """The median size of the remembered batches."""
        return self._usual_rows

    @property
    def large_rows(self) -> int:
        """The third largest of the remembered batches; while they are few, the largest."""
        return self._large_rows

    def observe(self, rows: int, elapsed_ns: int) -> None:
        """Tells that a batch of `rows` took `elapsed_ns`."""
        self._samples.append((rows, elapsed_ns))
        self._since_slope += 1
        self._unseen += 1
        if self._unseen < _PATIENCE and self._fit is not None and elapsed_ns > 1.25 * self._fit.predict_ns(rows):
            self._unseen = _PATIENCE

    def fit(self) -> Fit | None:
        """What has been learned; None before the first batch."""
        if self._unseen >= _PATIENCE or (self._unseen and len(self._samples) <= _YOUNG):
            self._unseen = 0
            self._fit = self._renewed()
        return self._fit

    def predict_ns(self, rows: int) -> int | None:
        """The tail latency of a batch of `rows`; None before the first batch."""
        fit = self.fit()
        return None if fit is None else fit.predict_ns(rows)

    def _renewed(self) -> Fit:
        samples = sorted(self._samples)
        size = len(samples)
        self._usual_rows = samples[size // 2][0]
        self._large_rows = samples[-1 if size <= _YOUNG else -_LEAST_HALF][0]
        least = min(_LEAST_HALF, size // 2)
        split = bisect_right(samples, samples[0][0] + samples[-1][0], key=_twice_the_rows)
        split = min(max(split, least), size - max(least, 1))
        left, right = samples[:split], samples[split:]
        at_left, at_right = (left or right)[split // 2][0], right[(size - split) // 2][0]
        if at_right > at_left:
            self._see_slope(left, right, at_left, at_right)
        ratio = self._ratio
        per_row = max(_quantile([t / (ratio + n) for n, t in samples], 0.5), 1e-9)
        fixed = per_row * ratio
        if at_right < 2 * at_left:
            raised = max(1.0, _quantile([t / (fixed + per_row * n) for n, t in samples], self._tail))
            return Fit(fixed * raised, per_row * raised)
        low = _quantile([t / (fixed + per_row * n) for n, t in left], self._tail) * (fixed + per_row * at_left)
        high = _quantile([t / (fixed + per_row * n) for n, t in right], self._tail) * (fixed + per_row * at_right)
        return Fit(*_line(at_left, low, at_right, high))

    def _see_slope(
        self, left: list[tuple[int, int]], right: list[tuple[int, int]], at_left: int, at_right: int
    ) -> None:
        low, high = _quantile([t for _, t in left], 0.5), _quantile([t for _, t in right], 0.5)
        fixed, per_row = _line(at_left, low, at_right, high)
        weight = min(1.0, at_right / at_left - 1)
        share = weight * fixed / (fixed + per_row * at_right) + (1 - weight) * self._ratio / (self._ratio + at_right)
        self._ratio = at_right * share / (1 - share)
        if weight >= _SLOPE_SEEN:
            self._since_slope = 0


def _twice_the_rows(sample: tuple[int, int]) -> int:
    return 2 * sample[0]


def _line(at_left: int, low: float, at_right: int, high: float) -> tuple[float, float]:
    """Intercept and slope, neither negative, of a line that meets the right point and, if it may, the left one."""
    high = max(high, 1.0)
    slope = max((high - low) / (at_right - at_left), _FLATTEST * high / at_right)
    fixed = high - slope * at_right
    return (fixed, slope) if fixed >= 0 else (0.0, high / at_right)


def _quantile(values: list[float], share: float) -> float:
    """The smallest value that at least `share` of all do not exceed."""
    values.sort()
    return values[min(len(values) - 1, int(share * len(values)))]
