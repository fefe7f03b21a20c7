"""How often each model was judged, and how well it did: the state of all policies that learn.

State   {model}/plays    outcomes that are known
        {model}/reward   the sum of 1 - loss over them
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from clipper_selection.parameters import Number, Parameter
from clipper_selection.policy import Outcome, State

PARAMETERS: tuple[Parameter, ...] = (
    Number("memory", 0.0, 0.0, 1e12, "how many outcomes count, the latest most; 0: all, for ever"),
    Number("inherit", 10.0, 0.0, 1e12, "with how many outcomes per model a new context starts, at most"),
)
"""What policies that go by counts take."""


@dataclass(frozen=True, slots=True)
class Count:
    """What is known of one model."""

    plays: float
    reward: float

    @property
    def mean(self) -> float:
        """The mean reward; 1 where nothing is known, so that it gets its chance."""
        return self.reward / self.plays if self.plays > 0 else 1.0


def count_of(state: State, model: str) -> Count:
    """What is known of a model."""
    plays = max(0.0, state.get(f"{model}/plays", 0.0))
    return Count(plays, min(max(0.0, state.get(f"{model}/reward", 0.0)), plays))


def counted(state: State, outcome: Outcome, memory: float = 0.0) -> dict[str, float]:
    """What to add for an outcome.

    With a memory of m, each outcome first takes 1/m of everything away: n ← n (1 - 1/m). So what is known of a model
    that is not asked fades, and it gets another chance.

    Source: Garivier and Moulines, "On upper-confidence bound policies for switching bandit problems" (2011), discounted
    UCB; Raj and Kalyani, "Taming non-stationary bandits" (2017), the same for Thompson sampling.
    """
    added: dict[str, float] = {}
    if memory:
        for model in outcome.models:
            known = count_of(state, model)
            added[f"{model}/plays"] = -known.plays / max(memory, 1.0)
            added[f"{model}/reward"] = -known.reward / max(memory, 1.0)
    for model, loss in outcome.losses.items():
        added[f"{model}/plays"] = added.get(f"{model}/plays", 0.0) + 1.0
        added[f"{model}/reward"] = added.get(f"{model}/reward", 0.0) + 1.0 - loss
    return added


def inherited(state: State, most: float) -> Mapping[str, float]:
    """The counts, with the means kept and each model's plays at most so many."""
    scaled: dict[str, float] = {}
    for name, value in state.items():
        model, _, what = name.rpartition("/")
        plays = state.get(f"{model}/plays", 0.0)
        scaled[name] = value * most / plays if what in ("plays", "reward") and plays > most else value
    return scaled
