"""When to start again what has died. Pure: times are integers of nanoseconds and come as arguments."""

from __future__ import annotations

_FIRST_NS = 100_000_000
_LAST_NS = 10_000_000_000
_STEADY_NS = 10_000_000_000


class Backoff:
    """At once after a steady run, else after a pause that doubles.

    The pause before start n (n = 1 is the first restart in a row) is 0 for n = 1, then
    min(0.1 s * 2**(n-2), 10 s): 0, 0.1, 0.2, 0.4 … 10 s. A run of 10 s counts as steady and starts the row anew, so
    that one crash costs no pause and a process that cannot run costs next to nothing.
    """

    def __init__(self) -> None:
        self._failures = 0

    def pause_ns(self, ran_ns: int) -> int:
        """How long to wait before the next start, after a run of `ran_ns`."""
        self._failures = 1 if ran_ns >= _STEADY_NS else self._failures + 1
        if self._failures == 1:
            return 0
        return min(_FIRST_NS << min(self._failures - 2, 16), _LAST_NS)
