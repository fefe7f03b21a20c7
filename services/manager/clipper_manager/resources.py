"""The values that a configuration is made of: frozen, free of any wire or store.

Every entity has a `key`, unique in its cluster: "kind/name", "kind/model/version" and so on. Times are nanoseconds
since 1970. `revision` is that of the cluster at the entity's last change; it is set when the change is decided.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

MS = 1_000_000
"""A millisecond in nanoseconds."""
DEFAULT_OBJECTIVE_NS = 100 * MS
NO_CONTAINER = "NO_CONTAINER"


class InputType(StrEnum):
    """The types of inputs, by the names that Clipper stores and returns (contract M17)."""

    BYTES = "bytes"
    INTEGERS = "integers"
    FLOATS = "floats"
    DOUBLES = "doubles"
    STRINGS = "strings"
    TENSORS = "tensors"


class BatchPolicy(StrEnum):
    """How the size of batches is chosen."""

    DEFAULT = "default"
    FIXED = "fixed"
    AIMD = "aimd"
    QUANTILE = "quantile"


class VersionState(StrEnum):
    """Where a version stands: active is the one that unpinned queries go to."""

    STAGED = "staged"
    ACTIVE = "active"


class InstanceKind(StrEnum):
    """The kinds of processes of a cluster."""

    FRONTEND = "frontend"
    MANAGER = "manager"


@dataclass(frozen=True, slots=True)
class Link:
    """A model that may answer an application's queries, and its weight relative to the other links; or a shadow."""

    model: str
    weight: float = 1.0
    shadow: bool = False
    """Whether it only gets copies of queries and never has a say."""
    shadow_share: float = 0.0
    """The share of the queries that a shadow gets, above 0 and at most 1; 0 for others."""


@dataclass(frozen=True, slots=True)
class SelectionPolicy:
    """How an application chooses among its models; `parameters` is a JSON object as canonical text."""

    name: str = "static"
    parameters: str = "{}"


@dataclass(frozen=True, slots=True)
class Application:
    """What product teams query."""

    name: str
    input_type: InputType
    default_output: bytes | None = None
    """A serialized clipper.v1.Output; None: queries without an answer fail with a status."""
    latency_objective_ns: int = DEFAULT_OBJECTIVE_NS
    selection_policy: SelectionPolicy = SelectionPolicy()
    confidence_threshold: float = 0.0
    links: tuple[Link, ...] = ()
    """By the model's name."""
    create_time_ns: int = 0
    revision: int = 0
    selection_generation: int = 0
    """The revision at which it got its policy: what was learned before belongs to another one."""

    @property
    def key(self) -> str:
        """Its name in the configuration."""
        return application_key(self.name)

    @property
    def answering(self) -> tuple[Link, ...]:
        """The links of the models that may answer: all but shadows."""
        return tuple(link for link in self.links if not link.shadow)


@dataclass(frozen=True, slots=True)
class Model:
    """A name under which versions are deployed. It exists while it has a version or is linked."""

    name: str
    input_type: InputType
    """What versions of it must take to go live: see `state.View.model_type`."""
    current_version: str = ""
    """Empty when none is active."""
    revision: int = 0
    canary_version: str = ""
    """On trial beside the current one; empty when none is."""
    canary_share: float = 0.0
    """The share of unpinned queries that the version on trial gets, above 0 and below 1."""

    @property
    def key(self) -> str:
        """Its name in the configuration."""
        return model_key(self.name)


@dataclass(frozen=True, slots=True)
class Batching:
    """How queries for one version are gathered into batches; 0 leaves a number to the frontend."""

    policy: BatchPolicy = BatchPolicy.DEFAULT
    max_batch_rows: int = 0
    linger_ns: int = 0
    max_queue_rows: int = 0
    max_batches_in_flight: int = 0
    no_retry: bool = False
    hedge_percent: int = 0


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One deployed version of a model. A redeployed one of the same name has another `uid`."""

    model: str
    version: str
    input_type: InputType
    labels: tuple[str, ...] = ()
    image: str = ""
    data_path: str = ""
    batching: Batching = Batching()
    no_cache: bool = False
    """Whether frontends neither keep its answers nor share them among identical queries."""
    state: VersionState = VersionState.STAGED
    create_time_ns: int = 0
    uid: str = ""
    revision: int = 0

    @property
    def key(self) -> str:
        """Its name in the configuration."""
        return version_key(self.model, self.version)


@dataclass(frozen=True, slots=True)
class Replica:
    """A running copy of a version, as it registered itself, under a lease."""

    model: str
    version: str
    replica_id: int
    address: str
    input_type: InputType
    lease_id: str
    create_time_ns: int = 0
    host: str = ""
    runtime: str = ""

    @property
    def key(self) -> str:
        """Its name in the configuration."""
        return replica_key(self.model, self.version, self.replica_id)


@dataclass(frozen=True, slots=True)
class ReplicaCounter:
    """The next number for a replica of a version. It outlives the version, so that no number is ever used twice."""

    model: str
    version: str
    next_id: int = 0

    @property
    def key(self) -> str:
        """Its name in the configuration."""
        return counter_key(self.model, self.version)


@dataclass(frozen=True, slots=True)
class Instance:
    """A process of the cluster, under a lease."""

    kind: InstanceKind
    instance_id: str
    address: str
    lease_id: str
    build: str = ""
    create_time_ns: int = 0

    @property
    def key(self) -> str:
        """Its name in the configuration."""
        return instance_key(self.instance_id)


Entity = Application | Model | ModelVersion | Replica | ReplicaCounter | Instance
KINDS: dict[str, type[Entity]] = {
    "application": Application,
    "model": Model,
    "version": ModelVersion,
    "replica": Replica,
    "counter": ReplicaCounter,
    "instance": Instance,
}
"""The first part of a key, and what it names."""


def application_key(name: str) -> str:
    """The key of an application."""
    return f"application/{name}"


def model_key(name: str) -> str:
    """The key of a model."""
    return f"model/{name}"


def version_key(model: str, version: str) -> str:
    """The key of a version."""
    return f"version/{model}/{version}"


def replica_key(model: str, version: str, replica_id: int) -> str:
    """The key of a replica."""
    return f"replica/{model}/{version}/{replica_id}"


def counter_key(model: str, version: str) -> str:
    """The key of a version's replica counter."""
    return f"counter/{model}/{version}"


def instance_key(instance_id: str) -> str:
    """The key of an instance."""
    return f"instance/{instance_id}"


def kind_of(key: str) -> type[Entity]:
    """The class of what a key names.

    Raises:
        KeyError: it names nothing that this build knows.
    """
    return KINDS[key.partition("/")[0]]
