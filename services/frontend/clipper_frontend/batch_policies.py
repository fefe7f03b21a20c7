"""How many? Policies that choose the largest batch for one replica, from what its batches took.

Each is a pure object with its formula and its source in the docstring. The ones that learn have a file each.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

from clipper_frontend.aimd import Aimd
from clipper_frontend.choice import Choice, Why, choice
from clipper_frontend.latency import LatencyCurve
from clipper_frontend.quantile import Quantile


class BatchPolicy(Protocol):
    """Chooses batch sizes for one replica."""

    @property
    def curve(self) -> LatencyCurve:
        """What was learned of the replica's latency."""

    def max_rows(self, budget_ns: int) -> int:
        """The largest batch to send now, in rows, that should take `budget_ns` at most; at least 1."""

    def observe(self, rows: int, elapsed_ns: int) -> None:
        """Tells that a batch of `rows` took `elapsed_ns`, from when the replica was free for it to its answer."""

    def predict_ns(self, rows: int) -> int | None:
        """The tail latency of a batch of `rows`; None before the first batch."""

    def explain(self) -> Choice:
        """The last choice, and why."""


class Fixed:
    """As many as wait, up to a constant: max_rows = ceiling, whatever the budget. What it learns is for others.

    Source: Clipper's batch_size > 0 (a ceiling, never a size that is waited for).
    """

    def __init__(self, ceiling_rows: int) -> None:
        self._ceiling_rows = ceiling_rows
        self._budget_ns = 0
        self.curve = LatencyCurve()

    def max_rows(self, budget_ns: int) -> int:
        """See BatchPolicy."""
        self._budget_ns = budget_ns
        return self._ceiling_rows

    def observe(self, rows: int, elapsed_ns: int) -> None:
        """See BatchPolicy."""
        self.curve.observe(rows, elapsed_ns)

    def predict_ns(self, rows: int) -> int | None:
        """See BatchPolicy."""
        return self.curve.predict_ns(rows)

    def explain(self) -> Choice:
        """See BatchPolicy."""
        return choice("fixed", self._ceiling_rows, Why.CEILING, self._budget_ns, self.curve)


class Policy(StrEnum):
    """The ways to choose."""

    FIXED = "fixed"
    AIMD = "aimd"
    QUANTILE = "quantile"


DEFAULT_POLICY = Policy.QUANTILE


def new_policy(policy: Policy, ceiling_rows: int) -> BatchPolicy:
    """A policy for one replica, that knows nothing yet."""
    match policy:
        case Policy.FIXED:
            return Fixed(ceiling_rows)
        case Policy.AIMD:
            return Aimd(ceiling_rows)
        case Policy.QUANTILE:
            return Quantile(ceiling_rows)
