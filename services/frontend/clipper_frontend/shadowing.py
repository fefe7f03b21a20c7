"""Shadows: models that get copies of queries once these are answered, and are compared with the answers.

Rules of this file
 1. A copy is made after the answer went out, in a later turn of the loop: it neither delays nor changes an answer.
 2. A shadow has its own queue, its own replicas and the application's objective; what becomes of a copy is counted,
    and told to nobody.
 3. Counters are added to the store at most once a second, while there is anything to add.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Protocol

from clipper_frontend.deadlines import Clock
from clipper_frontend.joint import AnyQuery, Decodes, Submits
from clipper_frontend.query import Query, Reason
from clipper_frontend.routes import Route, RouteTable, Shadow
from clipper_rpc.errors import ClipperError
from clipper_selection.shadows import count

_log = logging.getLogger(__name__)

_PAUSE_NS = 1_000_000_000
_MOST_COPIES_AT_ONCE = 10_000
_COPIES_PER_TURN = 64


class Store(Protocol):
    """Where counters are kept."""

    async def count_shadow(self, application: str, model: str, counters: Mapping[str, int]) -> None:
        """Adds to the counters of a shadow. Raises StoreUnavailable, StoreInterrupted."""


class Shadows:
    """The shadows of one process.

    Args:
        submits: asks one model.
        outputs: knows the inside of outputs.
        sleep: waits so many nanoseconds.
        uniform: gives random numbers, at least 0 and below 1.
    """

    def __init__(
        self,
        submits: Submits,
        take_query_id: Callable[[], int],
        clock: Clock,
        outputs: Decodes,
        store: Store,
        sleep: Callable[[int], Awaitable[None]],
        uniform: Callable[[], float] = random.random,
    ) -> None:
        self._submits = submits
        self._take_query_id = take_query_id
        self._clock = clock
        self._outputs = outputs
        self._store = store
        self._sleep = sleep
        self._uniform = uniform
        self._copies: list[Callable[[], None]] = []
        self._counters: dict[tuple[str, str], Counter[str]] = {}
        self._linked: frozenset[tuple[str, str]] = frozenset()
        self._has_counted = asyncio.Event()

    def use(self, table: RouteTable) -> None:
        """Goes by another configuration."""
        self._linked = frozenset(
            (route.name, shadow.model) for route in table.routes.values() for shadow in route.shadows
        )

    def watched(self, route: Route, value: bytes, on_done: Callable[[AnyQuery], None]) -> Callable[[AnyQuery], None]:
        """The callback for a query of which shadows shall get copies, if it is in their shares."""
        chosen = [shadow for shadow in route.shadows if shadow.share >= 1 or self._uniform() < shadow.share]
        return partial(self._answered, value, chosen, on_done) if chosen else on_done

    def _answered(
        self, value: bytes, chosen: list[Shadow], on_done: Callable[[AnyQuery], None], query: AnyQuery
    ) -> None:
        on_done(query)
        if len(self._copies) >= _MOST_COPIES_AT_ONCE:
            return
        is_prediction = query.reason is Reason.NONE
        given = query.output if is_prediction else None
        given_us = (self._clock.now_ns() - query.arrived_ns) // 1000 if is_prediction else None
        if not self._copies:
            self._clock.call_soon(self._ask)
        self._copies.extend(partial(self._copy, query.route, shadow, value, given, given_us) for shadow in chosen)

    def _ask(self) -> None:
        copies, self._copies = self._copies[:_COPIES_PER_TURN], self._copies[_COPIES_PER_TURN:]
        if self._copies:
            self._clock.call_soon(self._ask)
        for copy in copies:
            copy()

    def _copy(self, route: Route, shadow: Shadow, value: bytes, given: bytes | None, given_us: int | None) -> None:
        now_ns = self._clock.now_ns()
        try:
            query_id = self._take_query_id()
        except ClipperError:  # ids are for those who wait
            return
        on_done = partial(self._count, shadow, given, given_us)
        self._submits.submit(
            Query(query_id, route, shadow.version, value, now_ns, now_ns + route.objective_ns, on_done), now_ns
        )

    def _count(self, shadow: Shadow, given: bytes | None, given_us: int | None, query: Query) -> None:
        has_answer = query.batch is not None
        counted = count(
            shadow_us=(self._clock.now_ns() - query.arrived_ns) // 1000 if has_answer else None,
            given_us=given_us,
            agreed=self._agree(query, given) if has_answer and given is not None else None,
            error="" if has_answer else query.reason.name,
        )
        self._counters.setdefault((query.route.name, shadow.model), Counter()).update(counted)
        self._has_counted.set()

    def _agree(self, query: Query, given: bytes) -> bool:
        if query.output == given:
            return True
        ours, theirs = self._outputs.value(query.output), self._outputs.value(given)
        return ours is not None and theirs is not None and query.route.policy.agree(ours, theirs)

    async def run(self) -> None:
        """Adds counters to the store, for ever."""
        while True:
            await self._has_counted.wait()
            await self._sleep(_PAUSE_NS)
            await self.end()

    async def end(self) -> None:
        """Adds what was counted; what the store does not take waits for the next time."""
        counted, self._counters = self._counters, {}
        self._has_counted.clear()
        adding = [self._add(*key, counters) for key, counters in counted.items() if key in self._linked]
        await asyncio.gather(*adding)

    async def _add(self, application: str, model: str, counters: Counter[str]) -> None:
        try:
            await self._store.count_shadow(application, model, counters)
        except ClipperError as error:
            _log.debug("shadow_not_counted", extra={"application": application, "problem": error.message})
            self._counters.setdefault((application, model), Counter()).update(counters)
            self._has_counted.set()
