"""Counting in plain Python, cheap enough for the way of a query.

Rules of this file
 1. Pure. One thread counts; others may read at any time, and see numbers that were true a moment ago.
 2. Numbers never go back: neither when a bucket is added, nor when labels run out.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable
from itertools import accumulate
from typing import Generic, TypeVar

_STEPS = (1, 1.25, 1.6, 2, 2.5, 3.15, 4, 5, 6.3, 8)
"""Preferred numbers, ten to a decade: a percentile read from such buckets is an eighth off at most. Source: ISO 3."""

DURATIONS_NS = tuple(round(step * 10**power) for power in range(5, 11) for step in _STEPS)
"""0.1 ms to 80 s."""
TOLD_DURATIONS_NS = frozenset(round(step * 10**power) for power in range(5, 11) for step in (1, 2.5, 5))
"""The bounds that scrapes get; the others are for reading percentiles in this process."""
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
"""Sizes of batches."""

_MAX_ADDED = 4

OTHER = "other"
"""The label under which everything is counted that finds no slot of its own."""


class Histogram:
    """How many values fell into which bucket. Values are integers (nanoseconds, rows)."""

    __slots__ = ("_added", "table", "total")

    def __init__(self, bounds: Iterable[int] = DURATIONS_NS) -> None:
        upper = list(bounds)
        self.table = (upper, [0] * (len(upper) + 1))
        """Upper bounds, inclusive, ascending; and how many values each bucket has, also the one above the last bound.
        One reference, so that readers in other threads never see the one without the other."""
        self.total = 0
        """The sum of all values."""
        self._added: list[int] = []

    @property
    def count(self) -> int:
        """How many values there were."""
        return sum(self.table[1])

    @property
    def added(self) -> frozenset[int]:
        """The bounds that were added by `include`."""
        return frozenset(self._added)

    def observe(self, value: int) -> None:
        """Counts a value."""
        bounds, counts = self.table
        counts[bisect_left(bounds, value)] += 1
        self.total += value

    def observe_all(self, values: list[int]) -> None:
        """Counts several values, at least one; cheapest when they are alike, as those of one batch are."""
        bounds, counts = self.table
        low, high = bisect_left(bounds, min(values)), bisect_left(bounds, max(values))
        if low == high:
            counts[low] += len(values)
        else:
            for value in values:
                counts[bisect_left(bounds, value, low, high)] += 1
        self.total += sum(values)

    def include(self, bound: int) -> None:
        """Adds a bucket that ends at `bound`, unless there is one. The oldest added one goes when there are many.

        What was counted before counts as above the new bound, so that no number that was told goes back.
        """
        bounds, counts = self.table
        if bound in bounds:
            return
        self._added.append(bound)
        at = bisect_left(bounds, bound)
        bounds, counts = [*bounds[:at], bound, *bounds[at:]], [*counts[:at], 0, *counts[at:]]
        if len(self._added) > _MAX_ADDED:
            gone = bounds.index(self._added.pop(0))
            del bounds[gone]
            number = counts.pop(gone)
            counts[gone] += number
        self.table = bounds, counts

    def quantile(self, share: float) -> float:
        """The value below which a share of all values is, interpolated within its bucket; 0 when there are none."""
        return quantile(*self.table, share)


def quantile(bounds: list[int], counts: list[int], share: float) -> float:
    """See Histogram.quantile. What lies above the last bound counts as that bound."""
    sums = list(accumulate(counts))
    if not sums[-1]:
        return 0.0
    wanted = share * sums[-1]
    at = next(place for place, upto in enumerate(sums) if upto >= wanted and counts[place])
    if at >= len(bounds):
        return float(bounds[-1])
    low = bounds[at - 1] if at else 0
    inside = (wanted - (sums[at] - counts[at])) / counts[at]
    return low + (bounds[at] - low) * max(0.0, inside)


K = TypeVar("K")
S = TypeVar("S")


class Slots(Generic[K, S]):
    """What is counted per label, for a bounded number of labels: all further ones share one slot."""

    def __init__(self, new: Callable[[], S], other: K, *, most: int) -> None:
        self._new = new
        self._other = other
        self._most = most
        self._slots: dict[K, S] = {}
        self.find = self._slots.get
        """The slot of a key if there is one; quicker than asking for it by [], which makes it."""

    def __getitem__(self, key: K) -> S:
        """The slot of a key, made when it is first asked for."""
        found = self._slots.get(key)
        if found is None:
            if len(self._slots) >= self._most and key != self._other:
                return self[self._other]
            found = self._slots[key] = self._new()
        return found

    def items(self) -> list[tuple[K, S]]:
        """All keys with their slots, now; may be called from any thread."""
        return list(self._slots.items())

    def keep(self, keys: Iterable[K]) -> None:
        """Drops the slots of all other keys: what does not exist any more is not told any more."""
        wanted = {*keys, self._other}
        for key in [key for key in self._slots if key not in wanted]:
            del self._slots[key]
