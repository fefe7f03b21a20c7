"""What a selection policy is: it names models, combines their answers, and learns from losses.

Rules of this file
 1. A policy object is immutable and pure: its parameters are all that it holds; randomness and state come in, choices
    and increments go out.
 2. State is a flat mapping of names to numbers, and learning is addition: `observe` gives increments that are added
    atomically, so that any number of frontends learn as one, in any order. A name that is missing counts as 0.
 3. Names in a state start with the model's: "resnet/plays". Names of models contain no slash.
 4. A loss is from 0 (as good as can be) to 1.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from clipper_selection.losses import loss_of
from clipper_selection.parameters import Parameter, checked
from clipper_selection.values import Value, are_equal

State = Mapping[str, float]
"""What a policy has learned: additive numbers by name."""

Uniform = Callable[[], float]
"""Gives a random number, at least 0 and below 1, at each call."""


@dataclass(frozen=True, slots=True)
class Arm:
    """A model that can be chosen, and the weight of its link."""

    model: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Choice:
    """The models to ask."""

    models: tuple[str, ...]
    propensities: tuple[float, ...]
    """The probability with which each of them was to be asked; 1 if it always is."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one of the asked models answered in time."""

    model: str
    value: Value


@dataclass(frozen=True, slots=True)
class Combined:
    """The answer that is given, made of those that arrived."""

    value: Value
    confidence: float
    """From 0 to 1: the share of the weight of all asked models that agrees with it. Missing models do not agree."""
    weights: Mapping[str, float]
    """The weight in it of each model that arrived; together 1."""
    form: str
    """The model whose answer it is, or, for a mean, after whose answer it is written."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What turned out, as losses of models."""

    models: tuple[str, ...]
    """All linked models."""
    losses: Mapping[str, float]
    """The loss of each model for which it is known, from 0 to 1."""
    propensities: Mapping[str, float]
    """The probability with which the loss of each of these became known: that of its choice; 1 if all were asked."""


@dataclass(frozen=True, slots=True)
class Bound:
    """Names in a state whose values count only relative to one another, and stay close together.

    After increments are added, in the same atomic step: with `top` the largest of the values (a missing one is 0),
    every value becomes `max(value, top - spread) - top`. So log-weights neither run away nor sink so far that a model
    that has become good again cannot return.
    """

    names: tuple[str, ...]
    spread: float


class Policy(ABC):
    """A selection policy. Plug-ins derive from it; see docs/selection.md.

    Args:
        given: parameters by name; those that are left out have their default.

    Raises:
        BadParameter: one is unknown or not allowed.
    """

    NAME: ClassVar[str]
    """The name by which applications ask for it."""
    PARAMETERS: ClassVar[tuple[Parameter, ...]] = ()
    """What it takes."""
    LEARNS: ClassVar[bool] = True
    """Whether feedback changes anything."""
    ASKS_ALL: ClassVar[bool] = False
    """Whether every query goes to all models."""

    def __init__(self, given: Mapping[str, object] | None = None) -> None:
        self.parameters: Mapping[str, float | str] = checked(self.PARAMETERS, given or {})

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and isinstance(other, Policy) and self.parameters == other.parameters

    def __hash__(self) -> int:
        return hash((type(self), tuple(self.parameters.items())))

    @abstractmethod
    def select(self, state: State, arms: Sequence[Arm], context: str, uniform: Uniform) -> Choice:
        """The models to ask, of one arm or more. `context` is the user or session, empty when there is none."""

    def combine(self, state: State, asked: Sequence[Arm], answers: Sequence[Answer]) -> Combined:
        """The answer, made of one or more that arrived, in the order of the asked. By default the first one."""
        first = answers[0]
        return Combined(first.value, 1.0, {first.model: 1.0}, first.model)

    def observe(self, state: State, outcome: Outcome) -> Mapping[str, float]:
        """What to add to the state."""
        return {}

    def bounds(self, models: Sequence[str]) -> tuple[Bound, ...]:
        """What to keep close together after each addition."""
        return ()

    def loss(self, answer: Value, truth: Value) -> float:
        """How wrong an answer is, from 0 to 1: by default as the parameters `loss` and `loss_scale` say."""
        return loss_of(self.parameters)(answer, truth)

    def agree(self, one: Value, other: Value) -> bool:
        """Whether two answers count as the same, so that a reward for one is a reward for the other."""
        return are_equal(one, other)

    def inherited(self, state: State) -> Mapping[str, float]:
        """What a new context starts from, given its application's state."""
        return dict(state)
