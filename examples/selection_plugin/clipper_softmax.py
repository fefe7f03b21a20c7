"""A policy of one's own, in thirty lines: each model as often as the exponential of how well it does.

    pip install ./examples/selection_plugin        # beside the manager and the frontends, which then start anew
    clipperctl app register digits --input-type doubles --policy softmax --parameter temperature=0.05

p(i) = exp(mean(i) / temperature) / Σ exp(mean / temperature), where mean(i) is model i's mean reward so far.

Source: Sutton and Barto, Reinforcement Learning (2018), §2.8 and exercise 2.9 (Gibbs, or Boltzmann, distribution).
"""

from __future__ import annotations

import math
from bisect import bisect
from collections.abc import Mapping, Sequence
from itertools import accumulate

from clipper_selection import Arm, Choice, Number, Outcome, Policy, State, Uniform, Value, counts


class Softmax(Policy):
    """One model, drawn by the exponentials of the means."""

    NAME = "softmax"
    PARAMETERS = (Number("temperature", 0.1, 0.001, 10.0, "how evenly models are asked"), *counts.PARAMETERS)

    def select(self, state: State, arms: Sequence[Arm], context: str, uniform: Uniform) -> Choice:
        """Draws one of the models."""
        temperature = float(self.parameters["temperature"])
        means = [counts.count_of(state, arm.model).mean for arm in arms]
        weights = [math.exp((mean - max(means)) / temperature) for mean in means]
        at = min(bisect(list(accumulate(weights)), uniform() * sum(weights)), len(arms) - 1)
        return Choice((arms[at].model,), (weights[at] / sum(weights),))

    def observe(self, state: State, outcome: Outcome) -> Mapping[str, float]:
        """Counts outcomes and rewards; what is returned is added to the state, for all frontends at once."""
        return counts.counted(state, outcome, float(self.parameters["memory"]))

    def inherited(self, state: State) -> Mapping[str, float]:
        """A new user starts with the application's means, but soon goes by what was learned about him or her."""
        return counts.inherited(state, float(self.parameters["inherit"]))


def off_by_one(answer: Value, truth: Value) -> float:
    """A loss of one's own: 0 if right, a quarter for a neighbouring number, else 1. Use it as loss=off_by_one."""
    try:
        difference = abs(float(answer) - float(truth))  # type: ignore[arg-type]  # vectors and bytes raise
    except (TypeError, ValueError):
        return 0.0 if answer == truth else 1.0
    return 0.0 if difference == 0 else 0.25 if difference <= 1 else 1.0
