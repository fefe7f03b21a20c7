"""One timer for all deadlines."""

from __future__ import annotations

from engine_fakes import MS, FakeClock

from clipper_frontend.deadlines import Deadlines
from clipper_frontend.query import Query, Reason
from clipper_frontend.routes import Application, RouteTable

ROUTE = RouteTable.of([Application("app", 4, 1000)]).route("app")


def query(clock: FakeClock, in_ms: float, told: list[tuple[int, Query]] | None = None) -> Query:
    def on_done(each: Query) -> None:
        if told is not None:
            told.append((clock.ns, each))

    return Query(1, ROUTE, None, b"", clock.ns, clock.ns + int(in_ms * MS), on_done)


def test_each_query_expires_at_its_own_deadline_whatever_the_order_they_came_in() -> None:
    clock = FakeClock()
    deadlines, told = Deadlines(clock), []  # type: ignore[var-annotated]
    start = clock.ns
    queries = [query(clock, in_ms, told) for in_ms in (30, 10, 20, 10)]
    for each in queries:
        deadlines.add(each)
    clock.advance(9 * MS)
    assert not told
    clock.advance(91 * MS)
    assert [(at - start) // MS for at, _ in told] == [10, 10, 20, 30]
    assert {each.reason for each in queries} == {Reason.LATE}


def test_there_is_one_timer_however_many_queries() -> None:
    clock = FakeClock()
    deadlines = Deadlines(clock)
    for in_ms in range(1000, 0, -1):
        deadlines.add(query(clock, in_ms))
    assert clock.pending_timers == 1
    clock.advance(500 * MS)
    assert clock.pending_timers == 1
    clock.advance(500 * MS)
    assert clock.pending_timers == 0


def test_answered_queries_do_not_expire() -> None:
    clock = FakeClock()
    deadlines, told = Deadlines(clock), []  # type: ignore[var-annotated]
    early, late = query(clock, 10, told), query(clock, 20, told)
    deadlines.add(early)
    deadlines.add(late)
    early.leave()
    clock.advance(15 * MS)
    assert not told
    clock.advance(5 * MS)
    assert [each for _, each in told] == [late]


def test_answered_queries_with_far_deadlines_are_not_held() -> None:
    clock = FakeClock()
    deadlines = Deadlines(clock)
    for _ in range(100_000):
        each = query(clock, 3_600_000)
        deadlines.add(each)
        each.leave()
    assert len(deadlines) < 10_000


def test_a_callback_that_raises_does_not_stop_the_clock_for_the_others() -> None:
    clock = FakeClock()
    deadlines, told = Deadlines(clock), []  # type: ignore[var-annotated]

    def broken(_query: Query) -> None:
        raise RuntimeError("a fault of ours")

    deadlines.add(Query(1, ROUTE, None, b"", clock.ns, clock.ns + MS, broken))
    deadlines.add(query(clock, 2, told))
    try:
        clock.advance(5 * MS)
    except RuntimeError:
        clock.advance(5 * MS)
    assert len(told) == 1


def test_after_closing_nothing_expires() -> None:
    clock = FakeClock()
    deadlines, told = Deadlines(clock), []  # type: ignore[var-annotated]
    deadlines.add(query(clock, 1, told))
    deadlines.close()
    clock.advance(5 * MS)
    assert not told
