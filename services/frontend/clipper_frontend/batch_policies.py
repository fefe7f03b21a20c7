"""How many? Policies that choose the largest batch for one replica, from what its batches took.

Each is a pure object with its formula and its source in the docstring.
"""

from __future__ import annotations

from typing import Protocol


class BatchPolicy(Protocol):
    """Chooses batch sizes for one replica."""

    def max_rows(self) -> int:
        """The largest batch to send now, in rows; at least 1."""

    def observe(self, rows: int, elapsed_ns: int) -> None:
        """Tells that a batch of `rows` was answered `elapsed_ns` after it was sent."""


class Fixed:
    """As many as wait, up to a constant: max_rows = ceiling. Learns nothing.

    Source: Clipper's batch_size > 0 (a ceiling, never a size that is waited for).
    """

    def __init__(self, ceiling_rows: int) -> None:
        self._ceiling_rows = ceiling_rows

    def max_rows(self) -> int:
        """See BatchPolicy."""
        return self._ceiling_rows

    def observe(self, rows: int, elapsed_ns: int) -> None:
        """See BatchPolicy."""
