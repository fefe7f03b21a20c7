"""Is a second try worth it? The budget and the time of hedged batches.

A batch that is still out when PATIENCE times the learned tail of its replica's latency is over is sent once more, to
another replica; the first answer counts and the other try is cancelled. A bucket of tokens bounds the extra load: each
row that is sent earns `percent` / 100 of a token, each row that is sent again costs one.

    rows sent again <= percent / 100 · rows sent + burst        at any time

Just at the tail, one batch in twenty would be sent again for nothing, and the tokens be gone when they are needed.

Source: J. Dean, L. Barroso, "The Tail at Scale", CACM 56 (2013): hedged requests after the 95th percentile; the bucket
is that of gRPC's retry throttling (gRFC A6).
"""

from __future__ import annotations

PATIENCE = 1.5


class HedgeBudget:
    """The tokens of one model version.

    Args:
        percent: the extra load that is allowed, in rows per hundred rows.
        burst_rows: how many rows may be saved up; at least the largest batch, or that could never be hedged.
    """

    __slots__ = ("_hundredths", "_most", "_percent", "hedged_rows")

    def __init__(self, percent: int, burst_rows: int) -> None:
        self._percent = percent
        self._most = 100 * burst_rows
        self._hundredths = 0
        self.hedged_rows = 0

    def earn(self, rows: int) -> None:
        """Tells that `rows` were sent for the first time."""
        self._hundredths = min(self._most, self._hundredths + rows * self._percent)

    def spend(self, rows: int) -> bool:
        """Takes what sending `rows` again costs. False: there is not enough left, nothing was taken."""
        if 100 * rows > self._hundredths:
            return False
        self._hundredths -= 100 * rows
        self.hedged_rows += rows
        return True


def look_ns(sent_ns: int, expected_ns: int, deadline_ns: int) -> int | None:
    """When to see whether a batch is overdue.

    Args:
        sent_ns: when it was sent.
        expected_ns: when it should be answered, by the tail of its replica's latency.
        deadline_ns: when its last caller stops waiting.

    Returns:
        None when a second try could not be answered in time, if it takes as long as the first one should have.
    """
    took_ns = expected_ns - sent_ns
    when_ns = sent_ns + int(PATIENCE * took_ns)
    return when_ns if when_ns + took_ns < deadline_ns else None
