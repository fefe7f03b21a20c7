"""Why is a batch as large as it is? What a policy tells people about its last choice."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from clipper_frontend.latency import LatencyCurve


class Why(StrEnum):
    """What limited the size of a batch."""

    CEILING = "ceiling"
    """The configured largest batch, or that of the model."""
    BUDGET = "budget"
    """A larger batch would take too long."""
    REACH = "reach"
    """No batch was ever so much larger: sizes grow step by step."""
    PROBE = "probe"
    """One step beyond what is known, to learn."""
    LEAST = "least"
    """Not even a batch of one fits the budget."""
    LEARNING = "learning"
    """Nothing is known yet."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The largest batch that a policy allowed last, and what it was derived from."""

    policy: str
    rows: int
    why: Why
    budget_ns: int
    """How long the batch might take; 0 before the first choice."""
    fixed_ns: int
    """The learned tail latency of a batch of n rows is fixed_ns + per_row_ns · n; both 0 before the first batch."""
    per_row_ns: int
    samples: int
    """From how many batches that was learned."""


def choice(policy: str, rows: int, why: Why, budget_ns: int, curve: LatencyCurve) -> Choice:
    """The choice with what the curve says now."""
    fit = curve.fit()
    fixed_ns, per_row_ns = (round(fit.fixed_ns), round(fit.per_row_ns)) if fit else (0, 0)
    return Choice(policy, rows, why, budget_ns, fixed_ns, per_row_ns, curve.samples)
