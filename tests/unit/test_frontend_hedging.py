"""Second tries: when, for whom, how many, and what becomes of the first ones."""

from __future__ import annotations

from dataclasses import replace

import pytest
from engine_fakes import MS, FakeReplica
from engines import LIMITS, Engine, Pace, Plant, copy, engine_with, outcomes, version
from hypothesis import given
from hypothesis import strategies as st

from clipper_frontend.carriage import Counts
from clipper_frontend.query import Query, Reason
from clipper_frontend.runtime import Failure, Predictions


def counts(engine: Engine) -> Counts:
    [pool] = engine.dispatcher.pools
    return pool.counts


def straggling(
    values: bytes = b"ab", *, percent: int = 100, copies: int = 2, in_ms: int = 100
) -> tuple[Engine, list[Query], FakeReplica, list[FakeReplica]]:
    """A batch at a replica that is known to take 10 ms; and the replica, and the others."""
    engine, replicas = engine_with(*map(copy, range(copies)), hedge_percent=percent)
    for _ in range(8 * copies):  # all are known, and the budget is full
        engine.ask(b"x" * len(values))
        engine.clock.advance(10 * MS)
        for replica in replicas:
            for batch in replica.open:
                batch.answer()
        engine.clock.settle()
    engine.done.clear()
    queries = engine.ask(values, in_ms=in_ms)
    [first] = [replica for replica in replicas if replica.open]
    return engine, queries, first, [replica for replica in replicas if replica is not first]


def test_a_batch_that_takes_far_longer_than_usual_is_sent_to_another_replica_and_the_first_answer_counts() -> None:
    engine, queries, first, [other] = straggling()
    engine.clock.advance(14 * MS)
    assert not other.open
    engine.clock.advance(2 * MS)
    assert other.open[0].inputs == [b"a", b"b"]
    other.open[0].answer()
    assert outcomes(queries) == [b"a", b"b"]
    assert queries[0].batch is not None
    assert queries[0].batch.is_hedge
    assert first.batches[-1].is_cancelled
    assert (counts(engine).hedges, counts(engine).hedges_won, counts(engine).hedged_rows) == (1, 1, 2)
    assert engine.dispatcher.batches_in_flight == 0


def test_the_first_try_may_still_win_and_the_second_one_is_taken_back() -> None:
    engine, queries, first, [other] = straggling()
    engine.clock.advance(20 * MS)
    first.open[0].answer()
    assert outcomes(queries) == [b"a", b"b"]
    assert other.batches[-1].is_cancelled
    assert queries[0].batch is not None
    assert not queries[0].batch.is_hedge
    assert (counts(engine).hedges, counts(engine).hedges_won) == (1, 0)


def test_a_replica_that_was_overtaken_is_on_trial_until_it_answers() -> None:
    engine, _, first, [other] = straggling()
    engine.clock.advance(20 * MS)
    other.open[0].answer()
    engine.clock.settle()
    engine.ask(b"cd")
    assert [len(batch.inputs) for batch in other.open] == [2]
    engine.ask(b"ef", in_ms=500)
    assert [len(batch.inputs) for batch in first.open] == [1]
    first.open[0].answer()
    engine.clock.settle()
    assert not [member for member in engine.dispatcher.pools[0].members if member.is_on_trial]


def test_a_replica_on_trial_gets_second_tries_where_there_is_no_sound_one() -> None:
    engine, _, first, [other] = straggling()
    engine.clock.advance(20 * MS)
    other.open[0].answer()
    engine.clock.settle()
    queries = engine.ask(b"c")
    assert [batch.inputs for batch in other.open] == [[b"c"]]
    engine.clock.advance(20 * MS)
    assert [batch.inputs for batch in first.open] == [[b"c"]]
    first.open[0].answer()
    assert outcomes(queries) == [b"c"]
    assert [member.is_on_trial for member in engine.dispatcher.pools[0].members].count(True) == 1


def test_without_being_asked_for_nothing_is_sent_twice() -> None:
    engine, _, _, [other] = straggling(percent=0)
    engine.clock.advance(50 * MS)
    assert not other.open


def test_only_those_who_still_wait_are_sent_again() -> None:
    engine, queries, _, [other] = straggling(b"abc")
    queries[1].leave()
    engine.clock.advance(20 * MS)
    assert other.open[0].inputs == [b"a", b"c"]
    other.open[0].answer()
    assert [queries[0].output, queries[2].output] == [b"a", b"c"]
    assert engine.done == [queries[0], queries[2]]


def test_a_batch_that_is_overdue_goes_to_the_next_replica_that_becomes_idle() -> None:
    engine, queries, _, [other] = straggling()
    engine.ask(b"c")
    engine.clock.advance(20 * MS)
    assert [batch.inputs for batch in other.open] == [[b"c"]]
    other.open[0].answer()
    engine.clock.settle()
    assert [batch.inputs for batch in other.open] == [[b"a", b"b"]]
    other.open[0].answer()
    assert outcomes(queries) == [b"a", b"b"]


