"""Events per second: since the start, and as averages over 1, 5 and 15 minutes.

Pure: time is an argument. Somebody ticks while there is traffic; what was missed in between is caught up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

TICK_NS = 5_000_000_000
_DECAYS = tuple(math.exp(-TICK_NS / (minutes * 60e9)) for minutes in (1, 5, 15))


@dataclass(frozen=True, slots=True)
class Rates:
    """Events per second."""

    mean: float
    """Since the start."""
    minute: float
    """The last minute, and so on: averages whose weights decay, as the Unix load average."""
    five_minutes: float
    fifteen_minutes: float


class Meter:
    """Rates of something that is counted elsewhere."""

    __slots__ = ("_averages", "_is_first", "_seen", "_since_ns", "_ticked_ns")

    def __init__(self, now_ns: int) -> None:
        self._since_ns = self._ticked_ns = now_ns
        self._seen = 0
        self._averages = [0.0, 0.0, 0.0]
        self._is_first = True

    def tick(self, count: int, now_ns: int) -> bool:
        """Looks at the count; to be called every TICK_NS. Returns whether it has grown since."""
        ticks = (now_ns - self._ticked_ns + TICK_NS // 2) // TICK_NS
        if ticks < 1:
            return True
        grown, self._seen = count - self._seen, count
        # Whoever ticks rests while nothing happens: what has grown has grown in the last interval.
        rate = grown / (TICK_NS / 1e9)
        for at, decay in enumerate(_DECAYS):
            rested = self._averages[at] * decay ** (ticks - 1)
            self._averages[at] = rate if self._is_first else rate + (rested - rate) * decay
        self._is_first = False
        self._ticked_ns = now_ns
        return grown > 0

    def rates(self, count: int, now_ns: int) -> Rates:
        """The rates as they are now."""
        missed = max(0, (now_ns - self._ticked_ns) // TICK_NS - 1)
        minute, five, fifteen = (
            average * decay**missed for average, decay in zip(self._averages, _DECAYS, strict=True)
        )
        elapsed_s = (now_ns - self._since_ns) / 1e9
        return Rates(count / elapsed_s if elapsed_s > 0 else 0.0, minute, five, fifteen)
