"""One model per query, even if someone works against us."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate

from clipper_selection import losses
from clipper_selection.parameters import Number
from clipper_selection.policy import Arm, Bound, Choice, Outcome, Policy, State, Uniform
from clipper_selection.weights import SPREAD, bound, lost, weights_of


class Exp3(Policy):
    """Draws a model by its weight, and shrinks the weight by what was lost over the probability of the draw.

    p(i) = (1 - exploration) * w(i) / Σ w + exploration / K;   w(i) ← w(i) * exp(-eta * loss / p(i)).

    It assumes nothing about where losses come from. Weights stay within a factor of exp(spread), so that it follows
    when the best model changes: it forgets what lies longer ago.

    Source: Auer, Cesa-Bianchi, Freund and Schapire, "The nonstochastic multiarmed bandit problem" (2002), with losses
    as in Bubeck and Cesa-Bianchi (2012), §3.1; Crankshaw et al., "Clipper" (NSDI 2017), §5.1.
    """

    NAME = "exp3"
    PARAMETERS = (
        Number("eta", 0.05, 1e-6, 10.0, "how fast it learns"),
        Number("exploration", 0.05, 0.0, 1.0, "the share of queries that any model may answer"),
        SPREAD,
        *losses.PARAMETERS,
    )

    def select(self, state: State, arms: Sequence[Arm], context: str, uniform: Uniform) -> Choice:
        """One model."""
        weights = weights_of(state, arms)
        total = sum(weights)
        exploration = float(self.parameters["exploration"])
        propensities = [(1.0 - exploration) * weight / total + exploration / len(arms) for weight in weights]
        at = min(bisect_right(list(accumulate(propensities)), uniform()), len(arms) - 1)
        return Choice((arms[at].model,), (propensities[at],))

    def observe(self, state: State, outcome: Outcome) -> Mapping[str, float]:
        """Shrinks weights."""
        return lost(state, outcome, float(self.parameters["eta"]))

    def bounds(self, models: Sequence[str]) -> tuple[Bound, ...]:
        """Keeps log-weights close together."""
        return bound(models, float(self.parameters["spread"]))