def test_nothing_is_sent_again_that_could_not_be_answered_in_time() -> None:
    engine, _, _, [other] = straggling(in_ms=24)
    engine.clock.advance(23 * MS)
    assert not other.open


def test_a_budget_that_is_used_up_denies() -> None:
    engine, _ = engine_with(copy(0), copy(1), hedge_percent=1)
    replicas = list(engine.cluster.replicas.values())
    for _ in range(8):
        engine.ask(b"x")
        engine.clock.advance(10 * MS)
        [batch] = [batch for replica in replicas for batch in replica.open]
        batch.answer()
        engine.clock.settle()
    engine.ask(b"a")
    engine.clock.advance(50 * MS)
    assert sum(len(replica.open) for replica in replicas) == 1
    assert (counts(engine).hedges, counts(engine).hedges_denied) == (0, 1)


@pytest.mark.parametrize("how", ["fail", "lose", "time_out"])
def test_one_try_that_fails_leaves_it_to_the_other(how: str) -> None:
    engine, queries, first, [other] = straggling()
    engine.clock.advance(20 * MS)
    getattr(first.open[0], how)()
    assert not any(query.is_done for query in queries)
    other.open[0].answer()
    assert outcomes(queries) == [b"a", b"b"]
    assert counts(engine).moved == 0


def test_when_both_tries_are_lost_the_queries_move_on_once() -> None:
    engine, queries, first, [other] = straggling()
    engine.clock.advance(20 * MS)
    first.open[0].lose()
    other.open[0].lose()
    engine.clock.settle()
    waiting = [batch for replica in (first, other) for batch in replica.open]
    assert [batch.inputs for batch in waiting] == [[b"a", b"b"]]
    waiting[0].answer()
    assert outcomes(queries) == [b"a", b"b"]
    assert counts(engine).moved == 2


def test_an_input_that_the_second_try_fails_on_has_failed() -> None:
    engine, queries, first, [other] = straggling()
    engine.clock.advance(20 * MS)
    other.open[0].answer(Predictions([b"1", Failure("ValueError", "bad")]))
    assert outcomes(queries) == [b"1", Reason.MODEL_ERROR]
    assert first.batches[-1].is_cancelled


def test_when_all_callers_leave_both_tries_are_taken_back() -> None:
    engine, queries, first, [other] = straggling()
    engine.clock.advance(20 * MS)
    for query in queries:
        query.leave()
    assert first.batches[-1].is_cancelled
    assert other.batches[-1].is_cancelled
    assert engine.dispatcher.batches_in_flight == 0
    assert counts(engine).abandoned == 2
    [after] = engine.ask(b"z")
    [holder] = [replica for replica in (first, other) if replica.open]
    holder.open[0].answer()
    assert outcomes([after]) == [b"z"]


def test_a_second_try_is_never_larger_than_the_other_replica_takes() -> None:
    engine = Engine(LIMITS)
    engine.cluster["host:11"].max_batch_rows = 1
    engine.apply(version(hedge_percent=100), copy(0), copy(1))
    large, small = engine.cluster["host:10"], engine.cluster["host:11"]
    for _ in range(12):
        engine.ask(b"xyz")
        engine.clock.advance(10 * MS)
        for replica in (large, small):
            for batch in replica.open:
                batch.answer()
        engine.clock.advance(10 * MS)
        for replica in (large, small):
            for batch in replica.open:
                batch.answer()
        engine.clock.settle()
    queries = engine.ask(b"abcd")
    engine.clock.advance(16 * MS)
    for batch in small.open:
        batch.answer()
    engine.clock.settle()
    assert all(len(batch.inputs) == 1 for batch in small.batches)
    for replica in (large, small):
        for batch in replica.open:
            batch.answer()
    engine.clock.settle()
    assert all(query.is_done for query in queries)


@given(percent=st.integers(1, 30), seed=st.integers(0, 1000))
def test_never_more_is_sent_again_than_the_budget_allows(percent: int, seed: int) -> None:
    plant = Plant(
        *[Pace(5, 0.5, noise=1.0)] * 3,
        objective_ms=200,
        hedge_percent=percent,
        seed=seed,
        limits=replace(LIMITS, max_queue_rows=1000, max_batch_rows=50),
    )
    answers = plant.load(500, 0.2)
    found = plant.dispatcher.pools[0].counts
    assert 100 * found.hedged_rows <= percent * found.rows
    assert found.hedges_won <= found.hedges
    assert len(answers) == len({id(query) for query, _ in answers})


def test_now_and_then_a_pause_hurts_far_fewer_with_a_second_try() -> None:
    def late(percent: int) -> int:
        plant = Plant(*[Pace(5, 0.5)] * 3, objective_ms=60, hedge_percent=percent)
        plant.load(300, 0.5)
        missed = 0
        for number in range(20):
            paused = plant.replicas[number % 3]
            paused.pace = Pace(200)
            answers = list(plant.load(300, 0.02))
            paused.pace = Pace(5, 0.5)
            answers += plant.load(300, 0.5)
            missed += sum(query.reason is not Reason.NONE for query, _ in answers)
        return missed

    without = late(0)
    assert without >= 10
    assert late(10) <= without / 2
