"""What keeps copies fresh: reads what is wanted, follows what changes, and goes on after the store was away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from engine_fakes import FakeSleeps

from clipper_frontend.learning import Learning
from clipper_frontend.routes import Application, Link, RouteTable
from clipper_frontend.selection.learned import Change, Changed
from clipper_frontend.selection.records import StateKey
from clipper_rpc.errors import StoreUnavailable
from clipper_selection import State, policy

POLICY = policy("epsilon_greedy")
KEY = StateKey("app", "epsilon_greedy")


class FakeStore:
    """States, and one line on which changes come; the test breaks and mends both."""

    def __init__(self) -> None:
        self.states: dict[str, tuple[State, int]] = {}
        self.reads: list[str] = []
        self.follows = 0
        self.is_away = False
        self._line: asyncio.Queue[Change | None] = asyncio.Queue()

    async def read(self, application: str, generation: int, context: str) -> tuple[State, int]:
        self.reads.append(context)
        if self.is_away:
            raise StoreUnavailable(problem="away")
        return self.states.get(context, ({}, 0))

    async def follow(self) -> AsyncIterator[Change | None]:
        self.follows += 1
        if self.is_away:
            raise StoreUnavailable(problem="away")
        self._line = asyncio.Queue()
        yield None
        while True:
            change = await self._line.get()
            if change is None:
                raise StoreUnavailable(problem="broken")
            yield change

    def tell(self, revision: int, values: State) -> None:
        self.states[""] = (values, revision)
        self._line.put_nowait(Change("app", 1, (Changed("", revision, False, values),)))

    def break_off(self) -> None:
        self._line.put_nowait(None)


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


@asynccontextmanager
async def running(store: FakeStore, sleeps: FakeSleeps) -> AsyncIterator[Learning]:
    learning = Learning(store, sleeps, max_contexts=10)
    learning.states.use(RouteTable.of([Application("app", 4, 10**9, None, (Link("a"),), POLICY, generation=1)]))
    task = asyncio.create_task(learning.run())
    try:
        yield learning
    finally:
        task.cancel()
        await asyncio.wait((task,))


async def test_while_nobody_wants_a_state_the_store_is_left_alone() -> None:
    store = FakeStore()
    async with running(store, FakeSleeps()):
        await settled()
    assert (store.follows, store.reads) == (0, [])


async def test_a_wanted_state_is_read_and_followed() -> None:
    store = FakeStore()
    store.states[""] = ({"a/plays": 1.0}, 5)
    async with running(store, FakeSleeps()) as learning:
        assert learning.states.state(KEY, POLICY) == {}
        await settled()
        assert learning.states.state(KEY, POLICY) == {"a/plays": 1.0}
        store.tell(6, {"a/plays": 2.0})
        await settled()
        assert learning.states.state(KEY, POLICY) == {"a/plays": 2.0}
    assert 1 <= len(store.reads) <= 2  # once more when changes began to be told


async def test_what_was_missed_while_the_line_was_broken_is_read_again() -> None:
    store, sleeps = FakeStore(), FakeSleeps()
    store.states[""] = ({"a/plays": 1.0}, 5)
    async with running(store, sleeps) as learning:
        learning.states.state(KEY, POLICY)
        await settled()
        store.break_off()
        await settled()
        store.states[""] = ({"a/plays": 9.0}, 13)
        assert learning.states.state(KEY, POLICY) == {"a/plays": 1.0}
        sleeps.wake()
        await settled()
        learning.states.state(KEY, POLICY)
        await settled()
        assert learning.states.state(KEY, POLICY) == {"a/plays": 9.0}
    assert store.follows == 2


async def test_while_the_store_is_away_the_last_state_is_used_and_each_try_waits_longer() -> None:
    store, sleeps = FakeStore(), FakeSleeps()
    store.is_away = True
    async with running(store, sleeps) as learning:
        learning.states.state(KEY, POLICY)
        for _ in range(8):
            await settled()
            sleeps.wake()
        assert store.reads == []  # nothing is read before changes would be told
        assert len(sleeps.waits_ns) >= 8
        assert max(sleeps.waits_ns) > 5 * sleeps.waits_ns[0]
        store.is_away, store.states[""] = False, ({"a/plays": 3.0}, 5)
        sleeps.wake()
        await settled()
        learning.states.state(KEY, POLICY)
        await settled()
        assert learning.states.state(KEY, POLICY) == {"a/plays": 3.0}


async def test_a_read_that_failed_is_made_again() -> None:
    store, sleeps = FakeStore(), FakeSleeps()
    async with running(store, sleeps) as learning:
        learning.states.state(KEY, POLICY)
        await settled()
        store.states["ann"] = ({"a/plays": 4.0}, 7)
        ann = StateKey("app", "epsilon_greedy", "ann")
        store.is_away = True
        learning.states.state(ann, POLICY)
        await settled()
        assert learning.states.state(ann, POLICY) == {}
        store.is_away = False
        sleeps.wake()
        await settled()
        assert learning.states.state(ann, POLICY) == {"a/plays": 4.0}
    assert store.reads.count("ann") == 2


async def test_who_must_know_a_state_reads_it_first() -> None:
    store = FakeStore()
    store.states[""] = ({"a/plays": 6.0}, 5)
    async with running(store, FakeSleeps()) as learning:
        assert await learning.known(KEY, POLICY) == {"a/plays": 6.0}
        assert await learning.known(StateKey("nobody", "exp3"), POLICY) == {}
