"""All processes of a local cluster, started and stopped in the right order, and as many replicas as are wanted."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import Coroutine, Iterable
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from clipper_admin.supervisor.child import Child, ChildFailed
from clipper_admin.supervisor.cluster_dir import ClusterDir
from clipper_admin.supervisor.commands import Command
from clipper_admin.supervisor.leftovers import Ledger
from clipper_admin.supervisor.records import Addresses, ClusterStatus, Deployment, State

_UP_WITHIN_S = 60.0


class CommandBook(Protocol):
    """Says how each process is started."""

    def addresses(self) -> Addresses:
        """Where the cluster is reached."""

    def redis(self) -> Command | None:
        """Redis; None if it is not ours."""

    def manager(self) -> Command:
        """The manager."""

    def frontend(self) -> Command:
        """The frontend."""

    def gateway(self) -> Command | None:
        """The gateway; None if there is none."""

    def replica(self, deployment: Deployment, number: int) -> Command:
        """One replica of a model version."""


class Cluster:
    """The processes of one cluster. Use it with `async with`: leaving stops them all."""

    def __init__(self, directory: ClusterDir, commands: CommandBook, ledger: Ledger) -> None:
        self._directory = directory
        self._commands = commands
        self._ledger = ledger
        self._since = datetime.now(UTC).isoformat(timespec="seconds")
        self._state = State.STARTING
        self._tasks = asyncio.TaskGroup()
        self._core: list[Child] = []
        self._runs: dict[Child, asyncio.Task[None]] = {}
        self._wanted = {each.key: each for each in directory.read_deployments()}
        self._replicas: dict[tuple[str, str], dict[int, Child]] = {}
        self._scaling: dict[tuple[str, str], asyncio.Lock] = {}

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()
        if isinstance(error, asyncio.CancelledError):
            await self._tasks.__aexit__(kind, error, trace)
        else:  # an error of the body travels as it is, not in a group
            await self._tasks.__aexit__(None, None, None)

    async def start(self) -> None:
        """Starts everything but the replicas and waits until it is up; then starts the replicas that are wanted.

        Raises:
            ChildFailed: a process did not come up; the text says which and why.
        """
        if redis := self._commands.redis():
            await self._up(redis)
        # At once, since most of a start is imports: the frontend waits for the manager by itself.
        await self._up(self._commands.manager(), self._commands.frontend())
        # The gateway starts at once; before the frontend it would find nobody, and look again only after a while.
        await self._up(self._commands.gateway())
        self._state = State.RUNNING
        for deployment in self._wanted.values():
            self._start_replicas(deployment)

    async def stop(self) -> None:
        """Stops everything against the way of a query: first what takes queries, last what keeps state."""
        self._state = State.STOPPING
        by_kind: dict[str, list[Child]] = {}
        for child in self._runs:
            by_kind.setdefault(child.command.kind, []).append(child)
        for kind in ("gateway", "frontend", "replica", "manager", "redis"):
            await self._end(by_kind.get(kind, []))

    def status(self) -> ClusterStatus:
        """What runs."""
        return ClusterStatus(
            cluster=self._directory.path.name,
            state=self._state.value,
            pid=os.getpid(),
            since=self._since,
            addresses=self._commands.addresses().to_json(),
            processes=[child.status().to_json() for child in self._runs],
            deployments=[each.to_json() for _, each in sorted(self._wanted.items())],
        )

    async def set_replicas(self, wanted: Deployment) -> None:
        """Brings the replicas of a version to the wanted number and waits until they are up.

        Raises:
            ChildFailed: one did not come up; then all is as it was before, as when this is cancelled.
        """
        async with self._scaling.setdefault(wanted.key, asyncio.Lock()):
            before = self._wanted.get(wanted.key)
            self._want(wanted)
            surplus = list(self._replicas.get(wanted.key, {}).items())[wanted.replicas :]
            for number, _ in surplus:
                del self._replicas[wanted.key][number]
            await self._to_the_end(self._end([child for _, child in surplus]))
            new = self._start_replicas(wanted)
            try:
                await asyncio.gather(*(child.up() for child in new))
            except (ChildFailed, asyncio.CancelledError):
                await self._end(new)
                self._replicas[wanted.key] = {
                    number: child for number, child in self._replicas.get(wanted.key, {}).items() if child in self._runs
                }
                if self._wanted.get(wanted.key) is wanted and self._state is not State.STOPPING:
                    self._want(before) if before else self._forget(wanted.key)
                raise

    async def stop_models(self, models: Iterable[tuple[str, str | None]]) -> None:
        """Stops the replicas of versions (None: of all versions of the model), forgets them and deletes their files."""
        asked = set(models)
        keys = [key for key in {*self._wanted, *self._replicas} if key in asked or (key[0], None) in asked]
        gone = {Path(self._wanted[key].model_dir) for key in keys if key in self._wanted}
        gone |= {self._directory.models / model / version for model, version in asked if version}
        children = [child for key in keys for child in self._replicas.pop(key, {}).values()]
        for key in keys:
            self._forget(key)
        await self._to_the_end(self._stop_for_good(children, gone))

    async def settled(self) -> None:
        """Returns when every replica that is wanted has come up or failed once."""
        await asyncio.gather(*(child.settled() for child in list(self._runs)))

    async def _stop_for_good(self, children: list[Child], model_dirs: Iterable[Path]) -> None:
        await self._end(children)
        for model_dir in model_dirs:
            self._delete_files(model_dir)

    async def _to_the_end(self, stopping: Coroutine[Any, Any, None]) -> None:
        """What has been begun to stop is stopped, also where the caller is cancelled."""
        await asyncio.shield(self._tasks.create_task(stopping))

    def _start_replicas(self, deployment: Deployment) -> list[Child]:
        running = self._replicas.setdefault(deployment.key, {})
        free = (number for number in range(len(running) + deployment.replicas) if number not in running)
        new = {}
        for _ in range(deployment.replicas - len(running)):
            number = next(free)
            new[number] = self._started(self._commands.replica(deployment, number))
        running.update(new)
        return list(new.values())

    async def _up(self, *commands: Command | None) -> None:
        children = [self._started(command) for command in commands if command is not None]
        try:
            async with asyncio.timeout(_UP_WITHIN_S):
                await asyncio.gather(*(child.up() for child in children))
        except TimeoutError:
            late = [child.command.name for child in children if not child.has_been_up_or_failed]
            raise ChildFailed(f"{', '.join(late)} did not come up within {_UP_WITHIN_S:.0f} s.") from None

    def _started(self, command: Command) -> Child:
        if self._state is State.STOPPING:
            raise ChildFailed("The cluster is stopping.")
        child = Child(command, self._directory.logs, self._ledger)
        self._runs[child] = self._tasks.create_task(child.run(), name=command.name)
        return child

    async def _end(self, children: list[Child]) -> None:
        for child in children:
            child.stop()
        for child in children:
            if run := self._runs.get(child):
                await asyncio.shield(run)
                self._runs.pop(child, None)

    def _want(self, deployment: Deployment) -> None:
        self._wanted[deployment.key] = deployment
        self._directory.write_deployments([each for _, each in sorted(self._wanted.items())])

    def _forget(self, key: tuple[str, str]) -> None:
        self._wanted.pop(key, None)
        self._directory.write_deployments([each for _, each in sorted(self._wanted.items())])

    def _delete_files(self, model_dir: Path) -> None:
        if self._directory.models in model_dir.parents:  # ours; not a directory that the user gave
            shutil.rmtree(model_dir, ignore_errors=True)
            with contextlib.suppress(OSError):
                model_dir.parent.rmdir()
