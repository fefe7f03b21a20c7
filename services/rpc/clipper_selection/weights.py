"""Weights that shrink with every loss: the state of exp3 and exp4.

State   {model}/log_weight   at most 0, and 0 for the best: see `Bound`
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from clipper_selection.counts import counted
from clipper_selection.parameters import Number
from clipper_selection.policy import Arm, Bound, Outcome, State

_LOWEST = -100.0
SPREAD = Number("spread", 5.0, 0.1, 100.0, "by how much a log-weight may fall behind the largest")


def weights_of(state: State, arms: Sequence[Arm]) -> list[float]:
    """Of each arm: the weight of its link * exp(log_weight), relative to the best of these."""
    logs = [state.get(f"{arm.model}/log_weight", 0.0) for arm in arms]
    top = max(logs)
    return [arm.weight * math.exp(max(log - top, _LOWEST)) for arm, log in zip(arms, logs, strict=True)]


def lost(state: State, outcome: Outcome, eta: float) -> Mapping[str, float]:
    """What to add: -eta * loss / propensity to log-weights, 0 for the others so that they are known; and counts."""
    added = counted(state, outcome)
    for model in outcome.models:
        loss = outcome.losses.get(model, 0.0)
        added[f"{model}/log_weight"] = -eta * loss / outcome.propensities.get(model, 1.0)
    return added


def bound(models: Sequence[str], spread: float) -> tuple[Bound, ...]:
    """Log-weights are relative to the largest, and at most `spread` below it."""
    return (Bound(tuple(f"{model}/log_weight" for model in models), spread),)
