"""Can it be in time? When a query that arrives now would be answered, and how long a batch may take.

Rules of this file
 1. Pure: numbers in, numbers out. All latencies are learned tail latencies, fixed + per_row · rows.
 2. A forecast is made anew after a batch was sent or answered, and read by every query in between: a few operations.
 3. What is not known is not held against a query: while a replica has answered nothing, its pool admits everything. It
    also admits what an idle replica would get at once, and always sends something to an idle replica: so a curve that
    is far too high is soon put right by the very batches that it is wrong about.

What is kept in hand. Answers come later than forecast now and then; `margin` learns how much. A query is admitted if
it would be answered `margin` before its deadline, and what follows reckons with objectives that are so much shorter.

How long a batch may take. Under full load a query that has just missed a batch waits while that one is computed, and
then for its own: it is in time if each takes no more than half of the objective.
    target = SHARE · (objective - margin) / 2
A larger batch would make those late that come next, a smaller one would waste the fixed cost. Where even the smallest
batch takes more than that, a batch may take LEAST times as long as the smallest one. A second batch is sent ahead to a
busy replica if it is full, if the first one will be done within LEAD · objective, and if a query that comes after both
can still be in time: remaining + 2 · batch <= objective - margin. That hides the network, and commits queries hardly
earlier.

Who is given up. If the most urgent query is in time only in a batch clearly smaller than the others would make, it is
refused instead: one small batch for the sake of one query costs many others theirs, and under overload every batch
would be such a one.

When a query would be answered. With w rows waiting, itself included, and replicas i that are free at f_i and take n_i
rows at a time, `first` being the one that is free first, whose last batch had l rows:
    w <= n_first   max(now, f_first) + fixed_first + per_row_first · max(w, l)
    else           max(now, mean f) + ceil(w / sum n_i) · t,  t = sum n_i / sum (n_i / (fixed_i + per_row_i · n_i))
since others come behind it and fill its batch, as they filled the last one; t is what n rows of each take all together.
A replica that should have been free at f but is not is taken to need as long again as it is late: now + (now - f).

Sources: batches of half the objective: H. Shen et al., "Nexus", SOSP 2019. Refusing by predicted latency what cannot
be in time: A. Gujarati et al., "Serving DNNs like Clockwork", OSDI 2020. What it is against: Clipper's order serves
what is just too late, and collapses at overload. The constants are by measurement (bench/simulate.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

SHARE = 0.9
LEAST = 1.25
LEAD = 0.1
SURE = 0.92
"""A batch should be done in this share of the time that its most urgent query has left..."""
ADMITTED = 0.97
"""...and a query is admitted if it would be answered in this share of its time, however little is kept in hand."""
MOST_MARGIN = 0.15
"""Which share of the objective is kept in hand at most. Twice as much costs 5 to 8 % of the throughput, and a fifth
fewer are late where pauses are longer than this, or none fewer where they are much longer (simulated)."""
WORTHWHILE = 0.95
"""Which share of the full batch one for an urgent query must have."""


class Plan:
    """What is reckoned with for one replica until it answers again. Both latencies are 0 while nothing is known."""

    __slots__ = ("fixed_ns", "is_known", "margin_ns", "per_row_ns", "rows")

    def __init__(
        self, rows: int, fixed_ns: float, per_row_ns: float, margin_ns: int = 0, *, is_known: bool = True
    ) -> None:
        self.rows = rows
        """The largest batch that it would be given."""
        self.fixed_ns = fixed_ns
        self.per_row_ns = per_row_ns
        self.margin_ns = margin_ns
        """How much earlier than its deadline a query must seem to be answered."""
        self.is_known = is_known

    def predict_ns(self, rows: int) -> int:
        """The tail latency of a batch; 0 if it is not known."""
        return int(self.fixed_ns + self.per_row_ns * rows)

    def rows_within(self, budget_ns: int) -> int:
        """The largest batch that takes so long, or nearly; not more than `rows`."""
        if self.fixed_ns + self.per_row_ns * self.rows <= budget_ns:
            return self.rows
        return int((budget_ns - self.fixed_ns) / self.per_row_ns) if self.per_row_ns else 0


def target_ns(objective_ns: int, smallest_ns: int) -> int:
    """How long a batch should take at most.

    Args:
        objective_ns: from the arrival of its most urgent query to that query's deadline.
        smallest_ns: what a batch of one row takes.
    """
    return max(int(SHARE * objective_ns) // 2, int(LEAST * smallest_ns))


def margin_within(objective_ns: int, overshoot_ns: int) -> int:
    """What is kept in hand for answers that come later than forecast; `overshoot_ns` later were the latest."""
    return min(overshoot_ns, int(MOST_MARGIN * objective_ns))


def may_go_ahead(objective_ns: int, remaining_ns: int, batch_ns: int) -> bool:
    """Whether a full batch may be sent to a replica that still has something to do for `remaining_ns`."""
    return remaining_ns <= LEAD * objective_ns and remaining_ns + 2 * batch_ns <= objective_ns


def rows_in_time(plan: Plan, wanted_rows: int, left_ns: int) -> int:
    """How large a batch can be whose most urgent query has `left_ns` left; 0 if that query is not worth it."""
    sure_ns = int(SURE * left_ns)
    if plan.predict_ns(wanted_rows) <= sure_ns:
        return wanted_rows
    rows = min(wanted_rows, plan.rows_within(sure_ns))
    return rows if rows >= WORTHWHILE * wanted_rows else 0


@dataclass(frozen=True, slots=True)
class Station:
    """What is known of one replica."""

    free_ns: int
    """When it should have computed all batches that it has; 0 when it has none."""
    batch_rows: int
    """The largest batch that it would be given."""
    fixed_ns: float
    per_row_ns: float
    margin_ns: int = 0
    """How much earlier than its deadline a query must seem to be answered."""
    last_rows: int = 0
    """The batch that it was given last."""


class Forecast:
    """When queries that arrive would be answered, if all goes on as it did. Of at least one station."""

    __slots__ = ("_batch_ns", "_batch_rows", "_first", "_free_ns", "_is_idle", "_likely_rows", "_margin_ns", "_sure_ns")

    def __init__(self, stations: Sequence[Station], now_ns: int) -> None:
        first = min(stations, key=_free_ns)
        self._first = first
        self._is_idle = not first.free_ns
        self._likely_rows = min(first.last_rows, first.batch_rows) if first.free_ns else 0
        self._margin_ns = max([station.margin_ns for station in stations])
        self._sure_ns = (first.fixed_ns + first.per_row_ns * first.batch_rows) / SURE
        size = len(stations)
        self._free_ns = sum(station.free_ns or now_ns for station in stations) // size
        self._batch_rows = sum(station.batch_rows for station in stations)
        self._batch_ns = self._batch_rows / sum(
            station.batch_rows / max(1.0, station.fixed_ns + station.per_row_ns * station.batch_rows)
            for station in stations
        )

    def admits(self, now_ns: int, rows: int, deadline_ns: int) -> bool:
        """Whether a query can be in time that is the last of `rows` rows, and will not be given up later."""
        left_ns = deadline_ns - now_ns
        patience_ns = ADMITTED * left_ns
        if left_ns - self._margin_ns < patience_ns:
            patience_ns = left_ns - self._margin_ns
        first = self._first
        if rows <= first.batch_rows and self._start_ns(first.free_ns, now_ns) + self._sure_ns <= patience_ns:
            return True  # even in a full batch
        start_ns, took_ns = self._last_batch(now_ns, rows)
        return start_ns + took_ns / SURE <= patience_ns

    def finish_ns(self, now_ns: int, rows: int) -> int:
        """When the last one of `rows` rows that wait is answered."""
        return now_ns + int(sum(self._last_batch(now_ns, rows)))

    def _last_batch(self, now_ns: int, rows: int) -> tuple[float, float]:
        """In how many nanoseconds the batch of the last one is begun, and what it takes."""
        first = self._first
        if rows <= first.batch_rows:
            likely = max(rows, self._likely_rows)
            return self._start_ns(first.free_ns, now_ns), first.fixed_ns + first.per_row_ns * likely
        before = (rows - 1) // self._batch_rows
        return self._start_ns(self._free_ns, now_ns) + before * self._batch_ns, self._batch_ns

    def _start_ns(self, free_ns: int, now_ns: int) -> int:
        """In how many nanoseconds a batch is begun, of a replica that is free at `free_ns`."""
        return free_ns - now_ns if free_ns > now_ns else 0 if self._is_idle else now_ns - free_ns


def _free_ns(station: Station) -> int:
    return station.free_ns
