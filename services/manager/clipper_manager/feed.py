"""Keeps the mirror up with the store, for as long as the process lives, and tells waiters and watchers of every step.

While the store is away the mirror stays as it is: reads and watchers are served, changes are not. When it is back the
mirror goes on where it was, or begins anew if the store has lost or changed its history.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass

from clipper_manager.mirror import Mirror
from clipper_manager.resources import Entity
from clipper_manager.store import Entry, HistoryBroken, Position, Store
from clipper_rpc.errors import Stopping, StoreUnavailable

_log = logging.getLogger(__name__)

MIN_BACKOFF_S = 0.05
MAX_BACKOFF_S = 1.0


@dataclass(frozen=True, slots=True)
class Whole:
    """A step of a watch that replaces all that was known."""

    position: Position
    entities: tuple[Entity, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a watch by one change."""

    position: Position
    entry: Entry


class Feed:
    """The mirror of one store, kept up to date by `run`."""

    def __init__(self, store: Store, *, history: int) -> None:
        self._store = store
        self.mirror = Mirror(history)
        self._connected_at_s: float | None = None
        self._problem: str | None = None
        self._changed = asyncio.Event()
        self._following: asyncio.Timeout | None = None
        self._is_closed = False

    @property
    def connected_at_s(self) -> float | None:
        """When the store was reached last, by the loop's clock; None while it is away."""
        return self._connected_at_s

    def check_connected(self) -> None:
        """StoreUnavailable unless the mirror is up with the store."""
        if self._connected_at_s is None:
            raise StoreUnavailable(problem=self._problem or "it has not been reached yet")

    def check_loaded(self) -> None:
        """StoreUnavailable unless there is something to read."""
        if not self.mirror.is_loaded:
            raise StoreUnavailable(problem=self._problem or "it has not been reached yet")

    async def run(self) -> None:
        """Follows the store until cancelled."""
        backoff_s = MIN_BACKOFF_S
        while True:
            try:
                mark = await self._load()
                backoff_s = MIN_BACKOFF_S
                await self._follow(mark)
            except HistoryBroken:
                continue
            except TimeoutError:  # somebody suspects that the store is away: see
                continue
            except StoreUnavailable as error:
                self._went_away(error.fields["problem"])
                await asyncio.sleep(backoff_s)
                backoff_s = min(2 * backoff_s, MAX_BACKOFF_S)

    async def _load(self) -> str:
        while True:
            image = await self._store.load()
            if self.mirror.load(image):
                break
            _log.warning("store_lost_changes", extra={"seen": self.mirror.position.revision})
            await self._store.begin_epoch(instead_of=image.position.epoch)
        if self._problem is not None or self._connected_at_s is None:
            position = self.mirror.position
            _log.info("store_reached", extra={"epoch": position.epoch, "revision": position.revision})
        self._problem = None
        self._connected_at_s = asyncio.get_running_loop().time()
        self._tell()
        return image.mark

    async def _follow(self, mark: str) -> None:
        try:
            async with asyncio.timeout(None) as self._following:
                async with aclosing(self._store.follow(self.mirror.position, mark)) as entries:
                    async for entry in entries:
                        self.apply(self.mirror.position.epoch, entry)
        finally:
            self._following = None

    def apply(self, epoch: str, entry: Entry) -> None:
        """Takes a change over that the store has made, if the mirror stands right before it."""
        if epoch == self.mirror.position.epoch and self.mirror.apply(entry):
            self._tell()

    def suspect(self, problem: str) -> None:
        """Some call could not reach the store: takes it as away until it has been reached again."""
        self._went_away(problem)
        if self._following is not None:
            self._following.reschedule(0)
            self._following = None

    def close(self) -> None:
        """Ends all watches."""
        self._is_closed = True
        self._tell()

    async def connected(self) -> float:
        """Waits until the store is reached; returns since when, by the loop's clock."""
        while self._connected_at_s is None:
            await self._changed.wait()
        return self._connected_at_s

    async def reached(self, position: Position) -> None:
        """Waits until the mirror is at a position or beyond, or in another epoch."""
        while self.mirror.position.epoch == position.epoch and self.mirror.position.revision < position.revision:
            await self._changed.wait()

    async def left(self, epoch: str) -> None:
        """Waits until the mirror is in another epoch."""
        while self.mirror.position.epoch == epoch:
            await self._changed.wait()

    async def watch(self, position: Position | None) -> AsyncIterator[Whole | Step]:
        """Yields what changed since `position`, or everything where that is not known any more; then every change.

        A watcher that falls behind by more than the history gets everything again: it costs no memory meanwhile.

        Raises:
            StoreUnavailable: nothing is known yet.
            Stopping: the process is about to stop.
        """
        self.check_loaded()
        while not self._is_closed:
            missed = self.mirror.since(position)
            if missed is None:
                position = self.mirror.position
                yield Whole(position, self.mirror.state.entities())
                continue
            epoch = self.mirror.position.epoch
            for entry in missed:
                position = Position(epoch, entry.revision)
                yield Step(position, entry)
            if not missed:
                await self._changed.wait()
        raise Stopping(process="manager")

    def _went_away(self, problem: str) -> None:
        if self._problem is None:
            _log.warning("store_away", extra={"problem": problem})
        self._problem = problem
        self._connected_at_s = None

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
