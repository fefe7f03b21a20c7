"""A world to learn in: models that are right with given probabilities, and feedback for what a policy has shown."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from clipper_selection import Answer, Arm, Outcome, Policy, State, of_label


def outcome(arms: Sequence[Arm], losses: Mapping[str, float]) -> Outcome:
    """What turned out where everybody whose loss is known was certain to be asked."""
    return Outcome(tuple(arm.model for arm in arms), dict(losses), dict.fromkeys(losses, 1.0))


def after(subject: Policy, state: State, *outcomes: Outcome, is_bounded: bool = True) -> dict[str, float]:
    """A state after outcomes: increments added, bounds kept, as a store does."""
    learned = dict(state)
    for each in outcomes:
        for name, by in subject.observe(learned, each).items():
            learned[name] = learned.get(name, 0.0) + by
        for bound in subject.bounds(each.models) if is_bounded else ():
            top = max(learned.get(name, 0.0) for name in bound.names)
            learned |= {name: max(learned.get(name, 0.0), top - bound.spread) - top for name in bound.names}
    return learned


@dataclass
class History:
    """What has happened."""

    state: dict[str, float] = field(default_factory=dict)
    errors: list[int] = field(default_factory=list)
    """Of each query, 1 if what was shown was wrong."""
    shares: list[Mapping[str, float]] = field(default_factory=list)
    """Of each query, the weights of models in what was shown."""


Rights = Mapping[str, float] | Callable[[int], Mapping[str, float]]
"""How often each model is right, perhaps by the number of the query."""


def learn(subject: Policy, rights: Rights, *, queries: int, seed: int, history: History | None = None) -> History:
    """Lets a policy answer and learn, query after query. Models that are wrong are so each in its own way."""
    random_ = random.Random(seed)
    history = history or History()
    for query in range(queries):
        now = rights(query) if callable(rights) else rights
        arms = [Arm(model) for model in now]
        choice = subject.select(history.state, arms, "", random_.random)
        truth = {model: random_.random() < right for model, right in now.items()}
        answers = [Answer(model, "right" if truth[model] else f"wrong {model}") for model in choice.models]
        shown = subject.combine(history.state, [arm for arm in arms if arm.model in choice.models], answers)
        history.errors.append(int(shown.value != "right"))
        history.shares.append(shown.weights)
        told = of_label(
            subject,
            [arm.model for arm in arms],
            {answer.model: answer.value for answer in answers},
            dict(zip(choice.models, choice.propensities, strict=True)),
            "right",
        )
        history.state = after(subject, history.state, told)
    return history


def drifting(query: int) -> Mapping[str, float]:
    """Five models, of which the best one fails from the 5,000th to the 10,000th query, as in the paper's figure 8."""
    return {"a": 0.3 if 5000 <= query < 10_000 else 0.9, "b": 0.8, "c": 0.7, "d": 0.6, "e": 0.5}


def regret(history: History, rights: Mapping[str, float]) -> float:
    """How many more errors than those of the best model were to be expected of the weights that models had."""
    best = max(rights.values())
    return sum(sum(weight * (best - rights[model]) for model, weight in each.items()) for each in history.shares)


def uniform_regret(rights: Mapping[str, float], queries: int) -> float:
    """The regret of asking anybody."""
    return queries * (max(rights.values()) - sum(rights.values()) / len(rights))


def mean_share(history: History, model: str, first: int, end: int) -> float:
    """The weight that a model had on average from one query up to another."""
    return sum(each.get(model, 0.0) for each in history.shares[first:end]) / (end - first)
