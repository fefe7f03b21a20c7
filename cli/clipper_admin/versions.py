"""What one can do with models: deploy versions, make one current, scale, stop (contract A8 to A27)."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

from clipper_admin import views
from clipper_admin.client import Client
from clipper_admin.container_manager import NO_CONTAINER, ContainerManager
from clipper_admin.exceptions import ClipperException, UnconnectedException, found_or_none, translated
from clipper_admin.resources import ModelVersion
from clipper_rpc.errors import ClipperError, VersionExists
from clipper_runtime.names import InputType, checked_name, checked_version

_LIVE_WITHIN_S = 60.0
_log = logging.getLogger(__name__)


class Versions:
    """The part of ClipperConnection that is about models."""

    cm: ContainerManager
    _connected: Client | None

    @property
    def client(self) -> Client:
        """The gRPC client of the connected cluster."""
        if self._connected is None:
            raise UnconnectedException
        return self._connected

    # Deployment

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
        with translated():
            client.create_model_version(staged)
        try:
            self.cm.deploy_model(name, version, input_type, image, num_replicas)
            self._wait_for_replicas(name, version, num_replicas)
            with translated():
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
        with translated():
            staged = _version(name, version, input_type, image or NO_CONTAINER, labels, batch_size)
            self.client.create_model_version(staged, activate=True)
        _log.info("Successfully registered model %s:%s", name, version)

    # Versions and replicas

    def get_current_model_version(self, name: str) -> str:
        """The version that queries go to which name none.

        Raises:
            ClipperException: there is no such model, or none of its versions is current.
        """
        with translated():
            version = self.client.get_model(name).current_version
        if not version:
            raise ClipperException(f"No version of model {name} is current. Activate one with set_model_version.")
        return version

    def set_model_version(self, name: str, version: str | int, num_replicas: int | None = None) -> None:
        """Makes a version the current one, to roll back or forward; if asked to, scales it first."""
        version = str(version)
        if num_replicas is not None:
            self.set_num_replicas(name, num_replicas, version)
        with translated():
            self.client.activate_model_version(name, version)
        _log.info("Version %s of model %s is now the current one", version, name)

    def get_num_replicas(self, name: str, version: str | int | None = None) -> int:
        """How many replicas are wanted of a version; None: of the current one."""
        version = self.get_current_model_version(name) if version is None else str(version)
        return self.cm.get_num_replicas(name, version)

    def set_num_replicas(self, name: str, num_replicas: int, version: str | int | None = None) -> None:
        """Brings the replicas of a version (None: of the current one) to a number, and waits until that is done."""
        version = self.get_current_model_version(name) if version is None else str(version)
        with translated():
            found = self.client.get_model_version(name, version)
        if found.image in ("", NO_CONTAINER):
            raise ClipperException(
                f"Model {name}:{version} is a containerless model: its replicas are started by somebody else."
            )
        self.cm.set_num_replicas(name, version, str(found.input_type), found.image, num_replicas)
        self._wait_for_replicas(name, version, num_replicas)

    def get_all_models(self, verbose: bool = False) -> list[Any]:
        """All versions of all models, as "name:version" or, if `verbose`, a dict for each."""
        with translated():
            found = self.client.list_model_versions()
        return [views.model_version(each) if verbose else f"{each.model}:{each.version}" for each in found]

    def get_model_info(self, name: str, version: str | int) -> dict[str, Any] | None:
        """What is known of a version of a model; None, with a warning, if there is none."""
        return found_or_none(
            lambda: views.model_version(self.client.get_model_version(name, str(version))), f"Model {name}:{version}"
        )

    def get_all_model_replicas(self, verbose: bool = False) -> list[Any]:
        """All live replicas, as "name:version:number" or, if `verbose`, a dict for each."""
        with translated():
            found = self.client.list_replicas()
        return [views.replica(each) if verbose else f"{each.model}:{each.version}:{each.replica_id}" for each in found]

    def get_model_replica_info(self, name: str, version: str | int, replica_id: int) -> dict[str, Any] | None:
        """What is known of a replica; None, with a warning, if there is none."""
        return found_or_none(
            lambda: views.replica(self.client.get_replica(name, str(version), replica_id)),
            f"Replica {replica_id} of model {name}:{version}",
        )

    # The end

    def stop_models(self, model_names: Sequence[str]) -> None:
        """Unregisters all versions of these models and stops their replicas."""
        versions = self._versions()
        self.stop_versioned_models({name: list(versions.get(name, [])) for name in _names(model_names)})

    def stop_versioned_models(self, model_versions_dict: Mapping[str, Sequence[str | int]]) -> None:
        """Unregisters versions of models, {name: [version, …]}, and stops their replicas."""
        chosen = {name: [str(each) for each in versions] for name, versions in model_versions_dict.items()}
        with translated():
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

    # Parts of the above

    def _versions(self) -> dict[str, dict[str, bool]]:
        """The versions of each model, and whether each is current."""
        found: dict[str, dict[str, bool]] = {}
        with translated():
            for each in self.client.list_model_versions():
                found.setdefault(each.model, {})[each.version] = each.is_current
        return found

    def _refuse_existing(self, name: str, version: str) -> None:
        if version in self._versions().get(name, {}):
            with translated():
                raise VersionExists(model=name, version=version)

    def _wait_for_replicas(self, name: str, version: str, count: int) -> None:
        """Waits until the registry counts as many live replicas as there are to be."""
        until = time.monotonic() + _LIVE_WITHIN_S
        pause_s = 0.01
        while True:
            with translated():
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


def _checked(name: str, version: str | int) -> str:
    with translated():
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
    with translated():
        kind = InputType.parse(input_type)
    return ModelVersion(name, version, kind, tuple(labels or ()), image, max_batch_rows=max(batch_size, 0))
