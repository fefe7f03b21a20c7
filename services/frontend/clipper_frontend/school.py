"""All that learning needs, wired: what was shown is remembered, outcomes are taught, states are followed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

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

_END_S = 1.0
"""How long what still waits to be remembered may take at the end."""


class School:
    """The parts; nothing is started until `running`, and nothing connects until somebody learns."""

    def __init__(
        self, store: SelectionStore, clock: LoopClock, log: PredictionLog | None, *, max_contexts: int
    ) -> None:
        self.store = store
        """Where all that is kept."""
        self._log = log
        self._learning = Learning(store, clock.sleep, max_contexts=max_contexts)
        self._recall = Recall(store, clock.sleep)

    @property
    def states(self) -> States:
        """What policies have learned."""
        return self._learning.states

    def use(self, table: RouteTable) -> None:
        """Goes by another configuration."""
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
        return Teacher(
            self.store, self._learning, self._recall, dispatcher, take_query_id, outputs, self._log, window_s=window_s
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Runs the parts while the block does."""
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(each.run()) for each in (self.store, self._learning, self._recall)]
            if self._log is not None:
                running.append(tasks.create_task(self._log.run()))
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
