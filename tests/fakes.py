"""Stand-ins that behave: each passes the same contract suite as what it stands for."""

from __future__ import annotations

import asyncio
import math
import uuid
from collections.abc import AsyncGenerator

from clipper_manager.resources import Entity
from clipper_manager.state import Change
from clipper_manager.store import Committed, Entry, HistoryBroken, Image, Position, Replaced, Stale
from clipper_rpc.errors import StoreInterrupted, StoreUnavailable


class FakeStore:
    """A manager's store in memory (tests/store_contract.py). Several managers may share one."""

    def __init__(self, *, lease_ttl_s: float = 10.0, history: int = 4096) -> None:
        self.now_s = 0.0
        """Its clock: moves when the test moves it."""
        self.is_away = False
        self.commits_break_off = False
        """Whether commits are made but their answers get lost."""
        self._is_stream_held = False
        self._lease_ttl_s = lease_ttl_s
        self._history = history
        self._query_ids = 0
        self._changed = asyncio.Event()
        self._mark = 0
        self.flush()

    # What tests do to it

    def flush(self) -> None:
        """Empties it, as FLUSHALL does."""
        self._epoch: str | None = None
        self._first = 0
        self._revision = 0
        self._entities: dict[str, Entity] = {}
        self._entries: list[Entry] = []
        self._leases: dict[str, tuple[float, str]] = {}
        self._tell()

    def go_away(self) -> None:
        """Cannot be reached from now on."""
        self.is_away = True
        self._tell()

    def come_back(self) -> None:
        """Can be reached again."""
        self.is_away = False

    def hold_stream(self, held: bool) -> None:
        """Whether followers wait, as with a slow network."""
        self._is_stream_held = held
        self._tell()

    def snapshot(self) -> tuple[object, ...]:
        """All that it has, for `restore`."""
        return self._epoch, self._first, self._revision, dict(self._entities), list(self._entries), dict(self._leases)

    def restore(self, saved: tuple[object, ...]) -> None:
        """Goes back to what it was, as a Redis that lost its latest writes does."""
        self._epoch, self._first, self._revision, self._entities, self._entries, self._leases = saved  # type: ignore[assignment]
        self._tell()

    # Store

    async def load(self) -> Image:
        self._check()
        if self._epoch is None:
            self._begin()
        assert self._epoch is not None
        entries = tuple(entry for entry in self._entries if entry.revision > self._first)
        position = Position(self._epoch, self._revision)
        return Image(position, self._first, tuple(self._entities.values()), entries, str(self._mark))

    async def begin_epoch(self, instead_of: str) -> None:
        self._check()
        if self._epoch == instead_of:
            self._begin()

    async def head(self) -> Position | None:
        self._check()
        return None if self._epoch is None else Position(self._epoch, self._revision)

    async def follow(self, position: Position, mark: str) -> AsyncGenerator[Entry, None]:
        revision = position.revision
        while True:
            changed = self._changed
            self._check()
            if str(self._mark) != mark or self._epoch != position.epoch:
                raise HistoryBroken
            missed = [each for each in self._entries if each.revision > revision]
            for entry in [] if self._is_stream_held else missed:
                yield entry
                revision = entry.revision
            await changed.wait()

    async def commit(self, base: Position, change: Change, commit_id: str) -> Committed | Stale | Replaced:
        self._check()
        if self._epoch != base.epoch:
            return Replaced()
        if self._revision != base.revision:
            made = [each for each in self._entries if (each.revision, each.commit_id) == (base.revision + 1, commit_id)]
            return Committed(base.revision + 1) if made else Stale(self._revision)
        for lease in change.ended_leases:
            self._leases.pop(lease, None)
        for lease, holder in change.leases:
            self._leases[lease] = (self.now_s + self._lease_ttl_s, holder)
        self._record(commit_id, change.puts, change.deletes)
        if self.commits_break_off:
            raise StoreInterrupted(problem="broken off")
        return Committed(self._revision)

    async def renew_lease(self, lease_id: str) -> bool:
        self._check()
        if lease_id not in self._leases:
            return False
        self._leases[lease_id] = (self.now_s + self._lease_ttl_s, self._leases[lease_id][1])
        return True

    async def end_lease(self, lease_id: str) -> Position | None:
        self._check()
        return self._end([lease_id] if lease_id in self._leases else [])

    async def expire_leases(self) -> float:
        self._check()
        self._end([lease for lease, (due_s, _) in self._leases.items() if due_s <= self.now_s])
        return min((due_s - self.now_s for due_s, _ in self._leases.values()), default=math.inf)

    async def reserve_query_ids(self, count: int) -> int:
        self._check()
        self._query_ids += count
        return self._query_ids - count + 1

    async def close(self) -> None:
        pass

    # How it does that

    def _check(self) -> None:
        if self.is_away:
            raise StoreUnavailable(problem="away")

    def _begin(self) -> None:
        self._epoch = uuid.uuid4().hex
        self._first = self._revision
        self._mark += 1
        self._tell()

    def _record(self, commit_id: str, puts: tuple[Entity, ...], deletes: tuple[str, ...]) -> None:
        self._revision += 1
        self._entities.update((put.key, put) for put in puts)
        for key in deletes:
            self._entities.pop(key, None)
        self._entries.append(Entry(self._revision, commit_id, puts, deletes))
        del self._entries[: -self._history]
        self._tell()

    def _end(self, leases: list[str]) -> Position | None:
        holders = [self._leases.pop(lease)[1] for lease in leases]
        gone = tuple(key for key in holders if key in self._entities)
        if not gone:
            return None
        self._record(uuid.uuid4().hex, (), gone)
        assert self._epoch is not None
        return Position(self._epoch, self._revision)

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
