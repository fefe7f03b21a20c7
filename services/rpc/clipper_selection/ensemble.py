"""All models answer, with fixed weights."""

from __future__ import annotations

from collections.abc import Sequence

from clipper_selection import combining
from clipper_selection.policy import Answer, Arm, Choice, Combined, Policy, State, Uniform
from clipper_selection.values import Value


class Ensemble(Policy):
    """Asks all models, and combines what arrives in time by the weights of their links. It does not learn.

    Labels: the one of the most weight. Numbers and vectors: Σ w(i) y(i) / Σ w(i).
    Confidence: the weight that agrees with the answer, over the weight of all models.

    Source: Crankshaw et al., "Clipper" (NSDI 2017), §5.2.
    """

    NAME = "ensemble"
    PARAMETERS = combining.PARAMETERS
    LEARNS = False
    ASKS_ALL = True

    def select(self, state: State, arms: Sequence[Arm], context: str, uniform: Uniform) -> Choice:
        """All of them."""
        return Choice(tuple(arm.model for arm in arms), (1.0,) * len(arms))

    def combine(self, state: State, asked: Sequence[Arm], answers: Sequence[Answer]) -> Combined:
        """A vote or a mean."""
        weighted = self.weighted(state, asked)
        how, tolerance = str(self.parameters["combine"]), float(self.parameters["tolerance"])
        return combining.combined(how, tolerance, weighted, answers)

    def weighted(self, state: State, asked: Sequence[Arm]) -> Sequence[Arm]:
        """The asked with the weights that their answers have."""
        return asked

    def agree(self, one: Value, other: Value) -> bool:
        """Whether they are equal, or numbers within the tolerance."""
        return combining.agree(one, other, float(self.parameters["tolerance"]))
