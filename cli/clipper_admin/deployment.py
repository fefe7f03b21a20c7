"""How a version of a model is deployed, and goes live once it is up (contract A8 to A12)."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypedDict, Unpack

from clipper_admin import given, golden
from clipper_admin.client import Client
from clipper_admin.container_manager import NO_CONTAINER, ContainerManager
from clipper_admin.exceptions import ClipperException, UnconnectedException, translated
from clipper_admin.golden import Golden
from clipper_admin.resources import ModelVersion
from clipper_rpc.errors import ClipperError, VersionExists
from clipper_runtime.names import InputType, checked_name

_LIVE_WITHIN_S = 60.0
_ANSWERED_WITHIN_S = 60.0
_LARGEST_BATCH = 2**31 - 1
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


class Deployment:
    """The part of ClipperConnection that deploys versions."""

    cm: ContainerManager
    _connected: Client | None

    @property
    def client(self) -> Client:
        """The gRPC client of the connected cluster."""
        if self._connected is None:
            raise UnconnectedException
        return self._connected

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
        given.replicas(num_replicas)
        golden.checked(options.get("golden") or (), _version(name, version, input_type, "", labels, batch_size))
        packages = given.texts(pkgs_to_install, "pkgs_to_install", '["xgboost==2.1.1"]')
        self._refuse_existing(name, version)
        image = self.build_model(name, version, model_data_path, base_image, container_registry, packages)
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
        packages = given.texts(pkgs_to_install, "pkgs_to_install", '["xgboost==2.1.1"]')
        _log.info("Building model image with model data from %s", model_data_path)
        return self.cm.build_model(name, version, model_data_path, base_image, container_registry, packages)

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
        given.replicas(num_replicas)
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
        steps: list[Callable[[], None]] = [
            partial(self.client.delete_model_version, name, version, force=True),
            partial(self.cm.stop_models, {name: [version]}),
        ]
        for undo in steps:
            try:
                undo()
            except (ClipperException, ClipperError) as error:
                _log.warning("Version %s:%s could not be taken back: %s", name, version, error)


def _checked(name: str, version: str | int) -> str:
    with translated():
        checked_name(name)
        return given.version(version)


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
    largest = 0
    if batch_size != -1:
        hint = "give the largest batch, from 1 to 2^31, or -1 for the frontend's choice"
        largest = given.whole(batch_size, "batch_size", 1, _LARGEST_BATCH, hint)
    told = given.texts(labels, "labels", '["baseline"]')
    with translated():
        kind = InputType.parse(input_type)
    return ModelVersion(name, version, kind, tuple(told), image, max_batch_rows=largest, no_cache=not cache)
