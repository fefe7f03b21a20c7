"""What applications learn, as plain values: what `Client` returns of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Policy:
    """How an application chooses among its models."""

    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    confidence_threshold: float = 0.0
    """A prediction with a lower confidence is replaced by the default output."""


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """What came of an outcome that was told."""

    learned: bool
    """Whether anything has changed."""
    duplicate: bool
    """Whether the same token had been acknowledged before."""


@dataclass(frozen=True, slots=True)
class SelectionState:
    """What was learned, for an application or for one of its users or sessions."""

    context: str
    """Empty: the application's own."""
    values: Mapping[str, float]
    """By the names that the policy gives them: "model/what"."""
    observations: int
    """How many outcomes it has learned from."""
    updated: datetime | None = None


@dataclass(frozen=True, slots=True)
class Latencies:
    """How latencies are distributed, in microseconds."""

    mean_us: int
    p50_us: int
    p95_us: int
    p99_us: int


@dataclass(frozen=True, slots=True)
class Shadow:
    """A shadow beside the answers that its application gave to the same queries."""

    model: str
    share: float
    """Of the queries."""
    queries: int
    answers: int
    compared: int
    """How many answers stood beside a prediction."""
    agreed: int
    """How many of these meant the same."""
    errors: Mapping[str, int]
    """Queries without an answer, by reason."""
    latency: Latencies
    given_latency: Latencies
    """That of the application's answers."""

    @property
    def agreement(self) -> float | None:
        """The share of compared answers that agreed; None if there are none."""
        return self.agreed / self.compared if self.compared else None
