"""How late are answers, when all was forecast? What admission keeps in hand, learned for each replica.

    overshoot = when the answers of a batch were handed on - when they should have been, as far as that was known to the
                queries that came while the batch before it was computed
    margin    = the largest one of the last WINDOW batches, from 0

Learned latencies say what batches take, but for the worst of them (see `latency`). What comes on top is the worst of
them twice, one after the other; and whatever holds up the frontend itself: its answers, its other work, others on its
processors. Nobody could say how that is distributed, and nobody must: if the next batch is of the same kind as the last
WINDOW, the chance that it is later than all of them is one in WINDOW + 1, whatever the distribution.

Source: V. Vovk, A. Gammerman, G. Shafer, "Algorithmic Learning in a Random World" (2005), conformal prediction: ranks
of exchangeable numbers.
"""

from __future__ import annotations

from collections import deque

WINDOW = 256
"""How many batches are remembered: one in 257 may be later than foreseen. Its queries, and some of the batch behind it,
are late then: well below the one in a hundred that may be."""


class Margin:
    """The largest overshoot of a sliding window. O(1) per batch, amortized."""

    __slots__ = ("_largest", "_number", "_window")

    def __init__(self, window: int = WINDOW) -> None:
        self._window = window
        self._number = 0
        self._largest: deque[tuple[int, int]] = deque()  # (number, overshoot): those that no later one exceeds

    def observe(self, overshoot_ns: int) -> None:
        """Tells how much later than forecast a batch was; less than 0 if it was earlier."""
        largest = self._largest
        self._number += 1
        while largest and largest[-1][1] <= overshoot_ns:
            largest.pop()
        largest.append((self._number, overshoot_ns))
        if largest[0][0] <= self._number - self._window:
            largest.popleft()

    def forget(self) -> None:
        """The replica has become another one: what was seen says nothing of what will be."""
        self._largest.clear()

    @property
    def largest_ns(self) -> int:
        """The margin."""
        return max(0, self._largest[0][1]) if self._largest else 0
