"""Each model as often as it is likely to be the best."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from clipper_selection import counts, losses
from clipper_selection.policy import Arm, Choice, Outcome, Policy, State, Uniform

_MOST_DRAWS = 100


class Thompson(Policy):
    """Draws each model's mean reward from what is known of it, and takes the model of the largest draw.

    mean(i) ~ Beta(1 + reward(i), 1 + plays(i) - reward(i)).

    How likely the choice was has no closed form. The propensity is 1/N where N is the number of further draws until the
    same model wins again, at most 100: the expectation of N is 1/p, which is what estimators need.

    Source: Thompson (1933); Agrawal and Goyal, "Analysis of Thompson sampling" (2012), algorithm 2. Neu and Bartók, "An
    efficient algorithm for learning with semi-bandit feedback" (2013), geometric resampling.
    """

    NAME = "thompson"
    PARAMETERS = (*counts.PARAMETERS, *losses.PARAMETERS)

    def select(self, state: State, arms: Sequence[Arm], context: str, uniform: Uniform) -> Choice:
        """One model."""
        if len(arms) == 1:
            return Choice((arms[0].model,), (1.0,))
        known = [counts.count_of(state, arm.model) for arm in arms]
        chosen = _winner(known, uniform)
        draws = 1
        while draws < _MOST_DRAWS and _winner(known, uniform) != chosen:
            draws += 1
        return Choice((arms[chosen].model,), (1.0 / draws,))

    def observe(self, state: State, outcome: Outcome) -> Mapping[str, float]:
        """Counts."""
        return counts.counted(state, outcome, float(self.parameters["memory"]))

    def inherited(self, state: State) -> Mapping[str, float]:
        """The application's means, of little weight."""
        return counts.inherited(state, float(self.parameters["inherit"]))


def _winner(known: Sequence[counts.Count], uniform: Uniform) -> int:
    draws = [_beta(1.0 + count.reward, 1.0 + count.plays - count.reward, uniform) for count in known]
    return max(range(len(draws)), key=draws.__getitem__)


def _beta(a: float, b: float, uniform: Uniform) -> float:
    """A draw from Beta(a, b): X / (X + Y) of X ~ Gamma(a), Y ~ Gamma(b)."""
    x = _gamma(a, uniform)
    return x / (x + _gamma(b, uniform))


def _gamma(shape: float, uniform: Uniform) -> float:
    """A draw from Gamma(shape, 1), shape at least 1. Source: Marsaglia and Tsang (2000); Box and Muller (1958)."""
    d = shape - 1.0 / 3.0
    c = 1.0 / math.sqrt(9.0 * d)
    while True:
        normal = math.sqrt(-2.0 * math.log(1.0 - uniform())) * math.cos(2.0 * math.pi * uniform())
        v = (1.0 + c * normal) ** 3
        if v > 0 and math.log(1.0 - uniform()) < 0.5 * normal * normal + d - d * v + d * math.log(v):
            return d * v
