"""What runs the processes of a cluster: the interface that ClipperConnection uses (Clipper's own, contract 1.4)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from clipper_admin import given
from clipper_admin.exceptions import ClipperException

NO_CONTAINER = "NO_CONTAINER"
"""The image of a model whose replicas are started by somebody else."""


_MOST_CACHE_BYTES = 2**40
_MOST_FRONTENDS = 256
_MOST_TTL_S = 1e9


def checked_cache_size(cache_size: int) -> int:
    """The bytes of a prediction cache; raises ClipperException for what cannot be."""
    hint = "give bytes, from 0 (no cache) to 2^40. The default is 33554432 (32 MiB)"
    return given.whole(cache_size, "cache_size", 0, _MOST_CACHE_BYTES, hint)


def checked_frontends(num_frontend_replicas: int) -> int:
    """How many processes of the frontend there shall be; raises ClipperException for what cannot be."""
    return given.whole(num_frontend_replicas, "num_frontend_replicas", 1, _MOST_FRONTENDS)


def checked_ttl_s(cache_ttl_s: float) -> float:
    """How long cached predictions are good for; raises ClipperException for what cannot be."""
    if not 0 <= cache_ttl_s <= _MOST_TTL_S:
        raise ClipperException(f"cache_ttl_s is {cache_ttl_s}; give seconds, from 0 (for ever) to 10^9.")
    return cache_ttl_s


class ContainerManager(ABC):
    """Starts, finds, scales and stops the processes of one cluster.

    All methods raise ClipperException. Those that need a cluster are called only after `start_clipper` or `connect`.
    """

    cluster_name: str

    @abstractmethod
    def start_clipper(
        self,
        query_frontend_image: str | None,
        mgmt_frontend_image: str | None,
        frontend_exporter_image: str | None,
        cache_size: int,
        qf_http_thread_pool_size: int,
        qf_http_timeout_request: int,
        qf_http_timeout_content: int,
        num_frontend_replicas: int,
    ) -> None:
        """Starts a cluster, waits until it answers, and is connected to it."""

    @abstractmethod
    def connect(self) -> None:
        """Finds the running cluster of this name."""

    @abstractmethod
    def build_model(
        self,
        name: str,
        version: str,
        model_data_path: str,
        base_image: str,
        container_registry: str | None,
        pkgs_to_install: Sequence[str] | None,
    ) -> str:
        """Makes an image of a model directory and returns its name; needs no cluster."""

    @abstractmethod
    def deploy_model(self, name: str, version: str, input_type: str, image: str, num_replicas: int = 1) -> None:
        """Starts the first replicas of a version and waits until their processes are up."""

    @abstractmethod
    def get_num_replicas(self, name: str, version: str) -> int:
        """How many replicas of a version are wanted."""

    @abstractmethod
    def set_num_replicas(self, name: str, version: str, input_type: str, image: str, num_replicas: int) -> None:
        """Starts or stops replicas and waits until that is done."""

    @abstractmethod
    def get_logs(self, logging_dir: str) -> list[str]:
        """Writes the logs of all processes into a directory and returns the files' paths."""

    @abstractmethod
    def stop_models(self, models: Mapping[str, Sequence[str]]) -> None:
        """Stops all replicas of these versions of models and forgets their images."""

    @abstractmethod
    def stop_all_model_containers(self) -> None:
        """Stops the replicas of all models. Works without a connection."""

    @abstractmethod
    def stop_all(self, graceful: bool = True) -> None:
        """Stops the whole cluster. Works without a connection."""

    @abstractmethod
    def get_admin_addr(self) -> str:
        """Where REST administration is reached: host:port."""

    @abstractmethod
    def get_query_addr(self) -> str:
        """Where REST predictions are reached: host:port."""

    @abstractmethod
    def get_metric_addr(self) -> str:
        """Where metrics are reached: host:port."""

    @abstractmethod
    def get_manager_addr(self) -> str:
        """Where gRPC administration is reached: host:port."""

    @abstractmethod
    def get_frontend_addr(self) -> str:
        """Where gRPC predictions are reached: host:port."""
