"""A cluster that somebody else runs: it can be configured and asked, but its processes are not ours to start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from clipper_admin.container_manager import ContainerManager
from clipper_admin.exceptions import ClipperException


class RemoteContainerManager(ContainerManager):
    """Knows the addresses of a running cluster, and nothing of its processes."""

    def __init__(
        self, manager: str, frontend: str = "", *, query: str = "", admin: str = "", metrics: str = ""
    ) -> None:
        """Takes addresses as host:port: gRPC manager and frontend; REST queries and admin; metrics."""
        self.cluster_name = manager
        self._manager, self._frontend = manager, frontend
        self._query, self._admin, self._metrics = query, admin, metrics

    def __repr__(self) -> str:
        return f"RemoteContainerManager({self._manager!r}, {self._frontend!r})"

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
        """Refused."""
        raise self._not_ours("start the cluster")

    def connect(self) -> None:
        """Does nothing: the addresses are known, and the first call tells whether somebody is there."""

    def build_model(
        self,
        name: str,
        version: str,
        model_data_path: str,
        base_image: str,
        container_registry: str | None,
        pkgs_to_install: Sequence[str] | None,
    ) -> str:
        """Refused."""
        raise self._not_ours("build a model")

    def deploy_model(self, name: str, version: str, input_type: str, image: str, num_replicas: int = 1) -> None:
        """Refused."""
        raise self._not_ours("start replicas")

    def get_num_replicas(self, name: str, version: str) -> int:
        """Refused."""
        raise self._not_ours("count the replicas that are wanted")

    def set_num_replicas(self, name: str, version: str, input_type: str, image: str, num_replicas: int) -> None:
        """Refused."""
        raise self._not_ours("start or stop replicas")

    def get_logs(self, logging_dir: str) -> list[str]:
        """Refused."""
        raise self._not_ours("read logs")

    def stop_models(self, models: Mapping[str, Sequence[str]]) -> None:
        """Does nothing: whoever started the replicas stops them; they get no more queries."""

    def stop_all_model_containers(self) -> None:
        """Refused."""
        raise self._not_ours("stop replicas")

    def stop_all(self, graceful: bool = True) -> None:
        """Refused."""
        raise self._not_ours("stop the cluster")

    def get_admin_addr(self) -> str:
        """Where REST administration is reached."""
        return self._known(self._admin, "REST admin")

    def get_query_addr(self) -> str:
        """Where REST predictions are reached."""
        return self._known(self._query, "REST query")

    def get_metric_addr(self) -> str:
        """Where metrics are reached."""
        return self._known(self._metrics or self._query, "metrics")

    def get_manager_addr(self) -> str:
        """Where gRPC administration is reached."""
        return self._manager

    def get_frontend_addr(self) -> str:
        """Where gRPC predictions are reached; empty where that is not known: configuring needs no frontend."""
        return self._frontend

    def _known(self, address: str, what: str) -> str:
        if not address:
            raise ClipperException(
                f"The {what} address of this cluster is not known; give it to {type(self).__name__}."
            )
        return address

    def _not_ours(self, what: str) -> ClipperException:
        return ClipperException(
            f"Cannot {what}: the processes of the cluster behind {self._manager} are run by somebody else. "
            "Use the tools there (Docker, Kubernetes, or clipperctl on that machine)."
        )
