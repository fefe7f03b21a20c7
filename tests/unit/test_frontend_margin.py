"""Answers that come later than forecast: what is kept in hand for them, on a made-up clock."""

from __future__ import annotations

import pytest
from engine_fakes import MS
from engines import Engine, Pace, Plant, copy, engine_with
from hypothesis import given
from hypothesis import strategies as st

from clipper_frontend import admission
from clipper_frontend.batch_policies import Policy
from clipper_frontend.margin import WINDOW, Margin
from clipper_frontend.query import Query, Reason


def overshoots(margin: Margin, *found_ns: int) -> int:
    for each in found_ns:
        margin.observe(each)
    return margin.largest_ns


def share_of_late(answers: list[tuple[Query, int]]) -> float:
    """Of all that were admitted."""
    admitted = [query for query, _ in answers if query.reason is not Reason.OVERLOADED]
    return sum(query.batch is None for query in admitted) / len(admitted)


@given(st.lists(st.integers(-100, 100)), st.integers(1, 10))
def test_it_is_the_largest_overshoot_of_the_last_batches(found: list[int], window: int) -> None:
    assert overshoots(Margin(window), *found) == max([0, *found[-window:]])


def test_batches_that_are_early_ask_for_no_margin() -> None:
    assert overshoots(Margin(), -5, -1) == 0


def test_what_was_forgotten_does_not_come_back() -> None:
    margin = Margin(3)
    overshoots(margin, 9, 8)
    margin.forget()
    assert margin.largest_ns == 0
    assert overshoots(margin, 4) == 4


@pytest.mark.parametrize("policy", [Policy.QUANTILE, Policy.AIMD])
def test_what_holds_up_one_batch_in_twenty_makes_nobody_late_once_it_was_seen(policy: Policy) -> None:
    """Without a margin 6 in 1,000 are: batches are made as large as the objective has room for."""
    plant = Plant(Pace(5, 0.5, noise=0.02, pause_share=0.05, pause_ms=6), objective_ms=50, policy=policy)
    plant.load(3_000, 1)
    answers = plant.load(3_000, 3)
    assert share_of_late(answers) <= 0.001
    assert sum(query.batch is not None for query, _ in answers) >= 0.9 * 3 * 1_500


def test_a_long_pause_costs_next_to_no_throughput() -> None:
    plant = Plant(Pace(5, 0.5), objective_ms=50)
    plant.load(3_000, 1)
    usual = sum(query.batch is not None for query, _ in plant.load(3_000, 1))
    plant.replicas[0].pace = Pace(5, 0.5, pause_share=1, pause_ms=300)
    plant.ask()
    plant.clock.advance(500 * MS)
    plant.replicas[0].pace = Pace(5, 0.5)
    [member] = plant.dispatcher.pools[0].members
    assert member.plan(50 * MS).margin_ns == int(admission.MOST_MARGIN * 50 * MS)
    assert sum(query.batch is not None for query, _ in plant.load(3_000, 1)) >= 0.88 * usual


def test_of_two_replicas_the_one_that_pauses_gets_smaller_batches() -> None:
    plant = Plant(Pace(5, 0.5), Pace(5, 0.5, pause_share=0.03, pause_ms=5), objective_ms=50)
    plant.load(4_000, 3)
    members = plant.dispatcher.pools[0].members
    steady, pausing = (member.plan(50 * MS) for member in sorted(members, key=lambda each: each.replica.replica_id))
    assert steady.margin_ns < 1 * MS < 4 * MS < pausing.margin_ns
    assert steady.rows > pausing.rows


def learned(*, batches: int) -> Engine:
    """An engine with one replica that has taken 20 ms for each query so far."""
    engine, [replica] = engine_with(copy(), max_batch_rows=1)
    for _ in range(batches):
        engine.ask(b"a")
        engine.clock.advance(20 * MS)
        replica.open[0].answer()
        engine.clock.settle()
    return engine


def margin_ms(engine: Engine) -> float:
    [member] = engine.dispatcher.pools[0].members
    return member.plan(100 * MS).margin_ns / MS


def test_a_batch_that_is_late_leaves_its_lateness_in_hand() -> None:
    engine = learned(batches=20)
    assert margin_ms(engine) == 0
    engine.ask(b"b")
    engine.clock.advance(25 * MS)
    engine.cluster["host:10"].open[0].answer()
    engine.clock.settle()
    assert margin_ms(engine) == 5
    engine.ask(b"c")
    accepted = [engine.submit(b"d") for _ in range(3)]
    assert engine.submit(b"e", in_ms=104).reason is Reason.OVERLOADED  # 100 ms of work are before its answer
    assert not engine.submit(b"f", in_ms=115).is_done
    assert not any(query.is_done for query in accepted)


def test_who_waited_for_a_late_batch_is_late_by_both() -> None:
    engine = learned(batches=20)
    replica = engine.cluster["host:10"]
    engine.ask(b"b")
    engine.ask(b"c")
    engine.clock.advance(24 * MS)
    replica.open[0].answer()
    engine.clock.settle()
    engine.clock.advance(23 * MS)
    replica.open[0].answer()
    engine.clock.settle()
    assert margin_ms(engine) == 7


def test_who_came_later_is_not_held_to_a_forecast_that_was_made_before() -> None:
    engine = learned(batches=20)
    replica = engine.cluster["host:10"]
    engine.ask(b"b")
    engine.clock.advance(24 * MS)
    replica.open[0].answer()
    engine.clock.settle()
    engine.clock.advance(MS)
    engine.ask(b"c")
    engine.clock.advance(22 * MS)
    replica.open[0].answer()
    engine.clock.settle()
    assert margin_ms(engine) == 4


def test_while_latencies_are_being_learned_nothing_is_kept_in_hand() -> None:
    engine = learned(batches=3)
    engine.ask(b"b")
    engine.clock.advance(29 * MS)
    engine.cluster["host:10"].open[0].answer()
    engine.clock.settle()
    assert margin_ms(engine) == 0


def test_after_a_window_without_it_a_late_batch_is_forgotten() -> None:
    engine = learned(batches=20)
    replica = engine.cluster["host:10"]
    engine.ask(b"b")
    engine.clock.advance(28 * MS)
    replica.open[0].answer()
    engine.clock.settle()
    for _ in range(WINDOW - 1):
        engine.ask(b"c")
        engine.clock.advance(20 * MS)
        replica.open[0].answer()
        engine.clock.settle()
    assert margin_ms(engine) == 8
    engine.ask(b"d")
    engine.clock.advance(20 * MS)
    replica.open[0].answer()
    engine.clock.settle()
    assert margin_ms(engine) == 0
