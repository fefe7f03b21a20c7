"""What there is of a cluster in an engine: its containers, the ports that they got, their logs."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from clipper_admin.containers.engine import Container, Engine, translated
from clipper_admin.containers.labels import CLUSTER, MODEL, Door, Part, model_value
from clipper_admin.exceptions import NotRunningException

_STOPPED = ("exited", "dead", "removing", "paused")
_STOP_ORDER = (Part.GATEWAY, Part.FRONTEND, None, Part.MANAGER, Part.REDIS, Part.LOGS)
"""Against the way of a query: first what takes queries, then the replicas (None), last what keeps state."""


class Found:
    """The containers of one cluster, looked up each time."""

    def __init__(self, engine: Engine, cluster: str) -> None:
        self._engine = engine
        self._cluster = cluster
        self._label = f"{CLUSTER}={cluster}"

    def all(self) -> list[Container]:
        """Everything, oldest first."""
        return self._engine.containers(self._label)

    def part(self, part: Part) -> Container | None:
        """The container of a part; None if there is none."""
        return next(iter(self._engine.containers(self._label, part.label)), None)

    def replicas(self) -> list[Container]:
        """The replicas of all models, oldest first."""
        return self._engine.containers(self._label, MODEL)

    def replicas_of(self, name: str, version: str) -> list[Container]:
        """The replicas of a version of a model, oldest first."""
        return self._engine.containers(self._label, f"{MODEL}={model_value(name, version)}")

    def ports(self) -> dict[Door, int]:
        """The published ports.

        Raises:
            NotRunningException: there is no such cluster, or not all of it runs.
        """
        ports: dict[Door, int] = {}
        stopped = []
        for part in (Part.MANAGER, Part.FRONTEND, Part.GATEWAY):
            found = self.part(part)
            if found is None:
                raise NotRunningException(self._told_missing(part))
            if found.status in _STOPPED:
                stopped.append(f"{found.name} is {found.status}")
            ports.update({door: int(found.labels[door]) for door in Door if door in found.labels})
        if stopped:
            raise NotRunningException(
                f"Cluster {self._cluster} does not run: {'; '.join(stopped)}. Start its containers with `docker "
                "start`, or remove it with stop_all() and start it anew."
            )
        return ports

    def in_order_of_stop(self) -> list[list[Container]]:
        """Everything, in groups that are stopped one after the other."""
        groups: list[list[Container]] = [[] for _ in _STOP_ORDER]
        for each in self.all():
            part = next((part for part in Part if part.label in each.labels), None)
            groups[_STOP_ORDER.index(part)].append(each)
        return groups

    def write_logs(self, directory: Path) -> list[str]:
        """Writes the log of each container into a file of its own, and returns their paths."""
        directory.mkdir(parents=True, exist_ok=True)
        return [_write_log(each, directory) for each in self.all()]

    def _told_missing(self, part: Part) -> str:
        others = self._engine.clusters()
        if self._cluster in others:
            return f"Cluster {self._cluster} has no {part}. Remove what is left with stop_all() and start it anew."
        there_are = f"There are: {', '.join(others)}." if others else "There is none at all."
        return f"Docker runs no cluster {self._cluster}. {there_are} Start it with start_clipper()."


def _write_log(container: Container, directory: Path) -> str:
    path = directory / f"image_{_short(container.attrs['Image'])}:container_{_short(container.id)}.log"
    with (
        translated(f"read the logs of {container.name}"),
        closing(container.logs(stream=True, follow=False)) as parts,
        path.open("wb") as file,
    ):
        file.writelines(parts)
    return str(path)


def _short(identifier: str) -> str:
    return identifier.removeprefix("sha256:")[:12]
