"""How changes are made and reads are served: the registry's hands on mirror and store.

A change is decided on the mirror, committed if the store is still where the mirror stands, and decided anew if it is
not. It returns once it is stored and the mirror has it: a read after it sees it. A refusal is made sure of in the same
way, since another manager may just have changed what it rests on. Reads go on while the store is away.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from clipper_manager.feed import Feed, Step, Whole
from clipper_manager.state import Change, Draft, State
from clipper_manager.store import Committed, Entry, Position, Replaced, Stale, Store
from clipper_rpc.errors import ClipperError, Code, StaleRevision, StoreInterrupted, StoreUnavailable

_log = logging.getLogger(__name__)
T = TypeVar("T")

MAX_ATTEMPTS = 100
"""How often a change is decided anew before it is given up. Each attempt lost is another manager's change made."""
CATCH_UP_S = 2.0
"""How long the mirror may take to see what the store has."""


class Ledger:
    """Changes and reads of one configuration."""

    def __init__(self, store: Store, feed: Feed) -> None:
        self._store = store
        self._feed = feed
        self._one_at_a_time = asyncio.Lock()

    @property
    def state(self) -> State:
        """The configuration as the mirror has it."""
        return self._feed.mirror.state

    def watch(self, position: Position | None) -> AsyncIterator[Whole | Step]:
        """See Feed.watch."""
        return self._feed.watch(position)

    async def read(self, read: Callable[[State], T]) -> T:
        """Reads from the mirror. Before something is said not to exist, the mirror catches up if it can.

        Raises:
            StoreUnavailable: nothing has ever been read from the store.
        """
        self._feed.check_loaded()
        try:
            return read(self.state)
        except ClipperError as error:
            if error.code != Code.NOT_FOUND:
                raise
            try:
                if await self._is_current():
                    raise
            except StoreUnavailable:
                raise error from None
        return read(self.state)

    async def change(self, decide: Callable[[Draft], T]) -> T:
        """Decides and commits, again and again until nobody has come between.

        Raises:
            StoreUnavailable: the store cannot be reached; nothing was changed.
            StoreInterrupted: the store was lost before it answered.
        """
        async with self._one_at_a_time:
            for _ in range(MAX_ATTEMPTS):
                self._feed.check_connected()
                base = self._feed.mirror.position
                draft = Draft(self.state, base.revision + 1)
                try:
                    result = decide(draft)
                except ClipperError:
                    if await self._is_current():
                        raise
                    continue
                change = draft.change()
                if await (self._is_current() if change.is_empty else self._commit(base, change)):
                    return result
        raise StaleRevision(what="The configuration", stored="a later one", given=str(base.revision))

    @contextmanager
    def reaching_store(self) -> Iterator[None]:
        """Encloses a call to the store: refused while that is away; if it cannot be reached, everybody is told."""
        self._feed.check_connected()
        try:
            yield
        except (StoreUnavailable, StoreInterrupted) as error:
            self._feed.suspect(error.fields["problem"])
            raise

    async def reached(self, position: Position) -> None:
        """Waits until the mirror has what the store has at `position`."""
        await self._in_time(self._feed.reached(position))

    async def _commit(self, base: Position, change: Change) -> bool:
        commit_id = secrets.token_hex(8)
        with self.reaching_store():
            outcome = await self._store.commit(base, change, commit_id)
        match outcome:
            case Committed(revision):
                keys = [put.key for put in change.puts]
                _log.info("changed", extra={"revision": revision, "puts": keys, "deletes": change.deletes})
                # The stream of changes brings it, too; whichever comes first is taken.
                self._feed.apply(base.epoch, Entry(revision, commit_id, change.puts, change.deletes))
                return True
            case Stale(revision):
                await self.reached(Position(base.epoch, revision))
            case Replaced():
                await self._replaced(base.epoch)
        return False

    async def _is_current(self) -> bool:
        """Whether the mirror stands where the store does; if not, it does when this returns."""
        here = self._feed.mirror.position
        with self.reaching_store():
            head = await self._store.head()
        if head == here:
            return True
        if head is None or head.epoch != here.epoch:
            await self._replaced(here.epoch)
        else:
            await self.reached(head)
        return False

    async def _replaced(self, epoch: str) -> None:
        """Sees to it that the mirror follows the store into another epoch; loading begins one if the store is empty."""
        with self.reaching_store():
            await self._store.load()
        await self._in_time(self._feed.left(epoch))

    async def _in_time(self, waiting: Awaitable[None]) -> None:
        try:
            async with asyncio.timeout(CATCH_UP_S):
                await waiting
        except TimeoutError:
            error = StoreUnavailable(problem="its stream of changes does not come through")
            self._feed.suspect(error.fields["problem"])
            raise error from None
