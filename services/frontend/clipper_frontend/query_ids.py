"""Ids of queries: unique across frontends and restarts, and free of cost per query.

A process reserves ranges from the manager and counts through them. The next range is reserved when half of the current
one is used, so that a manager that is away for long is not missed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from clipper_frontend.backoff import Backoff
from clipper_rpc.errors import ClipperError, StoreUnavailable

_log = logging.getLogger(__name__)


class QueryIds:
    """Gives each query its id.

    Args:
        reserve: gets a range that no other caller ever gets: the first id, and how many.
        sleep: waits so many nanoseconds.
    """

    def __init__(
        self, reserve: Callable[[], Awaitable[tuple[int, int]]], sleep: Callable[[int], Awaitable[None]]
    ) -> None:
        self._reserve = reserve
        self._sleep = sleep
        self._next = 0
        self._look_at = 0  # the slow path begins here: half of the range, or its end
        self._end = 0
        self._spare: tuple[int, int] | None = None
        self._is_low = asyncio.Event()
        self._is_low.set()
        self.has_ids = asyncio.Event()
        """Set once ids can be taken."""

    def take(self) -> int:
        """The next id.

        Raises:
            StoreUnavailable: all ids are used and no manager has given more.
        """
        query_id = self._next
        if query_id >= self._look_at:
            query_id = self._look()
        self._next = query_id + 1
        return query_id

    def _look(self) -> int:
        self._look_at = self._end
        if self._spare is None:
            self._is_low.set()
            if self._next == self._end:
                raise StoreUnavailable(problem="all reserved query ids are used")
        elif self._next == self._end:
            self._start(*self._spare)
            self._spare = None
        return self._next

    def _start(self, first: int, count: int) -> None:
        self._next, self._end = first, first + count
        self._look_at = first + count // 2

    async def run(self) -> None:
        """Reserves ranges whenever they run low, for ever."""
        backoff = Backoff()
        while True:
            await self._is_low.wait()
            try:
                first, count = await self._reserve()
            except ClipperError as error:
                _log.warning("query_ids_not_reserved", extra={"problem": error.message})
                await self._sleep(backoff.wait_ns())
                continue
            backoff.reset()
            self._is_low.clear()
            if self._next == self._end:
                self._start(first, count)
            else:
                self._spare = (first, count)
            self.has_ids.set()
