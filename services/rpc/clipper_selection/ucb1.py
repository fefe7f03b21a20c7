"""The model that may be the best, as far as anyone knows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from clipper_selection import counts, losses
from clipper_selection.parameters import Number
from clipper_selection.policy import Arm, Choice, Outcome, Policy, State, Uniform


class Ucb1(Policy):
    """The model of the largest upper bound of its reward: mean(i) + exploration * sqrt(ln n / n(i)).

    n(i) outcomes of model i are known, n of all; a model without any goes first. The choice is certain but for ties, so
    its propensities say nothing about what another policy would have earned.

    Source: Auer, Cesa-Bianchi and Fischer, "Finite-time analysis of the multiarmed bandit problem" (2002), figure 1, in
    which exploration is sqrt 2.
    """

    NAME = "ucb1"
    PARAMETERS = (
        Number("exploration", math.sqrt(2), 0.0, 100.0, "how much what is not known counts"),
        *counts.PARAMETERS,
        *losses.PARAMETERS,
    )

    def select(self, state: State, arms: Sequence[Arm], context: str, uniform: Uniform) -> Choice:
        """One model."""
        known = [counts.count_of(state, arm.model) for arm in arms]
        log_n = math.log(max(1.0, sum(count.plays for count in known)))
        exploration = float(self.parameters["exploration"])
        bounds = [
            count.mean + exploration * math.sqrt(log_n / count.plays) if count.plays > 0 else math.inf
            for count in known
        ]
        best = max(bounds)
        winners = [arm.model for arm, bound in zip(arms, bounds, strict=True) if bound == best]
        return Choice((winners[int(uniform() * len(winners))],), (1.0 / len(winners),))

    def observe(self, state: State, outcome: Outcome) -> Mapping[str, float]:
        """Counts."""
        return counts.counted(state, outcome, float(self.parameters["memory"]))

    def inherited(self, state: State) -> Mapping[str, float]:
        """The application's means, of little weight."""
        return counts.inherited(state, float(self.parameters["inherit"]))
