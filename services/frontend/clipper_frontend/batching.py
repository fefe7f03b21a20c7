"""Who goes now? The queue of one model version: earliest deadline first, bounded, with a linger.

Rules of this file
 1. Pure: no clock, no tasks. Time is an argument, monotonic nanoseconds, read once per decision by the caller.
 2. It knows one number per item, its `rows`, and nothing of what an item is.
 3. It never tells anybody: dropping an expired item only means that it is not sent. Whoever keeps the time answers it.
 4. An item waits in one queue at most, and one that was discarded never comes back.

Invariants
 - `waiting_rows` is the sum over exactly those items that were added (or put back) and neither taken, discarded nor
   dropped since.
 - A batch has no expired item, is in order of deadlines, and has at most `max_rows` rows unless its first item alone
   has more.

How long the first item of a batch waits here while a replica is free is at most
    min(linger, half of the time between its arrival and its deadline)
and nothing when `max_rows` rows wait. Source: TensorFlow's batch scheduler (linger from the first item of the batch, a
full queue refuses); Clipper section 4.3 (earliest deadline first, delayed batching).
"""

from __future__ import annotations

from collections import deque
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Generic, Protocol, TypeVar

_MANY_GONE = 64
"""How many items that do not wait any more may be held before it is worth cleaning up."""


class Item(Protocol):
    """What can wait."""

    is_waiting: bool
    """Kept by the queue: whether the item waits in it."""

    @property
    def rows(self) -> int:
        """How many rows of a batch it takes; at least 1."""

    @property
    def arrived_ns(self) -> int:
        """When it arrived."""

    @property
    def deadline_ns(self) -> int:
        """From then on its answer is of no use."""


T = TypeVar("T", bound=Item)


class BatchQueue(Generic[T]):
    """The items that wait for one model version."""

    def __init__(self, *, max_waiting_rows: int, linger_ns: int = 0) -> None:
        self.waiting_rows = 0
        self._latest_ns = 0  # no deadline of those that wait is later
        self._max_waiting_rows = max_waiting_rows
        self._linger_ns = linger_ns
        self._heap: list[tuple[int, int, T]] = []
        self._arrivals: deque[T] = deque()  # in order of arrival; only kept while there is a linger
        self._numbers = count()  # breaks ties: equal deadlines go in order of arrival
        self._gone = 0  # discarded items that are still in the heap

    def configure(self, *, max_waiting_rows: int, linger_ns: int) -> None:
        """Changes the limits; what waits goes on waiting."""
        self._max_waiting_rows = max_waiting_rows
        self._linger_ns = linger_ns
        self._clean_up()

    def add(self, item: T, now_ns: int) -> bool:
        """Lets an item wait. False: the queue is full, the item was not taken."""
        if self.waiting_rows + item.rows > self._max_waiting_rows:
            self._drop_expired(now_ns)
            if self.waiting_rows + item.rows > self._max_waiting_rows:
                return False
        self.put_back(item)
        return True

    def put_back(self, item: T) -> None:
        """Lets an item wait again that had been taken, even when the queue is full: it was accepted before."""
        item.is_waiting = True
        if not self.waiting_rows or item.deadline_ns > self._latest_ns:
            self._latest_ns = item.deadline_ns
        self.waiting_rows += item.rows
        heappush(self._heap, (item.deadline_ns, next(self._numbers), item))
        if self._linger_ns:
            self._arrivals.append(item)
            if len(self._arrivals) > 2 * len(self._heap) + _MANY_GONE:
                self._clean_up()

    def discard(self, item: T) -> None:
        """Takes an item out that was answered or whose caller has left. Its place is free at once."""
        if item.is_waiting:
            self._leave(item)
            self._gone += 1
            if not self.waiting_rows:
                self._forget_all()
            elif self._gone > _MANY_GONE and self._gone * 2 > len(self._heap):
                self._clean_up()

    def clear(self) -> list[T]:
        """Takes everything out, earliest deadline first."""
        items = [item for _, _, item in sorted(self._heap) if item.is_waiting]
        for item in items:
            item.is_waiting = False
        self.waiting_rows = 0
        self._forget_all()
        return items

    def first(self, now_ns: int) -> T | None:
        """The most urgent item; None when nothing waits."""
        self._drop_expired(now_ns)
        return self._heap[0][2] if self._heap else None

    def rows_before(self, deadline_ns: int) -> int:
        """How many rows wait that go before, or with, an item of that deadline. O(1) if all do, else O(those)."""
        if deadline_ns >= self._latest_ns:
            return self.waiting_rows
        heap, rows = self._heap, 0
        todo = [0]
        for at in todo:  # grows: the children of those that go before
            if at < len(heap) and heap[at][0] <= deadline_ns:
                item = heap[at][2]
                rows += item.rows if item.is_waiting else 0
                todo += (2 * at + 1, 2 * at + 2)
        return rows

    def next_batch(self, now_ns: int, max_rows: int) -> tuple[list[T], int | None]:
        """Decides who goes to a replica that is free now and wants at most `max_rows` rows.

        Returns:
            The batch; and, when it is empty, the time at which to ask again if nothing is added before: None when
            nothing waits.
        """
        self._drop_expired(now_ns)
        if not self._heap:
            return [], None
        if self._linger_ns and self.waiting_rows < max_rows:
            leave_ns = self._leave_ns()
            if now_ns < leave_ns:
                return [], leave_ns
        batch: list[T] = []
        rows = 0
        heap = self._heap
        while heap:
            item = heap[0][2]
            if not item.is_waiting:
                self._gone -= 1
            elif batch and rows + item.rows > max_rows:
                break
            else:
                self._leave(item)
                rows += item.rows
                batch.append(item)
            heappop(heap)
            if rows >= max_rows:
                break
        if not self.waiting_rows:
            self._forget_all()
        return batch, None

    def _leave(self, item: T) -> None:
        item.is_waiting = False
        self.waiting_rows -= item.rows

    def _drop_expired(self, now_ns: int) -> None:
        """Leaves the heap empty or with an item on top that waits and is not expired."""
        heap = self._heap
        while heap:
            deadline_ns, _, item = heap[0]
            if not item.is_waiting:
                self._gone -= 1
            elif deadline_ns <= now_ns:
                self._leave(item)
            else:
                return
            heappop(heap)

    def _leave_ns(self) -> int:
        """Until when the first item of the next batch may linger; there is one that waits."""
        while not self._arrivals[0].is_waiting:
            self._arrivals.popleft()
        most_urgent = self._heap[0][2]
        return min(
            self._arrivals[0].arrived_ns + self._linger_ns, (most_urgent.arrived_ns + most_urgent.deadline_ns) // 2
        )

    def _forget_all(self) -> None:
        self._gone = 0
        self._heap.clear()
        self._arrivals.clear()

    def _clean_up(self) -> None:
        self._heap = [entry for entry in self._heap if entry[2].is_waiting]
        heapify(self._heap)
        self._gone = 0
        if self._linger_ns:
            self._arrivals = deque(sorted((item for _, _, item in self._heap), key=lambda item: item.arrived_ns))
