"""LocalContainerManager: a cluster of local processes, with its own Redis, without Docker and without root."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from clipper_admin import given, models
from clipper_admin.container_manager import ContainerManager, checked_cache_size, checked_frontends, checked_ttl_s
from clipper_admin.exceptions import ClipperException, UnconnectedException
from clipper_admin.supervisor.cluster_dir import ClusterDir
from clipper_admin.supervisor.control import Request, Verb
from clipper_admin.supervisor.handle import STOP_WITHIN_S, SupervisorHandle
from clipper_admin.supervisor.records import Addresses, ClusterStatus, Deployment, Settings, State
from clipper_runtime.names import checked_name

_log = logging.getLogger(__name__)

_DEPLOY_WITHIN_S = 600.0
_SETTLE_WITHIN_S = 60.0


class LocalContainerManager(ContainerManager):
    """Runs one cluster as processes of this machine, under a supervisor that outlives this session.

    Several clusters may run at once, each under its own `cluster_name`. What was configured, and how many replicas were
    wanted, is there again when a cluster is started again.
    """

    def __init__(
        self,
        cluster_name: str = "default-cluster",
        *,
        home: str | os.PathLike[str] | None = None,
        host: str = "127.0.0.1",
        clipper_query_port: int = 1337,
        clipper_management_port: int = 1338,
        clipper_rpc_port: int = 7000,
        manager_port: int = 7001,
        redis_url: str = "",
        cache_ttl_s: float = 0.0,
        transport: str = "auto",
        log_level: str = "info",
    ) -> None:
        """Touches nothing yet.

        Args:
            cluster_name: lower-case letters, digits and inner dashes.
            home: where clusters keep their files; by default $CLIPPER_HOME, else ~/.clipper.
            host: where REST and gRPC predictions listen; 0.0.0.0 opens them to the network.
            clipper_query_port: wanted for REST predictions. This and the other ports: one that is taken is exchanged
                for a free one, and 0 asks for a free one.
            clipper_management_port: wanted for REST administration.
            clipper_rpc_port: wanted for gRPC predictions.
            manager_port: wanted for gRPC administration.
            redis_url: a Redis that somebody else runs; by default the cluster has its own.
            cache_ttl_s: how many seconds a cached prediction is good for; 0: until others drive it out.
            transport: how gRPC is carried: auto, native or grpcio.
            log_level: what the processes log: debug, info, warning or error.
        """
        try:
            self.cluster_name = checked_name(cluster_name)
        except ValueError as error:
            raise ClipperException(str(error)) from error
        self._home = Path(home or os.environ.get("CLIPPER_HOME") or Path.home() / ".clipper").expanduser().absolute()
        self._directory = ClusterDir(self._home / self.cluster_name)
        self._supervisor = SupervisorHandle(self._directory)
        self._wanted = Settings(
            cluster=self.cluster_name,
            host=host,
            query_port=given.port(clipper_query_port, "clipper_query_port"),
            admin_port=given.port(clipper_management_port, "clipper_management_port"),
            frontend_port=given.port(clipper_rpc_port, "clipper_rpc_port"),
            manager_port=given.port(manager_port, "manager_port"),
            redis_url=redis_url,
            cache_ttl_s=checked_ttl_s(cache_ttl_s),
            transport=transport,
            log_level=log_level,
        )
        self._addresses: Addresses | None = None

    def __repr__(self) -> str:
        return f"LocalContainerManager({self.cluster_name!r}, home={str(self._home)!r})"

    @property
    def directory(self) -> Path:
        """Where the cluster keeps its files."""
        return self._directory.path

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
        """Starts the cluster; a frontend replica is one process of it. Images and thread pools mean nothing here.

        Args:
            query_frontend_image: not used, as the next two.
            mgmt_frontend_image: not used.
            frontend_exporter_image: not used.
            cache_size: the bytes of the frontend's cache of predictions, all counted; 0: no cache.
            qf_http_thread_pool_size: not used, since the gateway takes as many threads as it needs.
            qf_http_timeout_request: how many seconds the headers of a REST request may take to arrive.
            qf_http_timeout_content: how many seconds a whole REST request may take to arrive.
            num_frontend_replicas: processes of the frontend, which share its port and its cache's bytes.
        """
        if query_frontend_image or mgmt_frontend_image or frontend_exporter_image:
            _log.warning("Images are ignored: a local cluster runs processes of this Python environment.")
        checked_frontends(num_frontend_replicas)
        checked_cache_size(cache_size)
        self._supervisor.refuse_running(
            "Use connect() (`clipperctl status`) to work with it, or stop_all() (`clipperctl stop`) first."
        )
        settings = replace(
            self._wanted,
            frontend_workers=num_frontend_replicas,
            cache_bytes=cache_size,
            header_timeout_s=qf_http_timeout_request,
            body_timeout_s=qf_http_timeout_content,
        )
        _log.info("Starting cluster %s in %s", self.cluster_name, self._directory.path)
        self._supervisor.start(settings)
        try:
            self.connect()
            self._tell_exchanged_ports()
            with contextlib.suppress(TimeoutError):
                self._supervisor.ask(Request(Verb.SETTLED), _SETTLE_WITHIN_S)
            self._tell_what_is_not_up()
        except KeyboardInterrupt:
            self.stop_all(graceful=False)
            raise

    def connect(self) -> None:
        """Finds the running cluster of this name."""
        self._addresses = Addresses.from_json(self.status().addresses)

    def status(self) -> ClusterStatus:
        """What runs: every process, and the replicas that are wanted.

        Raises:
            ClipperException: the cluster does not run.
        """
        return self._supervisor.status()

    def is_running(self) -> bool:
        """Whether the cluster runs."""
        return self._supervisor.is_running()

    def stop_all(self, graceful: bool = True) -> None:
        """Stops the cluster and waits until nothing of it runs. What was configured stays for the next start."""
        if not self.is_running():
            _log.info("Cluster %s does not run", self.cluster_name)
            return
        self._supervisor.stop(graceful=graceful)
        self._addresses = None

    def purge(self) -> None:
        """Deletes all that the cluster keeps on disk, configuration and logs included. It must not run."""
        self._supervisor.refuse_running("Stop it first.")
        self._directory.purge()

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
        """Copies a model directory to where the cluster keeps them; the copy's path is the image."""
        if base_image != "default" or container_registry:
            _log.warning("base_image and registry are ignored: replicas run in this Python environment.")
        models.check_packages(pkgs_to_install or ())
        target = self._directory.models / name / version
        with self._supervisor.told():
            if any(each.model_dir == str(target) for each in self._directory.read_deployments()):
                raise ClipperException(f"Model {name} has a version {version} already. Deploy under another version.")
            shutil.rmtree(target, ignore_errors=True)  # of a version that is not deployed any more
            models.copied(Path(model_data_path), target)
        return str(target)

    def deploy_model(self, name: str, version: str, input_type: str, image: str, num_replicas: int = 1) -> None:
        """Starts the first replicas of a version from a model directory."""
        self.set_num_replicas(name, version, input_type, image, num_replicas)

    def get_num_replicas(self, name: str, version: str) -> int:
        """How many replicas of a version are wanted."""
        wanted = [Deployment.from_json(each) for each in self.status().deployments]
        return sum(each.replicas for each in wanted if each.key == (name, version))

    def set_num_replicas(self, name: str, version: str, input_type: str, image: str, num_replicas: int) -> None:
        """Starts or stops replicas and waits until they are up, or gone."""
        given.replicas(num_replicas)
        model_dir = Path(image).absolute()
        models.checked(model_dir, name, version, input_type)
        found = self.get_num_replicas(name, version)
        if found < num_replicas:
            _log.info("Found %d replicas for %s:%s. Adding %d", found, name, version, num_replicas - found)
        elif found > num_replicas:
            _log.info("Found %d replicas for %s:%s. Removing %d", found, name, version, found - num_replicas)
        wanted = Deployment(name, version, str(model_dir), num_replicas, sys.executable)
        try:
            self._supervisor.ask(Request(Verb.SET_REPLICAS, wanted), _DEPLOY_WITHIN_S)
        except TimeoutError as error:
            raise ClipperException(
                f"The replicas of {name}:{version} are not up after {_DEPLOY_WITHIN_S:.0f} s, and are taken back; see "
                "their logs."
            ) from error

    def stop_models(self, models: Mapping[str, Sequence[str]]) -> None:
        """Stops all replicas of these versions of models and deletes the copies of their directories."""
        chosen: list[tuple[str, str | None]] = [(name, each) for name, versions in models.items() for each in versions]
        if chosen:
            self._supervisor.ask(Request(Verb.STOP_MODELS, models=chosen), STOP_WITHIN_S)

    def stop_all_model_containers(self) -> None:
        """Stops the replicas of all models."""
        if not self.is_running():
            return
        deployed = [Deployment.from_json(each) for each in self.status().deployments]
        self.stop_models(
            {
                model: [each.version for each in deployed if each.model == model]
                for model, _ in (each.key for each in deployed)
            }
        )

    # Looking in

    def get_logs(self, logging_dir: str) -> list[str]:
        """Copies the logs of all processes, the older files too, into a directory."""
        target = Path(logging_dir).expanduser().absolute()
        target.mkdir(parents=True, exist_ok=True)
        return [str(shutil.copy2(found, target / found.name)) for found in self.log_files()]

    def log_files(self) -> list[Path]:
        """The logs of all processes that have run, by name."""
        return sorted(self._directory.logs.glob("*.log*"))

    def get_admin_addr(self) -> str:
        """Where REST administration is reached."""
        return self._rest(self._found.admin)

    def get_query_addr(self) -> str:
        """Where REST predictions are reached."""
        return self._rest(self._found.query)

    def get_metric_addr(self) -> str:
        """Where metrics are reached: the same as queries, under /metrics."""
        return self.get_query_addr()

    def get_manager_addr(self) -> str:
        """Where gRPC administration is reached."""
        return self._found.manager

    def get_frontend_addr(self) -> str:
        """Where gRPC predictions are reached."""
        return self._found.frontend

    # Parts of the above

    @property
    def _found(self) -> Addresses:
        if self._addresses is None:
            raise UnconnectedException
        return self._addresses

    def _rest(self, address: str) -> str:
        if not address:
            raise ClipperException(
                "REST is off: this installation has no gateway, since no Go was there when it was built. "
                "Install again with Go on PATH, or use gRPC."
            )
        return address

    def _tell_what_is_not_up(self) -> None:
        for each in self.status().processes:
            if each["state"] != State.RUNNING:
                _log.warning("%s is %s (%s); its log: %s", each["name"], each["state"], each["last_exit"], each["log"])

    def _tell_exchanged_ports(self) -> None:
        wanted, found = self._wanted, self._found
        for what, port, address in (
            ("REST predictions", wanted.query_port, found.query),
            ("REST administration", wanted.admin_port, found.admin),
            ("gRPC predictions", wanted.frontend_port, found.frontend),
            ("gRPC administration", wanted.manager_port, found.manager),
        ):
            if port and address and not address.endswith(f":{port}"):
                _log.warning("Port %d is taken: %s are at %s", port, what, address)
