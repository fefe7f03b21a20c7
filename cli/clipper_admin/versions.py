"""What one can do with models that are deployed: make a version current, scale, look, stop (contract A13 to A27)."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from clipper_admin import given, views
from clipper_admin.container_manager import NO_CONTAINER
from clipper_admin.deployment import Deployment
from clipper_admin.exceptions import ClipperException, found_or_none, translated

_HIGHEST_REPLICA = 2**63 - 1
_log = logging.getLogger(__name__)


class Versions(Deployment):
    """The part of ClipperConnection that is about models that are deployed."""

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

    def set_model_version(
        self, name: str, version: str | int, num_replicas: int | None = None, *, share: float = 1.0
    ) -> None:
        """Makes a version the current one, to roll back or forward; if asked to, scales it first.

        Args:
            name: the model's name.
            version: one that is deployed; what was current before keeps running.
            num_replicas: how many replicas of it there shall be; None leaves them as they are.
            share: below 1, the version is only put on trial (a canary): it gets this share of the queries, chosen by
                chance, and the current version the rest. Make either of them the current one to end the trial.
        """
        version = str(version)
        share = given.share(share)
        if num_replicas is not None:
            self.set_num_replicas(name, num_replicas, version)
        elif not self._has_replicas(name, version):
            _log.warning("No replica of %s:%s is up: its queries will get default outputs", name, version)
        with translated():
            self.client.activate_model_version(name, version, share)
        if share < 1:
            _log.info("Version %s of model %s is now on trial with %g %% of the queries", version, name, share * 100)
        else:
            _log.info("Version %s of model %s is now the current one", version, name)

    def ask_model_version(
        self, name: str, version: str | int, inputs: Sequence[Any], *, timeout_s: float = 10.0
    ) -> list[Any]:
        """What a version answers to these inputs, past all applications: also one that is not live yet.

        Args:
            name: the model's name.
            version: one that has a replica.
            inputs: of its input type, up to a thousand; they are one batch.
            timeout_s: how long the model may take.

        Returns:
            For each input an output, or a `clipper_admin.resources.Failure` where the model raised.
        """
        with translated():
            found = self.client.get_model_version(name, str(version))
            return self.client.ask_model_version(name, str(version), found.input_type, inputs, timeout_s=timeout_s)

    def get_num_replicas(self, name: str, version: str | int | None = None) -> int:
        """How many replicas are wanted of a version; None: of the current one."""
        version = self.get_current_model_version(name) if version is None else str(version)
        return self.cm.get_num_replicas(name, version)

    def set_num_replicas(self, name: str, num_replicas: int, version: str | int | None = None) -> None:
        """Brings the replicas of a version (None: of the current one) to a number, and waits until that is done."""
        num_replicas = given.replicas(num_replicas)
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
        replica_id = given.whole(replica_id, "replica_id", 0, _HIGHEST_REPLICA)
        return found_or_none(
            lambda: views.replica(self.client.get_replica(name, str(version), replica_id)),
            f"Replica {replica_id} of model {name}:{version}",
        )

    # The end

    def stop_models(self, model_names: Sequence[str]) -> None:
        """Unregisters all versions of these models and stops their replicas."""
        names = given.texts(model_names, "model_names", '["sum-model"]')
        versions = self._versions()
        self.stop_versioned_models({name: list(versions.get(name, [])) for name in names})

    def stop_versioned_models(self, model_versions_dict: Mapping[str, Sequence[str | int]]) -> None:
        """Unregisters versions of models, {name: [version, …]}, and stops their replicas.

        Raises:
            ClipperException: one of them is not there; then nothing is done.
        """
        chosen = given.versions(model_versions_dict)
        each_version = [(name, version) for name, versions in chosen.items() for version in versions]
        with translated():
            for name, version in each_version:  # all are there, or nothing is done
                self.client.get_model_version(name, version)
            for name, version in each_version:
                self.client.delete_model_version(name, version, force=True)
        self.cm.stop_models(chosen)
        _log.info("Stopped all containers for these models and versions: %s", chosen)

    def stop_inactive_model_versions(self, model_names: Sequence[str]) -> None:
        """Unregisters all versions of these models but the current ones, and stops their replicas."""
        names = given.texts(model_names, "model_names", '["sum-model"]')
        versions = self._versions()
        inactive = {
            name: [version for version, is_current in versions.get(name, {}).items() if not is_current]
            for name in names
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

    def _has_replicas(self, name: str, version: str) -> bool:
        with translated():
            return bool(self.client.list_replicas(name, version))
