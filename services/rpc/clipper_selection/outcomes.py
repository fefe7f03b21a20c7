"""From what turned out to losses of models: by the true label, or by how good the shown answer was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from clipper_selection.policy import Outcome, Policy
from clipper_selection.values import Value


def of_label(
    policy: Policy,
    models: Sequence[str],
    answers: Mapping[str, Value],
    propensities: Mapping[str, float],
    truth: Value,
) -> Outcome:
    """The outcome where the truth is known: every model that answered has its loss.

    Args:
        policy: whose loss counts.
        models: all linked models.
        answers: what models answered.
        propensities: with which probability each of these was asked; 1 for those that are missing here.
        truth: the label.
    """
    return Outcome(
        models=tuple(models),
        losses={model: policy.loss(value, truth) for model, value in answers.items()},
        propensities={model: propensities.get(model, 1.0) for model in answers},
    )


def of_reward(
    policy: Policy,
    models: Sequence[str],
    answers: Mapping[str, Value],
    propensities: Mapping[str, float],
    shown: Value,
    reward: float,
) -> Outcome:
    """The outcome where only the worth of the shown answer is known, from 0 to 1.

    The loss 1 - reward is that of every model that agreed with it. Of the others nothing is known.
    """
    agreed = [model for model, value in answers.items() if policy.agree(value, shown)]
    return Outcome(
        models=tuple(models),
        losses=dict.fromkeys(agreed, 1.0 - reward),
        propensities={model: propensities.get(model, 1.0) for model in agreed},
    )
