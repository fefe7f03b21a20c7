"""All models answer, and each has as much say as it deserves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from clipper_selection import combining, losses
from clipper_selection.ensemble import Ensemble
from clipper_selection.parameters import Number
from clipper_selection.policy import Arm, Bound, Outcome, State
from clipper_selection.weights import SPREAD, bound, lost, weights_of


class Exp4(Ensemble):
    """An ensemble whose weights learn: the models are the experts.

    w(i) ← w(i) * exp(-eta * loss(i)) for every model whose loss is known. With a label that is every model that
    answered; with a reward, those that agreed with what was shown.

    Source: Auer et al. (2002), §7, where every expert is asked and so the probability of its loss is 1 (which is
    Hedge: Freund and Schapire, 1997); Crankshaw et al., "Clipper" (NSDI 2017), §5.2, with weighted votes and means.
    """

    NAME = "exp4"
    PARAMETERS = (
        Number("eta", 0.1, 1e-6, 10.0, "how fast it learns"),
        SPREAD,
        *combining.PARAMETERS,
        *losses.PARAMETERS,
    )
    LEARNS = True

    def weighted(self, state: State, asked: Sequence[Arm]) -> Sequence[Arm]:
        """The weight of the link * what was learned."""
        weights = weights_of(state, asked)
        return [Arm(arm.model, weight) for arm, weight in zip(asked, weights, strict=True)]

    def observe(self, state: State, outcome: Outcome) -> Mapping[str, float]:
        """Shrinks weights."""
        return lost(state, outcome, float(self.parameters["eta"]))

    def bounds(self, models: Sequence[str]) -> tuple[Bound, ...]:
        """Keeps log-weights close together."""
        return bound(models, float(self.parameters["spread"]))
