"""ClipperConnection: everything that one can do with a cluster, under Clipper's names (contract 1.3)."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from clipper_admin import progress, views
from clipper_admin.client import Client
from clipper_admin.container_manager import NO_CONTAINER, ContainerManager
from clipper_admin.exceptions import ClipperException, UnconnectedException
from clipper_admin.resources import Application, ModelVersion
from clipper_rpc.errors import ClipperError, Code, VersionExists
from clipper_runtime.names import InputType, checked_name, checked_version

_LIVE_WITHIN_S = 60.0
_log = logging.getLogger(__name__)


class ClipperConnection:
    """A connection to one cluster, through the manager of its containers.

    Before `start_clipper` or `connect`, methods that need a cluster raise UnconnectedException. Whatever cannot be done
    raises ClipperException, whose `__cause__` is the domain error of the service that refused.
    """

    def __init__(self, container_manager: ContainerManager) -> None:
        progress.show()
        self.cm = container_manager
        self._connected: Client | None = None

    def __repr__(self) -> str:
        state = "connected" if self.connected else "not connected"
        return f"<ClipperConnection to {self.cm!r}, {state}>"

    @property
    def connected(self) -> bool:
        """Whether a cluster was started or found."""
        return self._connected is not None

    @property
    def client(self) -> Client:
        """The gRPC client of the connected cluster."""
        if self._connected is None:
            raise UnconnectedException
        return self._connected

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
        """Starts a cluster, waits until it answers, and connects to it. Images are for managers that have images."""
        self.cm.start_clipper(
            query_frontend_image,
            mgmt_frontend_image,
            frontend_exporter_image,
            cache_size,
            qf_http_thread_pool_size,
            qf_http_timeout_request,
            qf_http_timeout_content,
            num_frontend_replicas,
        )
        self._use_cluster()
        _log.info("Clipper is running")

    def connect(self) -> None:
        """Connects to the running cluster of the container manager's name."""
        self.cm.connect()
        self._use_cluster()
        _log.info("Successfully connected to Clipper cluster %s", self.cm.cluster_name)

    def stop_all(self, graceful: bool = True) -> None:
        """Stops the cluster with all models; queries under way are answered first, unless not `graceful`."""
        self.cm.stop_all(graceful=graceful)
        self.close()
        _log.info("Stopped all Clipper cluster and all model containers")

    def close(self) -> None:
        """Ends the connection; the cluster goes on."""
        if self._connected is not None:
            self._connected.close()
            self._connected = None

    # Applications

    def register_application(self, name: str, input_type: str, default_output: Any, slo_micros: int) -> None:
        """Registers an application: from then on it can be queried.

        Args:
            name: lower-case letters, digits and inner dashes.
            input_type: "doubles", "floats", "integers", "strings", "bytes" or "tensors".
            default_output: answered when no prediction can be given in time; usually text. None: such queries fail
                with a status instead.
            slo_micros: the time within which every query is answered, in microseconds; 100000 is a good start.
        """
        with _translated():
            kind, has_default = InputType.parse(input_type), default_output is not None
            self.client.create_application(
                Application(checked_name(name), kind, slo_micros, has_default, default_output)
            )
        _log.info("Application %s was successfully registered", name)

    def unregister_application(self, name: str) -> None:
        """Deletes an application with its links. Its traffic ends at once."""
        with _translated():
            self.client.delete_application(name)
        _log.info("Application %s was successfully unregistered", name)

    def delete_application(self, name: str) -> None:
        """An old name of `unregister_application`."""
        warnings.warn("delete_application is now unregister_application", DeprecationWarning, stacklevel=2)
        self.unregister_application(name)

    def link_model_to_app(self, app_name: str, model_name: str) -> None:
        """Routes an application's queries to a model. Their input types must agree."""
        with _translated():
            self.client.link_model(app_name, model_name)
        _log.info("Model %s is now linked to application %s", model_name, app_name)

    def unlink_model_from_app(self, app_name: str, model_name: str) -> None:
        """Ends the routing of an application's queries to a model."""
        with _translated():
            self.client.unlink_model(app_name, model_name)
        _log.info("Model %s is no longer linked to application %s", model_name, app_name)

    def get_all_apps(self, verbose: bool = False) -> list[Any]:
        """The names of all applications or, if `verbose`, a dict for each."""
        with _translated():
            found = self.client.list_applications()
        return [views.application(each) if verbose else each.name for each in found]

    def get_app_info(self, name: str) -> dict[str, Any] | None:
        """What is known of an application; None, with a warning, if there is none."""
        return _found(lambda: views.application(self.client.get_application(name)), f"Application {name}")

    def get_linked_models(self, app_name: str) -> list[str]:
        """The names of the models that an application is linked to."""
        with _translated():
            return [link.model for link in self.client.get_application(app_name).links]

    # Models: deployment

    def build_and_deploy_model(
        self,
        name: str,
        version: str | int,
        input_type: str,
        model_data_path: str,
        base_image: str = "default",
        labels: Sequence[str] | None = None,
        container_registry: str | None = None,
        num_replicas: int = 1,
        batch_size: int = -1,
        pkgs_to_install: Sequence[str] | None = None,
    ) -> None:
        """Builds an image of a model directory (`build_model`) and deploys it (`deploy_model`)."""
        version = _checked(name, version)
        self._refuse_existing(name, version)
        image = self.build_model(name, version, model_data_path, base_image, container_registry, pkgs_to_install)
        self.deploy_model(name, version, input_type, image, labels, num_replicas, batch_size)

    def build_model(
        self,
        name: str,
        version: str | int,
        model_data_path: str,
        base_image: str = "default",
        container_registry: str | None = None,
        pkgs_to_install: Sequence[str] | None = None,
    ) -> str:
        """Makes an image of a model directory and returns its name. Needs no connection."""
        version = _checked(name, version)
        _log.info("Building model image with model data from %s", model_data_path)
        return self.cm.build_model(name, version, model_data_path, base_image, container_registry, pkgs_to_install)

    def deploy_model(
        self,
        name: str,
        version: str | int,
        input_type: str,
        image: str,
        labels: Sequence[str] | None = None,
        num_replicas: int = 1,
        batch_size: int = -1,
    ) -> None:
        """Starts replicas of a new version of a model and, once they answer health, makes it the current one.

        Until then queries go to the version before. If it cannot be deployed, nothing of it is left.

        Args:
            name: lower-case letters, digits and inner dashes.
            version: letters, digits and inner dots, dashes and underscores; numbers become text.
            input_type: as that of the applications that it is to be linked to.
            image: what the container manager starts replicas from; for the local one, a model directory.
            labels: text for people.
            num_replicas: how many replicas to start; 0 makes a version live without any.
            batch_size: the largest batch; -1: the frontend's choice.
        """
        version = _checked(name, version)
        client = self.client
        staged = _version(name, version, input_type, image, labels, batch_size)
        with _translated():
            client.create_model_version(staged)
        try:
            self.cm.deploy_model(name, version, input_type, image, num_replicas)
            self._wait_for_replicas(name, version, num_replicas)
            with _translated():
                client.activate_model_version(name, version)
        except BaseException:  # also Ctrl-C: a version that is not live must not keep its name
            self._undo_deployment(name, version)
            raise
        _log.info("Successfully registered model %s:%s", name, version)
        _log.info("Done deploying model %s:%s.", name, version)

    def register_model(
        self,
        name: str,
        version: str | int,
        input_type: str,
        image: str | None = None,
        labels: Sequence[str] | None = None,
        batch_size: int = -1,
    ) -> None:
        """Registers a version whose replicas somebody else starts, and makes it the current one."""
        version = _checked(name, version)
        with _translated():
            staged = _version(name, version, input_type, image or NO_CONTAINER, labels, batch_size)
            self.client.create_model_version(staged, activate=True)
        _log.info("Successfully registered model %s:%s", name, version)

    # Models: versions and replicas

    def get_current_model_version(self, name: str) -> str:
        """The version that queries go to which name none.

        Raises:
            ClipperException: there is no such model, or none of its versions is current.
        """
        with _translated():
            version = self.client.get_model(name).current_version
        if not version:
            raise ClipperException(f"No version of model {name} is current. Activate one with set_model_version.")
        return version

    def set_model_version(self, name: str, version: str | int, num_replicas: int | None = None) -> None:
        """Makes a version the current one, to roll back or forward; if asked to, scales it first."""
        version = str(version)
        if num_replicas is not None:
            self.set_num_replicas(name, num_replicas, version)
        with _translated():
            self.client.activate_model_version(name, version)
        _log.info("Version %s of model %s is now the current one", version, name)

    def get_num_replicas(self, name: str, version: str | int | None = None) -> int:
        """How many replicas are wanted of a version; None: of the current one."""
        version = self.get_current_model_version(name) if version is None else str(version)
        return self.cm.get_num_replicas(name, version)

    def set_num_replicas(self, name: str, num_replicas: int, version: str | int | None = None) -> None:
        """Brings the replicas of a version (None: of the current one) to a number, and waits until that is done."""
        version = self.get_current_model_version(name) if version is None else str(version)
        with _translated():
            found = self.client.get_model_version(name, version)
        if found.image in ("", NO_CONTAINER):
            raise ClipperException(
                f"Model {name}:{version} is a containerless model: its replicas are started by somebody else."
            )
        self.cm.set_num_replicas(name, version, str(found.input_type), found.image, num_replicas)
        self._wait_for_replicas(name, version, num_replicas)

    def get_all_models(self, verbose: bool = False) -> list[Any]:
        """All versions of all models, as "name:version" or, if `verbose`, a dict for each."""
        with _translated():
            found = self.client.list_model_versions()
        return [views.model_version(each) if verbose else f"{each.model}:{each.version}" for each in found]

    def get_model_info(self, name: str, version: str | int) -> dict[str, Any] | None:
        """What is known of a version of a model; None, with a warning, if there is none."""
        return _found(
            lambda: views.model_version(self.client.get_model_version(name, str(version))), f"Model {name}:{version}"
        )

    def get_all_model_replicas(self, verbose: bool = False) -> list[Any]:
        """All live replicas, as "name:version:number" or, if `verbose`, a dict for each."""
        with _translated():
            found = self.client.list_replicas()
        return [views.replica(each) if verbose else f"{each.model}:{each.version}:{each.replica_id}" for each in found]

    def get_model_replica_info(self, name: str, version: str | int, replica_id: int) -> dict[str, Any] | None:
        """What is known of a replica; None, with a warning, if there is none."""
        return _found(
            lambda: views.replica(self.client.get_replica(name, str(version), replica_id)),
            f"Replica {replica_id} of model {name}:{version}",
        )

    # Models: the end

    def stop_models(self, model_names: Sequence[str]) -> None:
        """Unregisters all versions of these models and stops their replicas."""
        versions = self._versions()
        self.stop_versioned_models({name: list(versions.get(name, [])) for name in _names(model_names)})

    def stop_versioned_models(self, model_versions_dict: Mapping[str, Sequence[str | int]]) -> None:
        """Unregisters versions of models, {name: [version, …]}, and stops their replicas."""
        chosen = {name: [str(each) for each in versions] for name, versions in model_versions_dict.items()}
        with _translated():
            for name, versions in chosen.items():
                for version in versions:
                    self.client.delete_model_version(name, version, force=True)
        self.cm.stop_models(chosen)
        _log.info("Stopped all containers for these models and versions: %s", chosen)

    def stop_inactive_model_versions(self, model_names: Sequence[str]) -> None:
        """Unregisters all versions of these models but the current ones, and stops their replicas."""
        versions = self._versions()
        inactive = {
            name: [version for version, is_current in versions.get(name, {}).items() if not is_current]
            for name in _names(model_names)
        }
        self.stop_versioned_models(inactive)

    def stop_all_model_containers(self) -> None:
        """Stops the replicas of all models and unregisters these. Works also while the manager is down."""
        if self._connected is not None:
            try:
                self.stop_versioned_models({name: list(versions) for name, versions in self._versions().items()})
            except ClipperException as error:
                _log.warning("Models stay registered: %s", error)
        self.cm.stop_all_model_containers()
        _log.info("Stopped all Clipper model containers")

    # Looking in

    def get_clipper_logs(self, logging_dir: str = "clipper_logs/") -> list[str]:
        """Writes the logs of all processes into a directory and returns the files' paths."""
        self.client  # noqa: B018  # raises where there is no connection
        return self.cm.get_logs(logging_dir)

    def inspect_instance(self) -> dict[str, Any]:
        """The cluster's metrics, as a dict."""
        import httpx  # here and below, since most programs never come here and these take long to import

        url = f"http://{self.get_query_addr()}/metrics"
        try:
            reply = httpx.get(url, timeout=10, trust_env=False)
        except httpx.HTTPError as error:
            raise ClipperException(f"{url} cannot be read: {error}") from error
        if reply.status_code != httpx.codes.OK:
            raise ClipperException(f"{url} answered {reply.status_code}: {reply.text[:500]}")
        found: dict[str, Any] = reply.json()
        return found

    def get_query_addr(self) -> str:
        """Where REST predictions are reached: host:port."""
        self.client  # noqa: B018
        return self.cm.get_query_addr()

    def get_metric_addr(self) -> str:
        """Where metrics are reached: host:port."""
        self.client  # noqa: B018
        return self.cm.get_metric_addr()

    def test_predict_function(self, query: Mapping[str, Any], func: Callable[[Any], Any], input_type: str) -> Any:
        """Tries a function here as a replica would call it, without a cluster; returns its outputs.

        Args:
            query: as REST takes it: {"input": X} or {"input_batch": [X, …]}.
            func: the function, from a batch of inputs to a list of outputs.
            input_type: "doubles", "floats", "integers", "strings", "bytes" or "tensors".
        """
        from clipper_admin import rehearsal

        return rehearsal.rehearse(query, func, input_type)

    # Parts of the above

    def _use_cluster(self) -> None:
        self.close()
        self._connected = Client(self.cm.get_manager_addr(), self.cm.get_frontend_addr())

    def _versions(self) -> dict[str, dict[str, bool]]:
        """The versions of each model, and whether each is current."""
        found: dict[str, dict[str, bool]] = {}
        with _translated():
            for each in self.client.list_model_versions():
                found.setdefault(each.model, {})[each.version] = each.is_current
        return found

    def _refuse_existing(self, name: str, version: str) -> None:
        if version in self._versions().get(name, {}):
            with _translated():
                raise VersionExists(model=name, version=version)

    def _wait_for_replicas(self, name: str, version: str, count: int) -> None:
        """Waits until the registry counts as many live replicas as there are to be."""
        until = time.monotonic() + _LIVE_WITHIN_S
        pause_s = 0.01
        while True:
            with _translated():
                found = len(self.client.list_replicas(name, version))
            if found == count:
                return
            if time.monotonic() > until:
                raise ClipperException(
                    f"{found} replicas of {name}:{version} are live after {_LIVE_WITHIN_S:.0f} s, not {count}. "
                    "Their logs tell more (get_clipper_logs)."
                )
            time.sleep(pause_s)
            pause_s = min(pause_s * 2, 0.2)

    def _undo_deployment(self, name: str, version: str) -> None:
        try:
            self.client.delete_model_version(name, version, force=True)
            self.cm.stop_models({name: [version]})
        except (ClipperException, ClipperError) as error:
            _log.warning("Version %s:%s could not be taken back: %s", name, version, error)


