"""What another policy would have earned, estimated from a log of what this one did. Pure: numbers in, numbers out.

For each logged query i: the reward r of some models is known, each with the probability p with which it became known,
and the other policy would have asked model m with probability q. With w = q / p, and V the value, the mean reward:

    inverse propensity   V = mean over i of Σ_m w r                       unbiased if p > 0 wherever q > 0
    self-normalised      V = Σ w r / Σ w                                  little bias, far less variance
    doubly robust        V = mean over i of Σ_m q r̂ + Σ_known w (r - r̂)   unbiased if p or the guess r̂ is right

Sources: Horvitz and Thompson, "A generalization of sampling without replacement from a finite universe" (JASA 1952);
Swaminathan and Joachims, "The self-normalized estimator for counterfactual learning" (NeurIPS 2015); Dudík, Langford
and Li, "Doubly robust policy evaluation and learning" (ICML 2011). The guess r̂ is cross-fitted (Chernozhukov et al.,
"Double/debiased machine learning", 2018): no query is guessed from its own reward.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

_FOLDS = 5
_PRIOR = 5.0
"""How many outcomes a model's mean over all contexts counts for, beside those of one context."""


@dataclass(frozen=True, slots=True)
class Logged:
    """One query with a known outcome."""

    context: str
    rewards: Mapping[str, float]
    """By model, where it is known: from 0 to 1."""
    propensities: Mapping[str, float]
    """The probability with which each of these became known."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its confidence interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The value of a policy, estimated in three ways."""

    queries: int
    effective: float
    """How many queries of its own would tell as much: (Σ w)² / Σ w² (Kish)."""
    unsupported: float
    """The share of its choices that the log could never have seen: these are not in the estimates."""
    inverse_propensity: Estimate
    self_normalised: Estimate
    doubly_robust: Estimate


def evaluate(
    log: Sequence[Logged],
    chosen: Sequence[Mapping[str, float]],
    *,
    confidence: float = 0.95,
    supported: Sequence[str] | None = None,
) -> Evaluation:
    """Estimates what a policy would have earned.

    Args:
        log: queries with known outcomes, at least one.
        chosen: for each of them, with which probability the policy would have asked each model.
        confidence: of the intervals, which are those of the normal distribution.
        supported: the models that the log may have chosen; by default those whose reward is known at least once.
    """
    models = sorted({model for each in log for model in each.rewards} | {model for each in chosen for model in each})
    at = {model: index for index, model in enumerate(models)}
    shape = len(log), len(models)
    known, rewards, propensities, targets = np.zeros(shape), np.zeros(shape), np.ones(shape), np.zeros(shape)
    for row, (query, choice) in enumerate(zip(log, chosen, strict=True)):
        for model, reward in query.rewards.items():
            known[row, at[model]] = 1.0
            rewards[row, at[model]] = reward
            propensities[row, at[model]] = query.propensities[model]
        for model, probability in choice.items():
            targets[row, at[model]] = probability
    seen = known.any(axis=0) if supported is None else np.array([model in supported for model in models])
    weights = known * targets / propensities
    guesses = _guesses([each.context for each in log], known, rewards)
    z = _quantile(0.5 + confidence / 2)
    earned = (weights * rewards).sum(axis=1)
    corrected = (targets * guesses).sum(axis=1) + (weights * (rewards - guesses)).sum(axis=1)
    squares = float((weights.sum(axis=1) ** 2).sum())
    return Evaluation(
        queries=len(log),
        effective=float(weights.sum()) ** 2 / squares if squares else 0.0,
        unsupported=float(targets[:, ~seen].sum(axis=1).mean()),
        inverse_propensity=_mean(earned, z),
        self_normalised=_ratio(earned, weights.sum(axis=1), z),
        doubly_robust=_mean(corrected, z),
    )


def observed(shown: Sequence[float], *, confidence: float = 0.95) -> Estimate:
    """What the logging policy itself has earned: the mean of the rewards of what it answered."""
    return _mean(np.asarray(shown, float), _quantile(0.5 + confidence / 2))


def _mean(values: Array, z: float) -> Estimate:
    mean = float(values.mean())
    margin = z * float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else math.inf
    return Estimate(mean, mean - margin, mean + margin)


def _ratio(earned: Array, weights: Array, z: float) -> Estimate:
    """Σ earned / Σ weights, its variance by the delta method: Σ (earned - V weights)² / (Σ weights)²."""
    total = float(weights.sum())
    if not total:
        return Estimate(math.nan, math.nan, math.nan)
    value = float(earned.sum()) / total
    margin = z * math.sqrt(float(((earned - value * weights) ** 2).sum())) / total
    return Estimate(value, value - margin, value + margin)


def _guesses(contexts: Sequence[str], known: Array, rewards: Array) -> Array:
    """For each query and model the mean reward of that model in other folds: in the same context, leaning on all."""
    folds = np.arange(len(contexts)) % _FOLDS
    _, groups = np.unique(np.asarray(contexts, dtype=object).astype(str), return_inverse=True)
    count = int(groups.max()) + 1
    guesses = np.empty_like(rewards)
    for fold in range(_FOLDS):
        inside = folds == fold
        others, of_others = ~inside, groups[~inside]
        total, wins = known[others].sum(axis=0), rewards[others].sum(axis=0)
        overall = np.divide(wins + 0.5, total + 1.0)
        group_total, group_wins = np.zeros((count, known.shape[1])), np.zeros((count, known.shape[1]))
        np.add.at(group_total, of_others, known[others])
        np.add.at(group_wins, of_others, rewards[others])
        means = (group_wins + _PRIOR * overall) / (group_total + _PRIOR)
        guesses[inside] = means[groups[inside]]
    return guesses


def _quantile(probability: float) -> float:
    """Of the standard normal distribution."""
    from statistics import NormalDist

    return NormalDist().inv_cdf(probability)
