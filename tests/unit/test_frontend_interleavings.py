"""Whatever happens, in whatever order: every query is answered exactly once, and nothing is left behind."""

from __future__ import annotations

import gc
import random
import weakref
from dataclasses import replace
from typing import Any

import pytest
from engine_fakes import MS, FakeReplica
from engines import LIMITS, Engine, Pace, Plant, copy, engine_with, outcomes, version
from hypothesis import given
from hypothesis import strategies as st

from clipper_frontend.batch_policies import Policy
from clipper_frontend.query import Query, Reason
from clipper_frontend.runtime import Failure as ModelFailure
from clipper_frontend.runtime import Predictions, TimedOut

COPIES = 3
EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.integers(1, 5), st.integers(1, 60)),
        st.tuples(st.just("leave"), st.integers(0, 50), st.just(0)),
        st.tuples(st.just("wait"), st.integers(1, 40), st.just(0)),
        st.tuples(st.just("answer"), st.integers(0, 5), st.just(0)),
        st.tuples(st.just("short"), st.integers(0, 5), st.just(0)),
        st.tuples(st.just("fail"), st.integers(0, 5), st.just(0)),
        st.tuples(st.just("lose"), st.integers(0, 5), st.integers(0, 3)),
        st.tuples(st.just("time out"), st.integers(0, 5), st.booleans()),
        st.tuples(st.just("up"), st.integers(0, 2), st.integers(0, 1)),
        st.tuples(st.just("replicas"), st.integers(0, 7), st.just(0)),
    ),
    max_size=60,
)


def open_batches(engine: Engine) -> list[tuple[FakeReplica, int]]:
    return [(each, at) for each in engine.cluster.everyone for at, _ in enumerate(each.open)]


def happen(engine: Engine, replicas: list[FakeReplica], batching: dict[str, Any], event: tuple[str, int, int]) -> None:
    """What may happen to replicas and to the configuration."""
    what, number, extra = event
    batches = open_batches(engine)
    holder, at = batches[number % len(batches)] if batches else (replicas[0], -1)
    match what:
        case "wait":
            engine.clock.advance(number * MS)
        case "answer" if batches:
            holder.open[at].answer()
        case "short" if batches:
            values = holder.open[at].inputs
            holder.open[at].answer(Predictions([ModelFailure("E", "p") if v == b"\2" else v for v in values]))
        case "fail" if batches:
            holder.open[at].fail()
        case "lose" if batches:
            holder.is_up = extra > 1
            holder.open[at].lose(was_refused=bool(extra % 2))
        case "time out" if batches:
            engine.clock.ns = max(engine.clock.ns, holder.open[at].deadline_ns)
            holder.open[at].answer(TimedOut(was_told=bool(extra)))
        case "up":
            replicas[number].is_up = bool(extra)
            engine.cluster[f"host:1{number}"].is_up = bool(extra)
        case "replicas":
            engine.apply(version(**batching), *(copy(each) for each in range(COPIES) if number >> each & 1))


@given(
    events=EVENTS,
    policy=st.sampled_from(Policy),
    no_retry=st.booleans(),
    linger_ms=st.sampled_from([0, 0, 7]),
    in_flight=st.integers(1, 2),
    hedge_percent=st.sampled_from([0, 30, 100]),
    rows=st.integers(1, 4),
    raising=st.sets(st.integers(1, 20)),
)
def test_every_accepted_query_is_answered_exactly_once_whatever_happens(
    events: list[tuple[str, int, int]],
    policy: Policy,
    no_retry: bool,
    linger_ms: int,
    in_flight: int,
    hedge_percent: int,
    rows: int,
    raising: set[int],
) -> None:
    batching: dict[str, Any] = {
        "policy": policy,
        "no_retry": no_retry,
        "linger_ns": linger_ms * MS,
        "max_batches_in_flight": in_flight,
        "hedge_percent": hedge_percent,
        "max_batch_rows": rows,
    }
    engine, replicas = engine_with(*map(copy, range(COPIES)), **batching)
    engine.raising = raising
    queries: list[Query] = []
    left: set[int] = set()
    late: list[tuple[Query, bytes]] = []
    for event in events:
        what, number, extra = event
        if what == "ask":
            for each in range(1, number + 1):
                query = engine.submit(bytes([each]), in_ms=extra)
                query.on_late = lambda output, query=query: late.append((query, output))  # type: ignore[misc]
                queries.append(query)
            engine.clock.settle()
        elif what == "leave" and queries:
            query = queries[number % len(queries)]
            if not query.is_done:
                query.leave()
                left.add(query.query_id)
        else:
            happen(engine, replicas, batching, event)
        engine.clock.settle()
        assert engine.dispatcher.waiting_rows == sum(query.is_waiting for query in queries)
        assert not any(query.is_done and (query.is_waiting or query.is_out) for query in queries)
        assert len(engine.done) == len({query.query_id for query in engine.done})
        for replica in engine.cluster.everyone:
            assert all(len(batch.inputs) <= rows for batch in replica.batches)
            assert len(replica.open) <= in_flight
    engine.clock.advance(61 * MS)

    assert all(query.is_done for query in queries)
    assert engine.dispatcher.waiting_rows == 0
    answered = sorted(query.query_id for query in engine.done)
    assert answered == [query.query_id for query in queries if query.query_id not in left]
    for query in engine.done:
        assert (query.batch is None) == (query.reason is not Reason.NONE)
        if query.batch is not None:
            assert query.batch.sent_ns < query.deadline_ns
    for query, output in late:
        assert query.batch is None
        assert len(output) == 1
    assert len(late) == len({id(query) for query, _ in late})
    counts = [pool.counts for pool in engine.dispatcher.pools]
    assert all(100 * each.hedged_rows <= hedge_percent * each.rows for each in counts)
    # and afterwards the engine is as good as new
    for replica in engine.cluster.everyone:
        replica.is_up = True
        for batch in replica.open:
            batch.answer()
    engine.apply(version(), copy(7))
    [last] = engine.ask(b"z")
    engine.cluster["host:17"].open[0].answer()
    assert outcomes([last]) == [b"z"]


