"""What a cluster consists of, as plain values: what `Client` returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from clipper_runtime.names import InputType


@dataclass(frozen=True, slots=True)
class Link:
    """A model that may answer an application's queries."""

    model: str
    weight: float = 1.0
    is_shadow: bool = False
    """Whether it only gets copies of queries, and answers nobody."""


@dataclass(frozen=True, slots=True)
class Application:
    """What is queried: a name with an input type and an objective."""

    name: str
    input_type: InputType
    objective_us: int
    """The time within which every query is answered, in microseconds."""
    has_default_output: bool = False
    """Whether a query that cannot be answered gets the default output; else it fails with a status."""
    default_output: Any = None
    policy: str = "static"
    """How it chooses among its linked models (docs/selection.md)."""
    policy_parameters: Mapping[str, Any] = field(default_factory=dict)
    confidence_threshold: float = 0.0
    """Below this confidence the default output is answered."""
    links: tuple[Link, ...] = ()
    created: datetime | None = None


@dataclass(frozen=True, slots=True)
class Model:
    """A name under which versions are deployed."""

    name: str
    input_type: InputType | None
    current_version: str
    """Empty when none is current."""
    linked_applications: tuple[str, ...] = ()
    canary_version: str = ""
    """On trial beside the current one; empty when none is."""
    canary_share: float = 0.0
    """The share of queries that the version on trial gets."""


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One deployed version of a model."""

    model: str
    version: str
    input_type: InputType
    labels: tuple[str, ...] = ()
    image: str = ""
    """What its replicas are started from."""
    data_path: str = ""
    max_batch_rows: int = 0
    """The largest batch; 0: the frontend's choice."""
    no_cache: bool = False
    """Whether each query is computed for itself: no answer is kept, or shared among identical queries."""
    is_current: bool = False
    created: datetime | None = None


@dataclass(frozen=True, slots=True)
class Replica:
    """A running copy of a version."""

    model: str
    version: str
    replica_id: int
    address: str
    input_type: InputType
    host: str = ""
    runtime: str = ""
    created: datetime | None = None


@dataclass(frozen=True, slots=True)
class Instance:
    """A frontend or manager that holds a lease."""

    kind: str
    instance_id: str
    address: str
    build: str = ""
    created: datetime | None = None


@dataclass(frozen=True, slots=True)
class Description:
    """What one must know of an application to ask it."""

    application: str
    input_type: InputType
    objective_us: int
    has_default_output: bool
    models: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one model had to do with an answer."""

    model: str
    version: str
    weight: float
    latency_us: int
    """0 when it did not arrive."""
    replica_id: int = 0
    cached: bool = False
    """Whether the prediction cache has answered."""
    joined: bool = False
    """Whether it was computed for an identical query that was under way."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Where the time of one query went."""

    queue_us: int
    """Until it was put into a batch; `linger_us` of that were spent waiting for more to come."""
    linger_us: int
    batch_rows: int
    """How many inputs its batch had; 0 when there was none."""
    model_us: int
    network_us: int
    total_us: int


@dataclass(frozen=True, slots=True)
class Part:
    """One model's part in a query that was answered."""

    contribution: Contribution
    reason: str
    """Why it gave no answer, as in Prediction; empty when it did."""
    explanation: str
    """That in words, and where the query was when its time was up."""
    timing: Timing | None
    """Where the time of its answer went."""
    hedged: bool
    """Whether a second try answered, since another replica took too long."""
    lost_replicas: int


@dataclass(frozen=True, slots=True)
class Explanation:
    """What happened to one query."""

    query_id: int
    application: str
    answered_at: datetime | None
    """By the frontend's clock."""
    outcome: str
    """prediction, default or error."""
    reason: str
    """NO_MODEL, NO_REPLICA, LATE, OVERLOADED, MODEL_ERROR, REPLICA_LOST or LOW_CONFIDENCE; empty for a prediction."""
    explanation: str
    error_reason: str
    """The reason that the error gave; empty unless the outcome is one."""
    objective_us: int
    deadline_us: int
    """From arrival to the deadline: the objective, or less when the client had less time."""
    timing: Timing
    confidence: float
    parts: tuple[Part, ...]
    """Of the models that were asked."""
    lost_replicas: int
    """How many times a replica was lost while it had the query."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a model gave no answer to an input."""

    kind: str
    message: str


@dataclass(frozen=True, slots=True)
class Prediction:
    """One answer."""

    query_id: int
    output: Any
    default: bool
    """Whether the output is the application's default output rather than a prediction."""
    default_reason: str = ""
    """NO_MODEL, NO_REPLICA, LATE, OVERLOADED, MODEL_ERROR, REPLICA_LOST or LOW_CONFIDENCE; empty if not a default."""
    default_explanation: str = ""
    confidence: float = 0.0
    timing: Timing | None = None
    """Only if asked for."""
    contributions: tuple[Contribution, ...] = ()
