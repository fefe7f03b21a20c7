"""What one can do with models: deploy versions, make one current, scale, stop (contract A8 to A27)."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict, Unpack

from clipper_admin import golden, views
from clipper_admin.client import Client
from clipper_admin.container_manager import NO_CONTAINER, ContainerManager
from clipper_admin.exceptions import ClipperException, UnconnectedException, found_or_none, translated
from clipper_admin.golden import Golden
from clipper_admin.resources import ModelVersion
from clipper_rpc.errors import ClipperError, VersionExists
from clipper_runtime.names import InputType, checked_name, checked_version

_LIVE_WITHIN_S = 60.0
_ANSWERED_WITHIN_S = 60.0
_log = logging.getLogger(__name__)


class Rollout(TypedDict, total=False):
    """How a new version goes live: options of everything that deploys."""

    activate: bool
    """Whether it becomes the current version once it is up; else it is staged: `set_model_version` lets it go live,
    and until then only queries that name the version get to it. Default: True."""
    golden: Golden | None
    """Inputs with expected outputs, [(input, expected), …]: the version is asked them before it goes live, and is taken
    back if an answer differs. Instead of an output, a function may tell whether one will do. Default: none."""
    cache: bool
    """Whether frontends may keep its answers, and share one among identical queries that come at once. False for a
    model that answers the same input differently. Default: True."""


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
        **options: Unpack[Rollout],
    ) -> None:
        """Builds an image of a model directory (`build_model`) and deploys it (`deploy_model`)."""
        version = _checked(name, version)
        golden.checked(options.get("golden") or (), _version(name, version, input_type, "", labels, batch_size))
        self._refuse_existing(name, version)
        image = self.build_model(name, version, model_data_path, base_image, container_registry, pkgs_to_install)
        self.deploy_model(name, version, input_type, image, labels, num_replicas, batch_size, **options)

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
        **options: Unpack[Rollout],
    ) -> None:
        """Starts replicas of a new version of a model and, once they answer health, makes it the current one.

        Until then queries go to the version before. If it cannot be deployed, nothing of it is left. The version
        before keeps running, and can come back (`set_model_version`), until it is stopped.

        Args:
            name: lower-case letters, digits and inner dashes.
            version: letters, digits and inner dots, dashes and underscores; numbers become text.
            input_type: as that of the applications that it is to be linked to.
            image: what the container manager starts replicas from; for the local one, a model directory.
            labels: text for people.
            num_replicas: how many replicas to start; 0 makes a version live without any.
            batch_size: the largest batch; -1: the frontend's choice.
            options: activate, golden, cache: see `Rollout`.

        Raises:
            ClipperException: the version is there already, its replicas do not come up (whose last words are told), or
                it fails a golden example.
        """
        version = _checked(name, version)
        client, is_live = self.client, options.get("activate", True)
        staged = _version(name, version, input_type, image, labels, batch_size, cache=options.get("cache", True))
        examples = golden.checked(options.get("golden") or (), staged)
        if examples and num_replicas < 1:
            raise ClipperException("Golden examples need a replica to be asked: give num_replicas of at least 1.")
        with translated():
            client.create_model_version(staged)
        try:
            self.cm.deploy_model(name, version, input_type, image, num_replicas)
            self._wait_for_replicas(name, version, num_replicas)
            if examples:
                _log.info("Asking %s:%s %d golden examples", name, version, len(examples))
                golden.check(client, staged, examples, _ANSWERED_WITHIN_S)
            if is_live:
                with translated():
                    client.activate_model_version(name, version)
        except BaseException:  # also Ctrl-C: a version that is not live must not keep its name
            self._undo_deployment(name, version)
            raise
        _log.info("Successfully registered model %s:%s", name, version)
        if is_live:
            _log.info("Done deploying model %s:%s.", name, version)
        else:
            _log.info(
                "Done deploying model %s:%s. Go live with set_model_version(%r, %r)", name, version, name, version
            )

    def register_model(
        self,
        name: str,
        version: str | int,
        input_type: str,
        image: str | None = None,
        labels: Sequence[str] | None = None,
        batch_size: int = -1,
        *,
        cache: bool = True,
    ) -> None:
        """Registers a version whose replicas somebody else starts, and makes it the current one."""
        version = _checked(name, version)
        with translated():
            staged = _version(name, version, input_type, image or NO_CONTAINER, labels, batch_size, cache=cache)
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
        if not 0 < share <= 1:
            raise ClipperException(f"share is {share}; give a share of the queries, above 0 and at most 1.")
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

    def _has_replicas(self, name: str, version: str) -> bool:
        with translated():
            return bool(self.client.list_replicas(name, version))

    def _wait_for_replicas(self, name: str, version: str, count: int) -> None:
        """Waits until the registry counts as many live replicas as there are to be."""
        _log.debug("Waiting until %d replicas of %s:%s are registered", count, name, version)
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
    name: str,
    version: str,
    input_type: str,
    image: str,
    labels: Sequence[str] | None,
    batch_size: int,
    *,
    cache: bool = True,
) -> ModelVersion:
    if batch_size < 1 and batch_size != -1:
        raise ClipperException(f"batch_size is {batch_size}; give the largest batch, or -1 for the frontend's choice.")
    with translated():
        kind = InputType.parse(input_type)
    return ModelVersion(
        name, version, kind, tuple(labels or ()), image, max_batch_rows=max(batch_size, 0), no_cache=not cache
    )
