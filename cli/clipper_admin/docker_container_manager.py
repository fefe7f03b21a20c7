"""DockerContainerManager: a cluster of Docker containers on one host, with Clipper's constructor and labels."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from clipper_admin import given
from clipper_admin.container_manager import ContainerManager, checked_cache_size, checked_frontends, checked_ttl_s
from clipper_admin.containers import logging_driver, model_images, options, recipes, waiting
from clipper_admin.containers.engine import Container, Engine, keep_running
from clipper_admin.containers.found import Found
from clipper_admin.containers.images import Images, image
from clipper_admin.containers.labels import CLUSTER, MODEL, Door, Part, model_value
from clipper_admin.containers.launch import Launch
from clipper_admin.exceptions import (
    AlreadyRunningException,
    ClipperException,
    NotRunningException,
    UnconnectedException,
)
from clipper_runtime.manifest import FILE_NAME

_log = logging.getLogger(__name__)


class LogsAreCentral(ClipperException, NotImplementedError):
    """The logs of the containers are gathered in one place, not kept by each."""


class DockerContainerManager(ContainerManager):
    """Runs one cluster as containers of a Docker engine, on one network.

    Several clusters may run at once, each under its own `cluster_name`. Containers that crash come back by themselves,
    also after the engine was restarted. What this manager created it removes with `stop_all`; what you gave it (a
    network, a volume, a Redis) stays.
    """

    def __init__(
        self,
        cluster_name: str = "default-cluster",
        docker_ip_address: str = "localhost",
        use_centralized_log: bool = False,
        fluentd_port: int = logging_driver.FLUENTD_PORT,
        clipper_query_port: int = recipes.QUERY_PORT,
        clipper_management_port: int = recipes.ADMIN_PORT,
        clipper_rpc_port: int = recipes.FRONTEND_PORT,
        redis_ip: str | None = None,
        redis_port: int = 6379,
        prometheus_port: int = 9090,
        docker_network: str = "clipper_network",
        extra_container_kwargs: Mapping[str, Any] | None = None,
        *,
        manager_port: int = recipes.MANAGER_PORT,
        cache_ttl_s: float = 0.0,
        redis_volume: str | None = None,
        redis_image: str = recipes.REDIS_IMAGE,
        gateway_image: str | None = None,
        fluentd_image: str = logging_driver.FLUENTD_IMAGE,
    ) -> None:
        """Touches nothing yet.

        Args:
            cluster_name: lower-case letters, digits and inner dashes.
            docker_ip_address: where the engine's host is reached. Ports are published for this machine only if it is
                "localhost" or "127.0.0.1", else for all who reach the host.
            use_centralized_log: gathers the logs of all containers in one more, a Fluentd; `docker logs` shows them.
            fluentd_port: wanted for that. This and the ports below: one that is taken is exchanged for a free one, and
                0 asks for a free one.
            clipper_query_port: wanted for REST predictions.
            clipper_management_port: wanted for REST administration.
            clipper_rpc_port: wanted for gRPC predictions.
            redis_ip: a Redis of your own, by a name or address that containers reach; by default the cluster has one.
            redis_port: the port of that Redis.
            prometheus_port: not used: this manager starts no Prometheus (deploy/compose.yaml has one).
            docker_network: joined by all containers; created if there is none.
            extra_container_kwargs: options for every container, as of the Docker SDK's `containers.create`, such as
                {"mem_limit": "2g", "nano_cpus": 1_000_000_000}.
            manager_port: wanted for gRPC administration.
            cache_ttl_s: how many seconds a cached prediction is good for; 0: until others drive it out.
            redis_volume: keeps the configuration beyond `stop_all`; by default it ends with the cluster.
            redis_image: what Redis runs.
            gateway_image: what the gateway runs; by default that of $CLIPPER_REGISTRY and $CLIPPER_VERSION.
            fluentd_image: what gathers logs.
        """
        self.cluster_name = options.cluster(cluster_name)
        self._network = options.network(docker_network)
        self._ip = docker_ip_address
        published_at = "127.0.0.1" if docker_ip_address in ("localhost", "127.0.0.1") else "0.0.0.0"  # noqa: S104
        self._engine = Engine(self._network, published_at, options.more(extra_container_kwargs))
        self._found = Found(self._engine, self.cluster_name)
        self._launch = Launch(
            self._engine,
            self._found,
            self.cluster_name,
            docker_ip_address,
            {
                Door.QUERY: given.port(clipper_query_port, "clipper_query_port"),
                Door.ADMIN: given.port(clipper_management_port, "clipper_management_port"),
                Door.FRONTEND: given.port(clipper_rpc_port, "clipper_rpc_port"),
                Door.MANAGER: given.port(manager_port, "manager_port"),
                Door.LOGS: given.port(fluentd_port, "fluentd_port"),
            },
            options.redis_url(redis_ip, redis_port),
            redis_volume,
            checked_ttl_s(cache_ttl_s),
        )
        self._images = Images(
            redis=redis_image,
            manager=image("manager"),
            frontend=image("frontend"),
            gateway=gateway_image or image("gateway"),
            fluentd=fluentd_image,
        )
        self._central_logs = use_centralized_log
        self._ports: dict[Door, int] | None = None

    def __repr__(self) -> str:
        return f"DockerContainerManager({self.cluster_name!r}, docker_network={self._network!r})"

    # Cluster

    def start_clipper(
        self,
        query_frontend_image: str | None = None,
        mgmt_frontend_image: str | None = None,
        frontend_exporter_image: str | None = None,
        cache_size: int = 33554432,
        qf_http_thread_pool_size: int = 1,
        qf_http_timeout_request: int = 5,
        qf_http_timeout_content: int = 300,
        num_frontend_replicas: int = 1,
    ) -> None:
        """Starts the containers of a cluster and waits until all of them serve.

        Args:
            query_frontend_image: of the frontend; by default that of $CLIPPER_REGISTRY and $CLIPPER_VERSION.
            mgmt_frontend_image: of the manager; likewise.
            frontend_exporter_image: not used, since the frontend tells its metrics itself.
            cache_size: the bytes of the frontend's cache of predictions, all counted; 0: no cache.
            qf_http_thread_pool_size: not used, since the gateway takes as many threads as it needs.
            qf_http_timeout_request: how many seconds the headers of a request may take to arrive.
            qf_http_timeout_content: how many seconds a whole request may take to arrive.
            num_frontend_replicas: processes of the frontend, which share its port and its cache's bytes.
        """
        checked_cache_size(cache_size)
        checked_frontends(num_frontend_replicas)
        if self._found.all():
            raise AlreadyRunningException(
                f"Docker has containers of cluster {self.cluster_name} already. Use connect() to work with it, "
                "stop_all() to end it, or another cluster_name."
            )
        images = replace(
            self._images,
            manager=mgmt_frontend_image or self._images.manager,
            frontend=query_frontend_image or self._images.frontend,
        )
        try:
            self._ports = self._launch.parts(
                images,
                central_logs=self._central_logs,
                frontends=num_frontend_replicas,
                cache_bytes=cache_size,
                header_timeout_s=qf_http_timeout_request,
                body_timeout_s=qf_http_timeout_content,
            )
        except BaseException:  # also Ctrl-C: half a cluster is none
            self.stop_all(graceful=False)
            raise

    def connect(self) -> None:
        """Finds the running cluster of this name, on the ports that it got.

        Raises:
            NotRunningException: there is none, or not all of it runs.
            ClipperException: logs are to be central, and the cluster's are not.
        """
        ports = self._found.ports()
        has_central_logs = self._found.part(Part.LOGS) is not None
        if self._central_logs and not has_central_logs:
            raise ClipperException(
                f"Cluster {self.cluster_name} was started without a central log, so it cannot have one now. "
                "Connect with use_centralized_log=False."
            )
        self._central_logs = has_central_logs
        self._ports = ports

    def stop_all(self, graceful: bool = True) -> None:
        """Stops and removes all containers of the cluster, its volume, and its network if nobody else is in it."""
        for group in self._found.in_order_of_stop():
            self._engine.stop(group, graceful=graceful)
        self._engine.remove_volumes(self.cluster_name)
        self._engine.release_network()
        self._ports = None

    def purge(self) -> None:
        """Deletes the images of models that were built for this cluster. It must not run."""
        if self._found.all():
            raise AlreadyRunningException(f"Cluster {self.cluster_name} runs. Stop it first, with stop_all().")
        self._engine.remove_volumes(self.cluster_name)
        self._engine.remove_images(self.cluster_name)

    # Models

    def build_model(
        self,
        name: str,
        version: str,
        model_data_path: str,
        base_image: str = "default",
        container_registry: str | None = None,
        pkgs_to_install: Sequence[str] | None = None,
    ) -> str:
        """Builds an image of a model directory, with the packages that it needs; pushes it if a registry is named.

        By default it is built on the runtime image of the Python that the model was saved with. Packages that were
        recorded and that this image lacks are installed, and loading is checked.
        """
        model_dir = Path(model_data_path).expanduser().absolute()
        if not model_dir.is_dir():
            raise ClipperException(f"{model_dir} is no directory. A model is deployed from a directory.")
        if base_image == "default" or (model_dir / FILE_NAME).exists():
            manifest = model_images.saved_as(model_dir, name, version)
            if base_image == "default":
                base_image = image(f"python{'.'.join(manifest.python.split('.')[:2])}-runtime")
        tag = f"{self.cluster_name}-{name}:{version}"
        if container_registry:
            tag = f"{container_registry.rstrip('/')}/{tag}"
        _log.info("Building model Docker image %s on %s", tag, base_image)
        labels = {CLUSTER: self.cluster_name, MODEL: model_value(name, version)}
        packages = list(pkgs_to_install or ())
        model_images.build(self._engine, model_dir, base_image, tag, packages=packages, labels=labels)
        if container_registry:
            model_images.push(self._engine, tag)
        return tag

    def deploy_model(self, name: str, version: str, input_type: str, image: str, num_replicas: int = 1) -> None:
        """Starts the first replicas of a version and waits until they have loaded the model and registered."""
        self.set_num_replicas(name, version, input_type, image, num_replicas)

    def get_num_replicas(self, name: str, version: str) -> int:
        """How many replicas of a version there are, those that come back from a crash included."""
        return len(self._found.replicas_of(name, version))

    def set_num_replicas(self, name: str, version: str, input_type: str, image: str, num_replicas: int) -> None:
        """Starts or stops replicas; waits until new ones have registered. The youngest are stopped first.

        Raises:
            ClipperException: one did not come up, whose last words are told; then all is as it was before.
        """
        given.replicas(num_replicas)
        self._require_frontend()
        running = self._found.replicas_of(name, version)
        missing = num_replicas - len(running)
        _log.info("Found %d replicas for %s:%s. %s", len(running), name, version, _told_change(missing))
        if missing <= 0:
            self._engine.stop(running[num_replicas:])
            return
        new: list[Container] = []
        try:
            is_ours = model_images.is_ours(self._engine.image(image))
            for _ in range(missing):
                recipe = recipes.replica(self.cluster_name, name, version, input_type, image, is_ours=is_ours)
                new.append(self._launch.one(recipe, central_logs=self._central_logs))
            waiting.until_registered(self.get_manager_addr(), name, version, new)
            keep_running(new)
        except BaseException:
            self._engine.remove(new)
            raise

    def stop_models(self, models: Mapping[str, Sequence[str]]) -> None:
        """Stops and removes all replicas of these versions of models. Their images stay."""
        values = {model_value(name, version) for name, versions in models.items() for version in versions}
        self._engine.stop(each for each in self._found.replicas() if each.labels[MODEL] in values)

    def stop_all_model_containers(self) -> None:
        """Stops and removes the replicas of all models."""
        self._engine.stop(self._found.replicas())

    # Looking in

    def get_logs(self, logging_dir: str) -> list[str]:
        """Writes the log of each container into a file of its own: image_<id>:container_<id>.log.

        Raises:
            LogsAreCentral: they are gathered by Fluentd.
        """
        if self._central_logs:
            name = Part.LOGS.container(self.cluster_name)
            raise LogsAreCentral(f"The logs of this cluster are gathered in one container: docker logs {name}")
        return self._found.write_logs(Path(logging_dir).expanduser().absolute())

    def containers(self) -> list[Container]:
        """All containers of the cluster, oldest first."""
        return self._found.all()

    def get_admin_addr(self) -> str:
        """Where REST administration is reached."""
        return self._address(Door.ADMIN)

    def get_query_addr(self) -> str:
        """Where REST predictions are reached."""
        return self._address(Door.QUERY)

    def get_metric_addr(self) -> str:
        """Where metrics are reached: the same as queries, under /metrics."""
        return self._address(Door.QUERY)

    def get_manager_addr(self) -> str:
        """Where gRPC administration is reached."""
        return self._address(Door.MANAGER)

    def get_frontend_addr(self) -> str:
        """Where gRPC predictions are reached."""
        return self._address(Door.FRONTEND)

    # Parts of the above

    def _require_frontend(self) -> None:
        if self._ports is None:
            raise UnconnectedException
        if self._found.part(Part.FRONTEND) is None:
            raise NotRunningException(
                f"No frontend of cluster {self.cluster_name} runs, so a replica would serve nobody. "
                "Start the cluster with start_clipper()."
            )

    def _address(self, door: Door) -> str:
        if self._ports is None:
            raise UnconnectedException
        return f"{self._ip}:{self._ports[door]}"


def _told_change(missing: int) -> str:
    if missing == 0:
        return "Nothing to do"
    return f"Adding {missing}" if missing > 0 else f"Removing {-missing}"
