"""Keeps this process's copies of what policies have learned up to date: reads what is wanted, follows what changes.

While nobody wants a state there is no connection. While the store is away the last states stay in use.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol

from clipper_frontend.backoff import Backoff
from clipper_frontend.selection.learned import Change, Copy, Learned
from clipper_frontend.selection.records import StateKey
from clipper_rpc.errors import ClipperError
from clipper_selection import Policy, State

_log = logging.getLogger(__name__)

_READS_AT_ONCE = 256


class Store(Protocol):
    """Where states are kept."""

    async def read(self, application: str, generation: int, context: str) -> tuple[State, int]:
        """A state and its revision; 0 if there is none."""

    def follow(self) -> AsyncIterator[Change | None]:
        """None once every later change will come, then each change; ends with a ClipperError."""


class Learning:
    """The copies of one process, and what keeps them fresh.

    Args:
        sleep: waits so many nanoseconds.
        max_contexts: how many contexts of one application are kept.
    """

    def __init__(self, store: Store, sleep: Callable[[int], Awaitable[None]], *, max_contexts: int) -> None:
        self._store = store
        self._sleep = sleep
        self._wanted: list[Copy] = []
        self._has_wanted = asyncio.Event()
        self._is_following = asyncio.Event()
        self.states = Learned(self._want, max_contexts=max_contexts)

    def _want(self, copy: Copy) -> None:
        self._wanted.append(copy)
        self._has_wanted.set()

    def took_place(self, change: Change) -> None:
        """States have changed."""
        self.states.apply(change)

    async def known(self, key: StateKey, policy: Policy) -> State:
        """A state, read first if it is not known yet.

        Raises:
            ClipperError: the store cannot be reached.
        """
        copy = self.states.copy(key)
        if copy is not None and not copy.is_known:
            generation = self.states.generation(key.application)
            self.states.took(copy, *await self._store.read(key.application, generation, key.context))
        return self.states.state(key, policy)

    async def run(self) -> None:
        """Works for ever."""
        await self._has_wanted.wait()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow())
            tasks.create_task(self._read())

    async def _follow(self) -> None:
        backoff = Backoff()
        is_away = False
        while True:
            try:
                async for change in self._store.follow():
                    if change is not None:
                        self.states.apply(change)
                        continue
                    backoff.reset()
                    self.states.begin_round()
                    self._is_following.set()
                    if is_away:
                        is_away = False
                        _log.info("selection_store_back")
            except ClipperError as error:
                self._is_following.clear()
                if not is_away:
                    is_away = True
                    _log.warning("selection_store_away", extra={"problem": error.message})
            await self._sleep(backoff.wait_ns())

    async def _read(self) -> None:
        backoff = Backoff()
        while True:
            await self._has_wanted.wait()
            await self._is_following.wait()
            wanted, self._wanted = self._wanted[:_READS_AT_ONCE], self._wanted[_READS_AT_ONCE:]
            if not self._wanted:
                self._has_wanted.clear()
            outcomes = await asyncio.gather(*map(self._read_one, wanted))
            failed = [copy for copy, is_read in zip(wanted, outcomes, strict=True) if not is_read]
            if failed:
                self._wanted[:0] = failed
                self._has_wanted.set()
                await self._sleep(backoff.wait_ns())
            else:
                backoff.reset()

    async def _read_one(self, copy: Copy) -> bool:
        """Reads a state; False if the store did not answer."""
        if not self.states.is_current(copy):
            return True
        generation = self.states.generation(copy.application)
        try:
            values, revision = await self._store.read(copy.application, generation, copy.context)
        except ClipperError as error:
            _log.debug("state_not_read", extra={"application": copy.application, "problem": error.message})
            return False
        self.states.took(copy, values, revision)
        return True
