"""Follows the configuration: one stream from one of the managers, resumed wherever it breaks.

While no manager answers, the last table stays in use.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol

from clipper.registry.v1.registry_pb2 import WatchResponse
from clipper_frontend.backoff import Backoff
from clipper_frontend.convert import entity_from, key_from
from clipper_frontend.routes import EMPTY, RouteTable
from clipper_rpc.errors import ClipperError

_log = logging.getLogger(__name__)


class Watched(Protocol):
    """Where the configuration comes from."""

    def watch(self, epoch: str, revision: int) -> AsyncIterator[WatchResponse]:
        """The steps since (epoch, revision), or a snapshot first; ends with a ClipperError or at any time."""


class _OutOfStep(Exception):
    """Changes came that do not follow from what is known."""


class Watch:
    """Keeps the route table up to date.

    Args:
        use: takes each new table.
        sleep: waits so many nanoseconds.
    """

    def __init__(
        self, source: Watched, use: Callable[[RouteTable], None], sleep: Callable[[int], Awaitable[None]]
    ) -> None:
        self._source = source
        self._use = use
        self._sleep = sleep
        self._table = EMPTY
        self._epoch = ""
        self._revision = 0
        self.has_table = asyncio.Event()
        """Set once there is a configuration."""

    async def run(self) -> None:
        """Follows for ever."""
        backoff = Backoff()
        is_away = False
        while True:
            problem = "the stream ended"
            try:
                async for response in self._source.watch(self._epoch, self._revision):
                    self._take(response)
                    backoff.reset()
                    if is_away:
                        is_away = False
                        _log.info("manager_back", extra={"epoch": self._epoch, "revision": self._revision})
            except ClipperError as error:
                problem = error.message
            except _OutOfStep:
                problem = "changes came without their snapshot"
            if not is_away:
                is_away = True
                _log.warning("manager_away", extra={"problem": problem, "routes_kept": len(self._table.routes)})
            await self._sleep(backoff.wait_ns())

    def _take(self, response: WatchResponse) -> None:
        match response.WhichOneof("step"):
            case "snapshot":
                found = map(entity_from, response.snapshot.entities)
                table = RouteTable.of(entity for entity in found if entity is not None)
            case "delta" if response.epoch == self._epoch:
                put = (entity for entity in map(entity_from, response.delta.put) if entity is not None)
                deleted = (key for key in map(key_from, response.delta.deleted) if key is not None)
                table = self._table.changed(put, deleted)
            case _:  # changes of a history that we do not have: nothing but a snapshot helps
                self._epoch, self._revision = "", 0
                raise _OutOfStep
        self._table, self._epoch, self._revision = table, response.epoch, response.revision
        self._use(table)
        self.has_table.set()
        _log.debug("table_changed", extra={"revision": self._revision})
