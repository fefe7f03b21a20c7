"""All that learning needs, wired: what was shown is remembered, outcomes are taught, states are followed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Protocol

from clipper_frontend.clock import LoopClock
from clipper_frontend.joint import Decodes
from clipper_frontend.learning import Learning
from clipper_frontend.prediction_log import PredictionLog
from clipper_frontend.predictor import Dispatches
from clipper_frontend.recall import Recall
from clipper_frontend.routes import RouteTable
from clipper_frontend.selection.records import Shown, States
from clipper_frontend.selection_store import SelectionStore
from clipper_frontend.teaching import Teacher
from clipper_rpc.telemetry.families import Family, counter

_log = logging.getLogger(__name__)

_PAUSE_NS = 1_000_000_000
_END_S = 1.0
"""How long what still waits to be remembered may take at the end."""


class Runs(Protocol):
    """A part that works for ever."""

    async def run(self) -> None:
        """Works until cancelled."""


class School:
    """The parts; nothing is started until `running`, and nothing connects until somebody learns."""

    def __init__(
        self, store: SelectionStore, clock: LoopClock, log: PredictionLog | None, *, max_contexts: int
    ) -> None:
        self._sleep = clock.sleep
        self.store = store
        """Where all that is kept."""
        self._log = log
        self._known: frozenset[str] = frozenset()
        self._teacher: Teacher | None = None
        self._learning = Learning(store, clock.sleep, max_contexts=max_contexts)
        self._recall = Recall(store, clock.sleep)

    @property
    def states(self) -> States:
        """What policies have learned."""
        return self._learning.states

    def use(self, table: RouteTable) -> None:
        """Goes by another configuration."""
        self._known = frozenset(table.routes)
        self._learning.states.use(table)
        self._recall.use(table)

    def shown(self, record: Shown) -> None:
        """See records.Recorder."""
        self._recall.shown(record)
        if self._log is not None:
            self._log.shown(record)

    def teacher(
        self, dispatcher: Dispatches, take_query_id: Callable[[], int], outputs: Decodes, *, window_s: float
    ) -> Teacher:
        """What takes outcomes."""
        self._teacher = Teacher(
            self.store, self._learning, self._recall, dispatcher, take_query_id, outputs, self._log, window_s=window_s
        )

        return self._teacher

    def families(self) -> Iterable[Family]:
        """What it tells of itself. Called in a thread that puts a text together."""
        counts = list(self._teacher.counts.items()) if self._teacher is not None else []
        yield counter(
            "clipper.feedback.outcomes",
            "Outcomes that were told, by what became of them: learned, duplicate, nothing, refused.",
            [
                ({"application": name, "result": result}, number)
                for name, results in counts
                if name in self._known
                for result, number in list(results.items())
            ],
        )
        yield counter(
            "clipper.feedback.records_given_up",
            "Answered queries that are not remembered for feedback, since the store was away or too slow.",
            [({}, self._recall.given_up)],
        )
        if self._log is not None:
            yield counter(
                "clipper.prediction_log.lines_given_up",
                "Lines of the prediction log that the disk did not take.",
                [({}, self._log.given_up)],
            )

    async def _kept(self, part: Runs) -> None:
        """Runs a part for ever: what nobody thought of must not end predictions."""
        while True:
            try:
                await part.run()
            except Exception:  # noqa: BLE001  # the log has the trace; predictions go on
                _log.exception("part_failed", extra={"part": type(part).__name__})
            await self._sleep(_PAUSE_NS)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Runs the parts while the block does."""
        async with asyncio.TaskGroup() as tasks:
            parts: list[Runs] = [self.store, self._learning, self._recall]
            if self._log is not None:
                parts.append(self._log)
            running = [tasks.create_task(self._kept(part)) for part in parts]
            try:
                yield
            finally:
                try:
                    async with asyncio.timeout(_END_S):
                        await self._recall.end()
                        if self._log is not None:
                            await self._log.end()
                except TimeoutError:
                    pass
                for task in running:
                    task.cancel()
