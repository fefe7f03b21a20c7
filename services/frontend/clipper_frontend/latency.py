"""How long does a batch take? The latency of one replica's batches by their size, learned from the last ones.

Model: the tail of a batch of n rows takes q(n) = fixed + per_row · n, both from 0.

Formula, over a window of the last W batches (rows n, elapsed t):
 1. Shape. The window is split by size at the middle between the smallest and the largest batch (at least three
    batches each side). The line through the points (median n, median t) of the halves, slope and intercept from 0,
    gives the share of the fixed part, and so the ratio r = fixed/per_row. The share moves to what the line says by
    w = (larger size / smaller size) - 1, at most 1: batches of nearly one size say little about a slope.
 2. Location. t = s · (r + n) with s the median of t / (r + n): a pause among the samples does not move it.
 3. Scale. The tau-quantile of t / (s · (r + n)), at most 1.5, raises the line. When the halves differ by a factor of 2
    or more, each half raises its own point, and q is the line through both: so noise may grow with the size of the
    batch, or not. What goes beyond 1.5 is a pause: no batch is small enough to avoid it, and small ones meet more.
Old behaviour is forgotten after W batches; and at once when four batches in a row took more than 1.5 times, or less
than 1/1.5, of what the location line says: then only those four are kept, and the shape.

Sources: X. He, "Quantile Curves without Crossing", The American Statistician 51 (1997): regression quantiles restricted
to location plus scale. A. Wald, "The Fitting of Straight Lines if Both Variables are Subject to Error", Annals of
Mathematical Statistics 11 (1940), and J. Tukey's resistant line: slopes from the medians of groups. The use: Clipper,
NSDI 2017, section 4.3 (quantile regression of batch latency on batch size).
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from dataclasses import dataclass
from math import sqrt
from operator import itemgetter

WINDOW = 64
"""How many batches are remembered."""
TAIL = 0.95
"""Which quantile of the latency is the tail."""
_YOUNG = 16
"""Up to so many batches every one renews the fit..."""
_PATIENCE = 8
"""...later every eighth does, or one that was larger than any, or took far longer than expected."""
_LEAST_HALF = 3
_CHANGED = 4
_SLOPE_SEEN = 0.2
"""From which weight w on the shape counts as seen; it must also be twice as large as noise would make it."""
_MANY = 16
"""From so many batches in each half on each has a tail of its own."""
_SIGMAS = 1.645
"""The 95th percentile of the normal distribution."""
_FIRST_NOISE = 0.05
_MOST_RAISED = 1.5
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
        self._window = window
        self._tail = tail
        self._fit: Fit | None = None
        self._noise = _FIRST_NOISE  # sigma of latency, as a share of it
        self._unseen = 0  # samples since the fit
        self._ratio = 0.0  # fixed / per_row
        self.knows_slope = False
        """Whether batches of different sizes ever told the fixed part from the part per row."""
        self._since_slope = window
        self._large_rows = 1
        self._usual_fixed = self._usual_per_row = 0.0  # the location line
        self._slower = self._faster = 0  # how many batches in a row were far off it

    @property
    def samples(self) -> int:
        """How many batches are remembered."""
        return len(self._samples)

    @property
    def is_young(self) -> bool:
        """Whether it was learned from few batches, none or since the last change: it is not much more than a guess."""
        return len(self._samples) <= _YOUNG

    @property
    def large_rows(self) -> int:
        """The third largest of the remembered batches; while they are few, the largest."""
        return self._large_rows

    @property
    def remembered(self) -> list[tuple[int, int]]:
        """The remembered batches, (rows, nanoseconds), by size."""
        return sorted(self._samples)

    def observe(self, rows: int, elapsed_ns: int) -> None:
        """Tells that a batch of `rows` took `elapsed_ns`."""
        self._samples.append((rows, elapsed_ns))
        self._since_slope += 1
        self._unseen += 1
        if self._fit is not None:
            self._compare(rows, elapsed_ns)

    def _compare(self, rows: int, elapsed_ns: int) -> None:
        """Sees whether a batch was something new."""
        usual_ns = self._usual_fixed + self._usual_per_row * rows
        if elapsed_ns > _MOST_RAISED * usual_ns:
            self._slower, self._faster = self._slower + 1, 0
        elif elapsed_ns * _MOST_RAISED < usual_ns:
            self._slower, self._faster = 0, self._faster + 1
        else:
            self._slower = self._faster = 0
        if _CHANGED in (self._slower, self._faster):
            self._slower = self._faster = 0
            while len(self._samples) > _CHANGED:
                self._samples.popleft()
            self._unseen = _PATIENCE
        elif self._slower or rows > self._large_rows:
            self._unseen = _PATIENCE

    def fit(self) -> Fit | None:
        """What has been learned; None before the first batch."""
        if self._unseen >= _PATIENCE or (self._unseen and len(self._samples) <= _YOUNG):
            self._unseen = 0
            self._fit = self._renewed()
        return self._fit

    def predict_ns(self, rows: int) -> int | None:
        """The tail latency of a batch of `rows`; None before the first batch.

        As long as no slope was ever seen, a batch larger than any other is taken to need as long as those: what is not
        known is not held against it.
        """
        fit = self.fit()
        if fit is None:
            return None
        return fit.predict_ns(rows if self.knows_slope else min(rows, self._large_rows))

    @property
    def is_stale(self) -> bool:
        """Whether no slope was seen for a whole window: since the batches were all alike, or too noisy."""
        return self._since_slope >= self._window

    def _renewed(self) -> Fit:
        samples = sorted(self._samples, key=_rows)
        size = len(samples)
        self._large_rows = samples[-1 if size <= _YOUNG else -_LEAST_HALF][0]
        least = max(1, min(_LEAST_HALF, size // 2))
        middle = samples[least - 1][0] + samples[-least][0]
        split = bisect_right(samples, middle, key=_twice_the_rows)
        left, right = samples[:split], samples[split:]
        at_left, at_right = left[(split - 1) // 2][0], (right or left)[max(0, size - split - 1) // 2][0]
        if right:
            self._see_slope(left, right, at_left, at_right)
        ratio = self._ratio
        slopes = [t / (ratio + n) for n, t in samples]
        left_slopes, right_slopes = slopes[:split], slopes[split:]
        per_row = max(_quantile(slopes, 0.5), 1e-9)
        fixed = per_row * ratio
        self._usual_fixed, self._usual_per_row = fixed, per_row
        raised = self._raised(slopes, per_row)
        if size > _YOUNG:
            self._noise = (raised - 1) / _SIGMAS
        if min(split, size - split) < _MANY or at_right < 2 * at_left:
            return Fit(fixed * raised, per_row * raised)
        low = self._raised(left_slopes, per_row) * (fixed + per_row * at_left)
        high = self._raised(right_slopes, per_row) * (fixed + per_row * at_right)
        return Fit(*_line(at_left, low, at_right, high))

    def _raised(self, slopes: list[float], per_row: float) -> float:
        """By what factor the tail of some samples, t / (r + n) each, is above the location line, on which it is s."""
        return min(max(1.0, _quantile(slopes, self._tail) / per_row), _MOST_RAISED)

    def _see_slope(
        self, left: list[tuple[int, int]], right: list[tuple[int, int]], at_left: int, at_right: int
    ) -> None:
        low, high = _quantile([t for _, t in left], 0.5), _quantile([t for _, t in right], 0.5)
        fixed, per_row = _line(at_left, low, at_right, high)
        weight = min(1.0, at_right / at_left - 1)
        share = weight * fixed / (fixed + per_row * at_right) + (1 - weight) * self._ratio / (self._ratio + at_right)
        self._ratio = at_right * share / (1 - share)
        if weight >= _SLOPE_SEEN and high - low > 2 * self._noise * high * sqrt(1 / len(left) + 1 / len(right)):
            self._since_slope = 0
            self.knows_slope = True


_rows = itemgetter(0)


def _twice_the_rows(sample: tuple[int, int]) -> int:
    return 2 * sample[0]


def _line(at_left: int, low: float, at_right: int, high: float) -> tuple[float, float]:
    """Intercept and slope, neither negative, of a line that meets the right point and, if it may, the left one."""
    high = max(high, 1.0)
    slope = max((high - low) / (at_right - at_left), _FLATTEST * high / at_right)
    fixed = high - slope * at_right
    return (fixed, slope) if fixed >= 0 else (0.0, high / at_right)


def _quantile(values: list[float], share: float) -> float:
    """The value that about `share` of all do not exceed; of few values not the largest."""
    values.sort()
    return values[int(share * (len(values) - 1))]
