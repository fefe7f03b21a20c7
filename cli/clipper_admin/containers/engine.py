"""The Docker engine: containers started, found and stopped; its errors in our words.

Containers come back when they crash and when the engine starts again, until they are stopped on purpose.
"""

from __future__ import annotations

import io
import logging
import random
import re
import tarfile
import weakref
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import docker
import docker.errors
import requests.exceptions

from clipper_admin.containers.labels import CLUSTER, NETWORK
from clipper_admin.containers.recipes import Recipe
from clipper_admin.exceptions import ClipperException, InvalidArgumentException

_log = logging.getLogger(__name__)

Container = Any
"""A container of the Docker SDK, which has no types."""

_RANDOM_PORTS = range(10000, 32000)
"""Below the ephemeral ports of Linux, so that no outgoing connection has one that a container wants again later."""
_TRIES = 20
_STOP_WITHIN_S = 20
_CALL_WITHIN_S = 120
_COMES_BACK = {"Name": "unless-stopped"}
_OURS = frozenset(("name", "image", "command", "ports", "network", "network_mode", "detach", "restart_policy"))
"""What `extra` options cannot change: without these a cluster is not found or does not work."""


class Engine:
    """A Docker engine: the one that DOCKER_HOST names, else this machine's. Connects when it is first used."""

    def __init__(self, network: str, host_ip: str, extra: Mapping[str, Any]) -> None:
        """Takes the network of all containers, the host's address to publish ports on, and options for all of them."""
        self._network = network
        self._host_ip = host_ip
        self._extra = dict(extra)
        self._sdk: Any = None
        if clash := sorted(_OURS & set(extra)):
            raise ClipperException(
                f"extra_container_kwargs cannot have {', '.join(clash)}: these are set for each container."
            )

    @property
    def sdk(self) -> Any:
        """The Docker SDK's client.

        Raises:
            ClipperException: no engine answers.
        """
        if self._sdk is None:
            try:
                client = docker.from_env(timeout=_CALL_WITHIN_S)
                client.ping()
            except (docker.errors.DockerException, requests.exceptions.RequestException) as error:
                raise ClipperException(
                    f"No Docker engine answers: {_reason(error)}. Start it, point DOCKER_HOST to it, or run a local "
                    "cluster without Docker: LocalContainerManager."
                ) from error
            self._sdk = client
            weakref.finalize(self, client.close)
        return self._sdk

    # Containers

    def containers(self, *labels: str) -> list[Container]:
        """All containers, stopped ones too, that have all of these labels (`key` or `key=value`), oldest first."""
        with translated("look for containers"):
            found = self.sdk.containers.list(all=True, ignore_removed=True, filters={"label": list(labels)})
            return sorted(found, key=lambda each: str(each.attrs["Created"]))

    def start(self, recipe: Recipe) -> Container:
        """Starts a container; ports that are taken are exchanged for free ones.

        Raises:
            ClipperException: its image cannot be had, or it cannot be started.
        """
        self.image(recipe.image)
        wanted = {door: port or random.choice(_RANDOM_PORTS) for door, (_, port) in recipe.doors.items()}
        for _ in range(_TRIES):
            container = self._created(recipe, wanted)
            try:
                with translated(f"start container {recipe.name}"):
                    if recipe.files:
                        container.put_archive("/", _archive(recipe.files))
                    container.start()
                return container
            except BaseException as error:
                self.remove([container])
                taken = [door for door, port in wanted.items() if _says_taken(error, port)]
                if not taken:
                    raise
            for door in taken:
                _log.debug("Port %d is taken; another one is used", wanted[door])
                wanted[door] = random.choice(_RANDOM_PORTS)
        raise ClipperException(f"No free port was found for {recipe.name} in {_TRIES} tries.")

    def stop(self, containers: Iterable[Container], *, graceful: bool = True) -> None:
        """Stops containers, all at once, and removes them. Ones that are gone already are no error."""
        found = list(containers)
        if graceful and found:
            with ThreadPoolExecutor(len(found)) as pool:
                list(pool.map(self._stop_one, found))
        self.remove(found)

    def remove(self, containers: Iterable[Container]) -> None:
        """Removes containers at once, with what runs in them."""
        for each in containers:
            with translated(f"remove container {each.name}"), _gone_is_fine():
                each.remove(force=True, v=True)

    def _stop_one(self, container: Container) -> None:
        with translated(f"stop container {container.name}"), _gone_is_fine():
            container.stop(timeout=_STOP_WITHIN_S)

    def _created(self, recipe: Recipe, ports: Mapping[Any, int]) -> Container:
        arguments = self._arguments(recipe, ports)
        try:
            with translated(f"create container {recipe.name}"):
                return self.sdk.containers.create(recipe.image, **arguments)
        except (TypeError, ValueError) as error:  # the SDK's, of what is none of ours
            raise InvalidArgumentException(f"extra_container_kwargs cannot be: {error}") from error

    def _arguments(self, recipe: Recipe, ports: Mapping[Any, int]) -> dict[str, Any]:
        arguments: dict[str, Any] = {
            "detach": True,
            "init": True,
            **recipe.options,
            **self._extra,
            "name": recipe.name,
            "network": self._network,
            "restart_policy": {"Name": "no"} if recipe.is_on_trial else _COMES_BACK,
            "ports": {f"{recipe.doors[door][0]}/tcp": (self._host_ip, port) for door, port in ports.items()},
        }
        if recipe.command:
            arguments["command"] = list(recipe.command)
        for key, own in (
            ("labels", {**recipe.labels, **{str(door): str(port) for door, port in ports.items()}}),
            ("environment", dict(recipe.environment)),
            ("volumes", dict(recipe.options.get("volumes", {}))),  # type: ignore[call-overload]
            ("tmpfs", dict(recipe.options.get("tmpfs", {}))),  # type: ignore[call-overload]
        ):
            more = self._extra.get(key, {})
            if not isinstance(more, Mapping):
                raise ClipperException(f"extra_container_kwargs[{key!r}] must be a dict, since others are added to it.")
            arguments[key] = {**own, **more}
        return arguments

    # Images

    def image(self, name: str) -> Any:
        """An image of this name; it is pulled if it is not here.

        Raises:
            ClipperException: it is neither here nor in its registry.
        """
        try:
            return self.sdk.images.get(name)
        except docker.errors.ImageNotFound:
            _log.info("Pulling image %s", name)
        except (docker.errors.APIError, requests.exceptions.RequestException) as error:
            raise ClipperException(f"Cannot look for image {name}: {_reason(error)}") from error
        try:
            return self.sdk.images.pull(*_name_and_tag(name))
        except (docker.errors.DockerException, requests.exceptions.RequestException) as error:
            raise ClipperException(
                f"There is no image {name} here, and it cannot be pulled: {_reason(error)}. Clipper's own images are "
                "built by `make images`; $CLIPPER_REGISTRY and $CLIPPER_VERSION say which ones are used."
            ) from error

    def clusters(self) -> list[str]:
        """The names of all clusters of this engine."""
        return sorted({str(each.labels[CLUSTER]) for each in self.containers(CLUSTER)})

    # Network and volumes

    def ensure_network(self) -> None:
        """Creates the network if there is none of its name."""
        with translated(f"create network {self._network}"):
            if self._networks():
                return
            try:
                self.sdk.networks.create(self._network, check_duplicate=True, labels={NETWORK: ""})
            except docker.errors.APIError as error:
                if error.status_code != 409:  # another one was quicker
                    raise

    def release_network(self) -> None:
        """Removes the network if it was created here and no container is in it any more."""
        with translated(f"remove network {self._network}"):
            for each in self._networks(label=NETWORK):
                try:
                    each.remove()
                except docker.errors.APIError as error:
                    if "active endpoints" not in str(error) and error.status_code not in (403, 404):
                        raise

    def _networks(self, **filters: str) -> list[Any]:
        # Docker also finds those whose names only begin or end so.
        found = self.sdk.networks.list(names=[self._network], filters=filters)
        return [each for each in found if each.name == self._network]

    def ensure_volume(self, name: str, cluster: str) -> None:
        """Creates a volume of the cluster's if there is none of this name."""
        with translated(f"create volume {name}"):
            try:
                self.sdk.volumes.get(name)
            except docker.errors.NotFound:
                self.sdk.volumes.create(name, labels={CLUSTER: cluster})

    def remove_volumes(self, cluster: str) -> None:
        """Removes the volumes that were created for the cluster."""
        with translated("remove volumes"):
            for each in self.sdk.volumes.list(filters={"label": f"{CLUSTER}={cluster}"}):
                with _gone_is_fine():
                    each.remove()

    def remove_images(self, cluster: str) -> None:
        """Removes the images of models that were built for the cluster."""
        with translated("remove images"):
            for each in self.sdk.images.list(filters={"label": f"{CLUSTER}={cluster}"}):
                with _gone_is_fine():
                    self.sdk.images.remove(each.id, force=True)