class Tracked(Query):
    """A query that can be seen to be gone."""

    __slots__ = ("__weakref__",)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("hedge_percent", [0, 20])
def test_a_thousand_clients_that_leave_at_random_leave_nothing_behind(seed: int, hedge_percent: int) -> None:
    plant = Plant(
        *[Pace(4, 0.5, noise=0.3)] * 3, objective_ms=80, hedge_percent=hedge_percent, seed=seed, linger_ns=2 * MS
    )
    rng = random.Random(seed)
    seen: list[weakref.ref[Tracked]] = []
    told: list[int] = []
    left: set[int] = set()
    gc.collect()
    gc.disable()
    try:
        for number in range(1000):
            now_ns = plant.clock.ns
            query = Tracked(
                number,
                plant.table.route("app"),
                plant.version,
                b"x" * rng.randint(1, 100),
                now_ns,
                now_ns + plant.objective_ns,
                lambda query: told.append(query.query_id),
            )
            seen.append(weakref.ref(query))
            plant.dispatcher.submit(query, now_ns)
            if rng.random() < 0.7 and not query.is_done:

                def leave(query: Tracked = query) -> None:
                    if not query.is_done:
                        left.add(query.query_id)
                        query.leave()

                plant.clock.call_at(now_ns + rng.randint(0, 30) * MS, leave)
                del leave
            del query
            plant.clock.advance(rng.choice([0, 0, 0, 1, 2]) * MS)
        plant.clock.advance(10_000 * MS)
        assert [each() for each in seen if each() is not None] == [], "freed without the help of the collector"
    finally:
        gc.enable()
    assert sorted([*told, *left]) == list(range(1000))
    assert len(left) >= 100
    assert plant.dispatcher.waiting_rows == plant.dispatcher.batches_in_flight == 0
    assert plant.clock.pending_timers == 0


def test_a_caller_that_raises_spares_its_neighbours() -> None:
    engine, [replica] = engine_with(copy())
    queries = [engine.submit(bytes([each])) for each in b"abc"]
    engine.raising = {queries[1].query_id}
    engine.clock.settle()
    replica.open[0].answer()
    assert outcomes(queries) == [b"a", b"b", b"c"]


def test_an_answer_that_comes_after_all_deadlines_is_offered_to_those_who_keep_it() -> None:
    engine, [replica] = engine_with(copy())
    kept: list[bytes] = []
    [query] = engine.ask(b"a", in_ms=10)
    query.on_late = kept.append
    engine.clock.advance(20 * MS)
    assert query.reason is Reason.LATE
    replica.open[0].answer()
    assert kept == [b"a"]


def test_a_batch_that_all_callers_have_left_is_taken_back_and_its_replica_goes_on() -> None:
    engine, [replica] = engine_with(copy())
    queries = engine.ask(b"ab")
    queries[0].leave()
    assert not replica.batches[0].is_cancelled
    queries[1].leave()
    assert replica.batches[0].is_cancelled
    engine.clock.settle()
    [after] = engine.ask(b"c")
    replica.open[0].answer()
    assert outcomes([after]) == [b"c"]


def test_a_removed_replica_is_closed_when_its_last_batch_is_taken_back() -> None:
    engine, [replica] = engine_with(copy())
    [query] = engine.ask(b"a")
    engine.apply(version())
    assert not replica.is_closed
    query.leave()
    assert replica.is_closed


def test_many_versions_of_which_one_is_flooded_do_not_hurt_each_other() -> None:
    engine = Engine(replace(LIMITS, max_queue_rows=5))
    engine.apply(version(), version("2"), copy(), copy(label="2"))
    flood = engine.ask(b"x" * 50)
    others = engine.ask(b"ab", label="2")
    engine.cluster["host:20"].open[0].answer()
    assert outcomes(others) == [b"a", b"b"]
    assert sum(query.reason is Reason.OVERLOADED for query in flood) == 45
