"""One timer for all deadlines.

A heap of (deadline, query); the timer stands at the earliest deadline of a query that is not known to be done. Done
queries stay in the heap until they come up or until a sweep, whose cost is amortized: O(log n) per query in all.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Protocol

from clipper_frontend.query import Query

_NEVER = 1 << 63
_FIRST_SWEEP = 256
"""Done queries are few enough then to stay in the caches of the machine, and to be made of the same memory again."""


class Timer(Protocol):
    """Something that will happen."""

    def cancel(self) -> None:
        """Keeps it from happening."""


class Clock(Protocol):
    """Time, as the engine sees it. All on one thread."""

    def now_ns(self) -> int:
        """Monotonic nanoseconds."""

    def call_at(self, when_ns: int, callback: Callable[[], None]) -> Timer:
        """Calls back once, at about `when_ns`: a little late, or so little early that asking again costs nothing."""

    def call_soon(self, callback: Callable[[], None]) -> object:
        """Calls back when all that is happening now has happened."""


class Deadlines:
    """Expires queries when their time has come."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heap: list[tuple[int, int, Query]] = []
        self._numbers = count()
        self._timer: Timer | None = None
        self._timer_ns = _NEVER
        self._sweep_at = _FIRST_SWEEP

    def __len__(self) -> int:
        """How many queries are held, done ones that are not swept yet included."""
        return len(self._heap)

    def add(self, query: Query) -> None:
        """Will expire the query at its deadline, if it is not done by then."""
        heappush(self._heap, (query.deadline_ns, next(self._numbers), query))
        if query.deadline_ns < self._timer_ns:
            self._arm(query.deadline_ns)
        if len(self._heap) >= self._sweep_at:
            self._heap[:] = [entry for entry in self._heap if not entry[2].is_done]
            heapify(self._heap)
            self._sweep_at = max(_FIRST_SWEEP, 2 * len(self._heap))

    def close(self) -> None:
        """Stops the timer; nothing expires any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _arm(self, when_ns: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_ns = when_ns
        self._timer = self._clock.call_at(when_ns, self._ring)

    def _ring(self) -> None:
        self._timer, self._timer_ns = None, _NEVER
        now_ns = self._clock.now_ns()
        heap = self._heap
        try:
            while heap:
                deadline_ns, _, query = heap[0]
                if not query.is_done:
                    if deadline_ns > now_ns:
                        break
                    heappop(heap)
                    query.expire()
                else:
                    heappop(heap)
        finally:
            if heap and heap[0][0] < self._timer_ns:
                self._arm(heap[0][0])
