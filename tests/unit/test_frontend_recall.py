"""What was shown is remembered in bursts, and never gets in the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from engine_fakes import FakeSleeps
from hypothesis import given
from hypothesis import strategies as st

from clipper_frontend.recall import DIGEST, Recall, Remembered, decoded, encoded
from clipper_frontend.routes import Application, Link, RouteTable
from clipper_frontend.selection.records import Asked, Shown
from clipper_rpc.errors import StoreUnavailable
from clipper_selection import policy


class FakeStore:
    """Keeps records; the test says when it takes them."""

    def __init__(self) -> None:
        self.records: dict[int, bytes] = {}
        self.bursts: list[int] = []
        self.is_open = asyncio.Event()
        self.is_open.set()
        self.is_away = False
        self.looked: list[int] = []

    async def remember(self, records: Sequence[tuple[int, bytes]]) -> None:
        self.bursts.append(len(records))
        await self.is_open.wait()
        if self.is_away:
            raise StoreUnavailable(problem="away")
        self.records.update(records)

    async def recall(self, query_id: int) -> bytes | None:
        self.looked.append(query_id)
        return self.records.get(query_id)


def shown(query_id: int, *, application: str = "app", output: bytes = b"\x0a\x01x") -> Shown:
    asked = (Asked("a", "1", 0.25, output, 1.0),)
    return Shown(query_id, application, "exp3", "ann", b"in", output, False, 1.0, asked, ("a", "b"))


@asynccontextmanager
async def running(store: FakeStore, sleeps: FakeSleeps | None = None) -> AsyncIterator[Recall]:
    recall = Recall(store, sleeps or FakeSleeps())
    learns = Application("app", 4, 10**9, None, (Link("a"),), policy("exp3"), generation=7)
    recall.use(RouteTable.of([learns, Application("still", 4, 10**9)]))
    task = asyncio.create_task(recall.run())
    try:
        yield recall
    finally:
        task.cancel()
        await asyncio.wait((task,))


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_query_is_remembered_with_all_that_feedback_needs() -> None:
    store = FakeStore()
    async with running(store) as recall:
        recall.shown(shown(1))
        await settled()
        assert await recall.find(1) == Remembered(
            "app", 7, "ann", b"\x0a\x01x", False, ("a", "b"), (Asked("a", "1", 0.25, b"\x0a\x01x", 1.0),)
        )
    assert store.looked == [1]


async def test_what_gathers_while_the_store_is_busy_is_one_burst_and_is_known_meanwhile() -> None:
    store = FakeStore()
    store.is_open.clear()
    async with running(store) as recall:
        for query_id in range(100):
            recall.shown(shown(query_id))
            await asyncio.sleep(0)
        assert (await recall.find(0), await recall.find(99)) != (None, None)
        assert not store.looked
        store.is_open.set()
        await settled()
    assert len(store.bursts) == 2
    assert sum(store.bursts) == 100
    assert len(store.records) == 100


async def test_only_queries_of_applications_that_learn_are_remembered() -> None:
    store = FakeStore()
    async with running(store) as recall:
        recall.shown(shown(1, application="still"))
        recall.shown(shown(2, application="gone"))
        await settled()
    assert not store.records


async def test_another_frontend_may_be_about_to_write_so_it_is_looked_for_twice() -> None:
    store, sleeps = FakeStore(), FakeSleeps()
    async with running(store, sleeps) as recall:
        finding = asyncio.create_task(recall.find(5))
        await settled()
        record = Remembered("app", 7, "", None, True, ("a",), ())
        store.records[5] = encoded(record)
        sleeps.wake()
        assert await finding == record
        finding = asyncio.create_task(recall.find(6))
        await settled()
        sleeps.wake()
        assert await finding is None
    assert store.looked == [5, 5, 6, 6]


async def test_without_the_store_records_are_given_up_and_later_ones_kept() -> None:
    store = FakeStore()
    store.is_away = True
    async with running(store) as recall:
        recall.shown(shown(1))
        await settled()
        assert recall.given_up == 1
        store.is_away = False
        recall.shown(shown(2))
        await settled()
    assert list(store.records) == [2]


async def test_what_waits_is_bounded() -> None:
    store = FakeStore()
    store.is_open.clear()
    async with running(store) as recall:
        for query_id in range(20_300):
            recall.shown(shown(query_id))
        assert recall.given_up == 300


async def test_at_the_end_what_waits_is_written() -> None:
    store = FakeStore()
    async with running(store) as recall:
        for query_id in range(1000):
            recall.shown(shown(query_id))
        await recall.end()
    assert len(store.records) == 1000


@given(st.binary(max_size=5000), st.binary(max_size=50), st.text(max_size=20), st.booleans(), st.floats(0, 1))
def test_records_come_back_as_they_were_but_large_outputs_as_digests(
    output: bytes, other: bytes, context: str, is_default: bool, propensity: float
) -> None:
    asked = (
        Asked("a", "1", propensity, output, 0.5),
        Asked("b", "2", 1.0, None, 0.0),
        Asked("c", "3", 1.0, other, 0.5),
    )
    record = Remembered("app", 3, context, output, is_default, ("a", "b", "c"), asked)
    found = decoded(encoded(record))
    if len(output) <= 4096:
        assert found == record
    else:
        assert found.output is not None
        assert found.output.startswith(DIGEST)
        assert found.output == found.asked[0].output
        assert found.asked[1:] == asked[1:]


@pytest.mark.parametrize("same", [True, False])
def test_digests_tell_large_outputs_apart(same: bool) -> None:
    one, other = b"x" * 9000, b"x" * 9000 if same else b"x" * 8999 + b"y"
    record = Remembered("app", 3, "", one, False, ("a",), (Asked("a", "1", 1.0, other, 1.0),))
    found = decoded(encoded(record))
    assert (found.output == found.asked[0].output) is same
