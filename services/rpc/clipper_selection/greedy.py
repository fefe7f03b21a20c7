"""The best model so far, and now and then any."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from clipper_selection import counts, losses
from clipper_selection.parameters import Number
from clipper_selection.policy import Arm, Choice, Outcome, Policy, State, Uniform


class EpsilonGreedy(Policy):
    """With probability epsilon any model, else one of the highest mean reward.

    p(i) = epsilon / K + (1 - epsilon) [i is best] / (number of best ones); a model without outcomes counts as 1.

    Source: Sutton and Barto, Reinforcement Learning (2018), §2.2; Clipper's own had epsilon 0.1.
    """

    NAME = "epsilon_greedy"
    PARAMETERS = (
        Number("epsilon", 0.1, 0.0, 1.0, "the share of queries that any model may answer"),
        *counts.PARAMETERS,
        *losses.PARAMETERS,
    )

    def select(self, state: State, arms: Sequence[Arm], context: str, uniform: Uniform) -> Choice:
        """One model."""
        epsilon = float(self.parameters["epsilon"])
        means = [counts.count_of(state, arm.model).mean for arm in arms]
        best = max(means)
        winners = [at for at, mean in enumerate(means) if mean == best]
        candidates = range(len(arms)) if uniform() < epsilon else winners
        at = candidates[int(uniform() * len(candidates))]
        propensity = epsilon / len(arms) + (1.0 - epsilon) / len(winners) * (at in winners)
        return Choice((arms[at].model,), (propensity,))

    def observe(self, state: State, outcome: Outcome) -> Mapping[str, float]:
        """Counts."""
        return counts.counted(state, outcome, float(self.parameters["memory"]))

    def inherited(self, state: State) -> Mapping[str, float]:
        """The application's means, of little weight."""
        return counts.inherited(state, float(self.parameters["inherit"]))
