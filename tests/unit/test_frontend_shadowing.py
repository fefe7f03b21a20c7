"""Shadows: copies after the answer, counted, in nobody's way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

import pytest
from engine_fakes import MS, FakeClock, FakeSleeps

from clipper.v1 import values_pb2
from clipper_frontend.joint import AnyQuery
from clipper_frontend.outputs import Outputs
from clipper_frontend.query import Batch, Query, Reason
from clipper_frontend.routes import Application, Link, Model, Replica, RouteTable, Version
from clipper_frontend.shadowing import Shadows
from clipper_rpc.errors import StoreUnavailable
from clipper_selection.shadows import comparison, count


def output(value: float | str) -> bytes:
    made = values_pb2.Output(string=value) if isinstance(value, str) else values_pb2.Output(number=value)
    return made.SerializeToString()


class House:
    """An application "app" with the model "live" and the shadow "next", among fakes."""

    def __init__(self, *, share: float = 1.0) -> None:
        self.clock = FakeClock()
        self.copies: list[Query] = []
        self.counted: list[tuple[str, str, Counter[str]]] = []
        self.is_away = False
        self.draws = [0.9, 0.1, 0.4]
        self.shadows = Shadows(self, lambda: 1, self.clock, Outputs(), self, FakeSleeps(), lambda: self.draws.pop(0))
        links = (Link("live"), Link("next", shadow_share=share))
        self.table = RouteTable.of(
            [
                Application("app", 4, 100 * MS, b"default", links),
                *(Model("live", "1"), Version("live", "1", "l", 4)),
                *(Model("next", "2"), Version("next", "2", "n", 4), Replica("next", "2", 0, "n:1")),
            ]
        )
        self.route = self.table.route("app")
        self.shadows.use(self.table)

    def submit(self, query: Query, now_ns: int) -> None:
        self.copies.append(query)

    async def count_shadow(self, application: str, model: str, counters: Mapping[str, int]) -> None:
        if self.is_away:
            raise StoreUnavailable(problem="away")
        self.counted.append((application, model, Counter(counters)))

    def ask(self, on_done: Callable[[AnyQuery], None]) -> Query:
        """A query to the live model."""
        watched = self.shadows.watched(self.route, b"in", on_done)
        now_ns = self.clock.ns
        return Query(1, self.route, self.route.current[0], b"in", now_ns, now_ns + 100 * MS, watched)

    def answered(self, value: float | str = 1.0, after_ns: int = 2 * MS) -> Query:
        query = self.ask(lambda _: None)
        self.clock.advance(after_ns)
        query.succeed(output(value), Batch(0, 1, self.clock.ns, self.clock.ns))
        return query

    def shadow_says(self, value: float | str, after_ns: int = 5 * MS) -> None:
        [copy] = self.copies
        self.clock.advance(after_ns)
        copy.succeed(output(value), Batch(0, 1, self.clock.ns, self.clock.ns))


async def test_a_copy_is_made_after_the_answer_in_a_later_turn() -> None:
    house, seen = House(), list[int]()
    query = house.ask(lambda _: seen.append(len(house.copies)))
    query.succeed(output(1), Batch(0, 1, 0, 0))
    assert (seen, house.copies) == ([0], [])
    house.clock.settle()
    [copy] = house.copies
    assert copy.version is not None
    assert (copy.version.model, copy.input) == ("next", b"in")
    assert copy.deadline_ns == house.clock.ns + 100 * MS
    assert house.route.models == ("live",)


@pytest.mark.parametrize(("said", "agreed"), [(1.0, 1), ("1", 1), (2.0, 0)])
async def test_its_answer_is_compared_by_meaning(said: float | str, agreed: int) -> None:
    house = House()
    house.answered(1.0)
    house.clock.settle()
    house.shadow_says(said)
    await house.shadows.end()
    [(application, model, counters)] = house.counted
    found = comparison(counters)
    assert (application, model) == ("app", "next")
    assert (found.queries, found.answers, found.compared, found.agreed) == (1, 1, 1, agreed)
    assert found.given.mean_us == 2000
    assert found.shadow.mean_us == 5000
    assert found.shadow.p99_us == pytest.approx(5000, rel=0.1)


async def test_defaults_are_no_answers_to_be_compared_with() -> None:
    house = House()
    query = house.ask(lambda _: None)
    query.fail(Reason.LATE)
    house.clock.settle()
    house.shadow_says(1.0)
    await house.shadows.end()
    found = comparison(house.counted[0][2])
    assert (found.queries, found.answers, found.compared) == (1, 1, 0)


async def test_a_shadow_that_fails_is_counted_by_reason() -> None:
    house = House()
    for reason in (Reason.LATE, Reason.MODEL_ERROR, Reason.LATE):
        house.answered()
        house.clock.settle()
        house.copies.pop().fail(reason)
    await house.shadows.end()
    found = comparison(house.counted[0][2])
    assert (found.queries, found.answers, found.errors) == (3, 0, {"LATE": 2, "MODEL_ERROR": 1})


async def test_a_shadow_gets_its_share() -> None:
    house = House(share=0.5)
    for _ in range(3):
        house.answered()
    house.clock.settle()
    assert len(house.copies) == 2  # it drew 0.9, 0.1 and 0.4


async def test_a_caller_that_left_has_no_answer_to_be_compared_with() -> None:
    house = House()
    house.ask(lambda _: None).leave()
    house.clock.settle()
    assert not house.copies


async def test_a_storm_of_copies_leaves_others_their_turn_and_is_bounded() -> None:
    house = House()
    for _ in range(11_000):
        house.ask(lambda _: None).succeed(output(1.0), Batch(0, 1, 0, 0))
    turns: list[int] = []
    house.clock.call_soon(lambda: turns.append(len(house.copies)))
    house.clock.settle()
    assert turns[0] <= 64
    assert len(house.copies) == 10_000


async def test_counters_wait_while_the_store_is_away_and_are_dropped_with_the_link() -> None:
    house = House()
    house.is_away = True
    for _ in range(2):
        house.answered()
        house.clock.settle()
        house.copies.pop().fail(Reason.LATE)
        await house.shadows.end()
    house.is_away = False
    await house.shadows.end()
    assert [counters["queries"] for _, _, counters in house.counted] == [2]
    house.answered()
    house.clock.settle()
    house.shadows.use(RouteTable.of([]))
    house.shadow_says(1.0)
    await house.shadows.end()
    assert len(house.counted) == 1


def test_counters_add_up_to_the_same_in_any_order() -> None:
    assert comparison({}).shadow.p50_us == 0
    counters: Counter[str] = Counter()
    for us in range(1, 1001):
        counters += count(shadow_us=us, given_us=None, agreed=None, error="")
    found = comparison(counters)
    assert found.shadow.mean_us == 500
    for share, told in ((500, found.shadow.p50_us), (950, found.shadow.p95_us), (990, found.shadow.p99_us)):
        assert told == pytest.approx(share, rel=0.1)