@contextmanager
def _translated() -> Iterator[None]:
    """Raises ClipperException for the errors of services and for values that are not allowed."""
    try:
        yield
    except (ClipperError, ValueError) as error:
        raise ClipperException(str(error)) from error


def _found(look_up: Callable[[], dict[str, Any]], what: str) -> dict[str, Any] | None:
    try:
        return look_up()
    except ClipperError as error:
        if error.code != Code.NOT_FOUND:
            raise ClipperException(str(error)) from error
        _log.warning("%s was not found: %s", what, error)
        return None


def _checked(name: str, version: str | int) -> str:
    with _translated():
        checked_name(name)
        return checked_version(str(version))


def _names(model_names: Sequence[str]) -> list[str]:
    if isinstance(model_names, str):
        raise ClipperException(f'Give a list of names: ["{model_names}"]')
    return list(model_names)


def _version(
    name: str, version: str, input_type: str, image: str, labels: Sequence[str] | None, batch_size: int
) -> ModelVersion:
    if batch_size < 1 and batch_size != -1:
        raise ClipperException(f"batch_size is {batch_size}; give the largest batch, or -1 for the frontend's choice.")
    with _translated():
        kind = InputType.parse(input_type)
    return ModelVersion(name, version, kind, tuple(labels or ()), image, max_batch_rows=max(batch_size, 0))
