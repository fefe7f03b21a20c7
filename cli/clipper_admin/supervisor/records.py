"""What the supervisor keeps on disk and tells its callers: plain values that travel as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any, Self

JsonObject = dict[str, Any]


class Record:
    """A frozen dataclass of JSON values that is written and read as one JSON object."""

    def to_json(self) -> JsonObject:
        """The record as a JSON object."""
        return asdict(self)  # type: ignore[call-overload, no-any-return]  # every subclass is a dataclass

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Self:
        """The record that a JSON object stands for; fields of another build are ignored, missing ones default.

        Raises:
            ValueError: one is missing that has no default.
        """
        known = {field.name for field in fields(cls)}  # type: ignore[arg-type]
        try:
            return cls(**{name: value for name, value in found.items() if name in known})
        except TypeError as error:
            raise ValueError(f"a {cls.__name__} is damaged: {error}") from error


@dataclass(frozen=True, slots=True)
class Settings(Record):
    """How a cluster is to be run; written by whoever starts it, read by its supervisor."""

    cluster: str = "default-cluster"
    """Names the cluster: its directory and its keys in Redis."""
    host: str = "127.0.0.1"
    """Where gateway and frontend listen; 0.0.0.0 opens them to the network. All else stays on this machine."""
    query_port: int = 1337
    """Wanted for REST predictions. This and the other ports: 0, or one that is taken, becomes a free one."""
    admin_port: int = 1338
    """Wanted for REST administration."""
    frontend_port: int = 7000
    """Wanted for gRPC predictions."""
    manager_port: int = 7001
    """Wanted for gRPC administration."""
    frontend_workers: int = 1
    """How many processes share the frontend's port."""
    cache_bytes: int = 33554432
    """What the frontend's prediction cache may take; 0 turns it off."""
    cache_ttl_s: float = 0.0
    """How long a cached prediction is good for; 0: until it is evicted."""
    header_timeout_s: int = 5
    """How long the headers of a REST request may take to arrive."""
    body_timeout_s: int = 300
    """How long a whole REST request may take to arrive."""
    transport: str = "auto"
    """How gRPC is carried: auto, native or grpcio."""
    log_level: str = "info"
    """What the processes log: debug, info, warning or error."""
    redis_url: str = ""
    """A Redis that somebody else runs. Empty: a private one, with its data in the cluster's directory."""


@dataclass(frozen=True, slots=True)
class Addresses(Record):
    """Where a running cluster is reached, each as host:port; empty what does not run."""

    query: str = ""
    """REST predictions."""
    admin: str = ""
    """REST administration."""
    frontend: str = ""
    """gRPC predictions."""
    manager: str = ""
    """gRPC administration."""
    redis_url: str = ""
    """Redis, as a URL (redis:// or unix://)."""


@dataclass(frozen=True, slots=True)
class Running(Record):
    """Written to cluster.json while a supervisor runs: how to find it and its cluster."""

    cluster: str
    pid: int
    control: str
    """The supervisor's unix socket."""
    addresses: JsonObject
    """An Addresses."""
    started: str
    """When the supervisor started, ISO 8601, UTC."""


@dataclass(frozen=True, slots=True)
class Deployment(Record):
    """The replicas that are wanted of one model version."""

    model: str
    version: str
    model_dir: str
    replicas: int
    python: str = ""
    """The interpreter that the replicas run on: that of the session which deployed the model."""

    @property
    def key(self) -> tuple[str, str]:
        """Model and version."""
        return self.model, self.version


class State(StrEnum):
    """Where a process, or the cluster, stands."""

    STARTING = "starting"
    RUNNING = "running"
    WAITING = "waiting"
    """Has died and is started again in a moment."""
    STOPPING = "stopping"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class ProcessStatus(Record):
    """One process of the cluster, for people."""

    name: str
    kind: str
    """redis, manager, frontend, gateway or replica."""
    state: str
    pid: int
    """0 while none runs."""
    address: str
    since: str
    """When the process that runs now was started, ISO 8601, UTC."""
    restarts: int
    """How often it was started again."""
    last_exit: str
    """How it ended last; empty when it never did."""
    log: str
    """The path of its log."""
    metrics: str = ""
    """Where it tells its metrics, under /metrics; empty while it does not."""


@dataclass(frozen=True, slots=True)
class ClusterStatus(Record):
    """The whole cluster, for people and for LocalContainerManager."""

    cluster: str
    state: str
    pid: int
    since: str
    addresses: JsonObject
    """An Addresses."""
    processes: list[JsonObject]
    """ProcessStatus, in the order of starting."""
    deployments: list[JsonObject]
    """Deployment, by model and version."""
