"""What the registry needs of a store: atomic commits at a revision, a stream of changes, leases, and query ids.

Rules of every store (tests/store_contract.py)
 1. Revisions count the changes of one epoch, without gaps. An epoch begins when the store is found empty, or when a
    manager finds that the store has lost changes that were seen already.
 2. A commit names the position that it was decided at, and does nothing if the store is at another one. Making one of
    the same id again does nothing but say that it is made.
 3. Every method raises StoreUnavailable, soon, when the store cannot be reached; then nothing was changed. A commit
    whose outcome cannot be known raises StoreInterrupted.
 4. Time is the store's own, so that all managers agree on it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Protocol

from clipper_manager.resources import Entity
from clipper_manager.state import Change


@dataclass(frozen=True, slots=True)
class Position:
    """A point in the history of a configuration."""

    epoch: str
    revision: int


@dataclass(frozen=True, slots=True)
class Entry:
    """What one commit changed."""

    revision: int
    commit_id: str
    """Tells two commits apart that got the same revision because the store lost one of them."""
    puts: tuple[Entity, ...]
    deletes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Image:
    """A whole configuration, with as much of its history as the store has kept."""

    position: Position
    first_revision: int
    """The revision at which the epoch began."""
    entities: tuple[Entity, ...]
    entries: tuple[Entry, ...]
    """The latest changes of this epoch, oldest first, up to the position."""
    mark: str
    """Where to go on looking for new epochs; of the store's own making."""


@dataclass(frozen=True, slots=True)
class Committed:
    """The commit was made."""

    revision: int


@dataclass(frozen=True, slots=True)
class Stale:
    """Nothing was done: the store is at a later revision than the commit was decided at."""

    revision: int


@dataclass(frozen=True, slots=True)
class Replaced:
    """Nothing was done: the store is in another epoch, or empty."""


class HistoryBroken(Exception):
    """The stream of changes does not go on from where it was followed. Load anew."""


class Store(Protocol):
    """Keeps one cluster's configuration."""

    async def load(self) -> Image:
        """Reads everything at once; begins an epoch first if the store is empty."""

    async def begin_epoch(self, instead_of: str) -> None:
        """Begins another epoch with the same content, unless the store's is not `instead_of` any more."""

    async def head(self) -> Position | None:
        """Where the store is; None if it is empty."""

    def follow(self, position: Position, mark: str) -> AsyncGenerator[Entry, None]:
        """Yields every change after `position`, as it comes, for ever.

        Raises:
            HistoryBroken: another epoch has begun, or changes are missing.
        """

    async def commit(self, base: Position, change: Change, commit_id: str) -> Committed | Stale | Replaced:
        """Makes a change that was decided at `base`, grants the leases in it and ends those that it names.

        Raises:
            StoreInterrupted: the store was lost before it answered.
        """

    async def renew_lease(self, lease_id: str) -> bool:
        """Gives a lease its whole term again; False if it is not known (any more)."""

    async def end_lease(self, lease_id: str) -> Position | None:
        """Ends a lease and deletes what holds it. Returns where the store is then; None if the lease is not known."""

    async def expire_leases(self) -> float:
        """Ends every lease whose time is over, as `end_lease` does; returns in how many seconds the next one is due.

        Infinity if there is none. Several managers may do so at once: each lease ends once.
        """

    async def reserve_query_ids(self, count: int) -> int:
        """Reserves `count` ids that nobody else gets; returns the first. The first of all is 1."""

    async def close(self) -> None:
        """Lets go of all connections."""
