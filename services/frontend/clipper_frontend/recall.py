"""What was shown, remembered for feedback by query id: written in bursts, never in the way of an answer.

What waits to be written is bounded: where the store is away or too slow records are given up, and feedback for these
queries will not find them.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from clipper_frontend.routes import RouteTable
from clipper_frontend.selection.records import Asked, Shown
from clipper_rpc.errors import ClipperError

_log = logging.getLogger(__name__)

DIGEST = b"\0sha256:"
"""What stands for an output that is too large to be remembered: this and its digest. No Output begins so."""
MAX_OUTPUT_BYTES = 4096
_MAX_BURST = 256
_MAX_WAITING = 20_000
_LOOK_AGAIN_NS = 50_000_000


@dataclass(frozen=True, slots=True)
class Remembered:
    """What is remembered of an answered query."""

    application: str
    generation: int
    context: str
    output: bytes | None
    """What was shown; None if the query failed. Large ones are digests, also below."""
    is_default: bool
    models: tuple[str, ...]
    asked: tuple[Asked, ...]


class Store(Protocol):
    """Where records are kept."""

    async def remember(self, records: Sequence[tuple[int, bytes]]) -> None:
        """Keeps records, by query id."""

    async def recall(self, query_id: int) -> bytes | None:
        """A record; None if there is none (any more)."""


class Recall:
    """Remembers the queries of applications that learn.

    Args:
        sleep: waits so many nanoseconds.
    """

    def __init__(self, store: Store, sleep: Callable[[int], Awaitable[None]]) -> None:
        self._store = store
        self._sleep = sleep
        self._generations: dict[str, int] = {}
        self._waiting: dict[int, Remembered] = {}
        self._being_written: dict[int, Remembered] = {}
        self._has_work = asyncio.Event()
        self._is_away = False
        self.given_up = 0
        """How many records were given up."""

    def use(self, table: RouteTable) -> None:
        """Goes by another configuration."""
        self._generations = {route.name: route.generation for route in table.routes.values() if route.policy.LEARNS}

    def shown(self, record: Shown) -> None:
        """See records.Recorder."""
        generation = self._generations.get(record.application)
        if generation is None:
            return
        if len(self._waiting) >= _MAX_WAITING:
            self.given_up += 1
            return
        self._waiting[record.query_id] = Remembered(
            record.application,
            generation,
            record.context,
            record.output,
            record.is_default,
            record.models,
            record.asked,
        )
        self._has_work.set()

    async def find(self, query_id: int) -> Remembered | None:
        """What was shown for a query, here or by another frontend; None if it is not remembered.

        Another frontend may be about to write it: what is not there is looked for once more.
        """
        found = self._waiting.get(query_id) or self._being_written.get(query_id)
        if found is not None:
            return found
        record = await self._store.recall(query_id)
        if record is None:
            await self._sleep(_LOOK_AGAIN_NS)
            record = await self._store.recall(query_id)
        return None if record is None else decoded(record)

    async def run(self) -> None:
        """Writes for ever."""
        while True:
            await self._has_work.wait()
            await self._write()

    async def end(self) -> None:
        """Writes what still waits."""
        while self._waiting:
            await self._write()

    async def _write(self) -> None:
        burst = dict(zip(list(self._waiting)[:_MAX_BURST], self._waiting.values(), strict=False))
        self._being_written = burst
        for query_id in burst:
            del self._waiting[query_id]
        if not self._waiting:
            self._has_work.clear()
        try:
            await self._store.remember([(query_id, encoded(record)) for query_id, record in burst.items()])
            self._is_away = False
        except ClipperError as error:
            self.given_up += len(burst)
            if not self._is_away:
                self._is_away = True
                _log.warning("queries_not_remembered", extra={"problem": error.message})
        self._being_written = {}


def encoded(record: Remembered) -> bytes:
    """The record as the store keeps it: JSON, bytes as Latin-1 text."""
    asked = [(each.model, each.version, each.propensity, _text(each.output), each.weight) for each in record.asked]
    fields = (
        *(record.application, record.generation, record.context),
        *(_text(record.output), record.is_default, record.models, asked),
    )
    return json.dumps(fields, separators=(",", ":")).encode()


def decoded(text: bytes) -> Remembered:
    """What `encoded` has written."""
    application, generation, context, output, is_default, models, asked = json.loads(text)
    return Remembered(
        application,
        generation,
        context,
        _bytes(output),
        is_default,
        tuple(models),
        tuple(
            Asked(model, version, propensity, _bytes(out), weight) for model, version, propensity, out, weight in asked
        ),
    )


def _text(output: bytes | None) -> str | None:
    if output is None:
        return None
    if len(output) > MAX_OUTPUT_BYTES:
        output = DIGEST + hashlib.sha256(output).digest()
    return output.decode("latin-1")


def _bytes(text: Any) -> bytes | None:
    return None if text is None else str(text).encode("latin-1")