def keep_running(containers: Iterable[Container]) -> None:
    """Lets containers come back from now on, whenever they crash or the engine is started again."""
    for each in containers:
        with translated(f"set the restart policy of {each.name}"):
            each.update(restart_policy=_COMES_BACK)


def state(container: Container) -> tuple[str, int]:
    """What Docker says of a container now ("running", "restarting", "exited"…, "gone"), and how often it crashed."""
    with translated(f"look at container {container.name}"):
        try:
            container.reload()
        except docker.errors.NotFound:
            return "gone", 0
        return str(container.status), int(container.attrs.get("RestartCount", 0))


def last_lines(container: Container, count: int = 20) -> str:
    """What a container has written last."""
    try:
        return str(container.logs(tail=count).decode(errors="replace")).strip()
    except docker.errors.DockerException as error:
        return f"(no logs: {_reason(error)})"


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Raises ClipperException for errors of the engine, and of the way to it."""
    try:
        yield
    except (docker.errors.DockerException, requests.exceptions.RequestException) as error:
        raise ClipperException(f"Docker cannot {doing}: {_reason(error)}") from error


@contextmanager
def _gone_is_fine() -> Iterator[None]:
    try:
        yield
    except docker.errors.NotFound:
        pass
    except docker.errors.APIError as error:
        if error.status_code != 409 or "already in progress" not in str(error):
            raise


def _reason(error: Exception) -> str:
    explanation = getattr(error, "explanation", None)
    return str(explanation or error).strip().rstrip(".")


def _says_taken(error: BaseException, port: int) -> bool:
    text = str(error)
    return bool(re.search(rf":{port}\b", text)) and ("already allocated" in text or "already in use" in text)


def _name_and_tag(name: str) -> tuple[str, str]:
    repository, colon, tag = name.rpartition(":")
    return (repository, tag) if colon and "/" not in tag else (name, "latest")


def _archive(files: Mapping[str, str]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for path, text in files.items():
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.size, entry.mode = len(text.encode()), 0o644
            archive.addfile(entry, io.BytesIO(text.encode()))
    return packed.getvalue()
