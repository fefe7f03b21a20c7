"""More queries than can be answered, replicas of unlike speed, models that change theirs, on a made-up clock."""

from __future__ import annotations

from statistics import median

import pytest
from engine_fakes import MS
from engines import LIMITS, Engine, Pace, Plant, copy, engine_with, outcomes, version

from clipper_frontend.batch_policies import Policy
from clipper_frontend.query import Query, Reason

ADAPTIVE = [Policy.QUANTILE, Policy.AIMD]


def in_time(answers: list[tuple[Query, int]]) -> int:
    return sum(query.reason is Reason.NONE and at_ns <= query.deadline_ns for query, at_ns in answers)


def refusals_ns(answers: list[tuple[Query, int]]) -> list[int]:
    return [at_ns - query.arrived_ns for query, at_ns in answers if query.reason is Reason.OVERLOADED]


@pytest.mark.parametrize("policy", ADAPTIVE)
@pytest.mark.parametrize("objective_ms", [25, 50, 100])
def test_at_twice_what_it_can_do_it_does_nine_tenths_of_what_it_can(policy: Policy, objective_ms: float) -> None:
    pace = Pace(5, 0.5, noise=0.02)
    plant = Plant(pace, objective_ms=objective_ms, policy=policy)
    fitting = (0.45 * objective_ms - pace.fixed_ms) / pace.per_row_ms  # two batches in one objective
    capacity_per_s = 1000 * fitting / (0.45 * objective_ms)
    plant.load(2 * capacity_per_s, 1)
    answers = plant.load(2 * capacity_per_s, 2)
    assert in_time(answers) >= 0.9 * 2 * capacity_per_s
    assert median(refusals_ns(answers)) <= 5 * MS
    late = sum(query.reason is Reason.LATE for query, _ in answers)
    assert late <= 0.01 * len(answers)


def test_what_drove_clipper_to_answer_one_query_in_a_hundred_does_not_touch_it() -> None:
    """5 ms per batch, batches of one, 100 ms, twice what the model can do: there 4 % of the model's rate remained."""
    plant = Plant(Pace(5), objective_ms=100, policy=Policy.FIXED, max_batch_rows=1)
    plant.load(400, 1)
    answers = plant.load(400, 3)
    assert in_time(answers) >= 0.9 * 200 * 3
    assert plant.replicas[0].expired == 0


@pytest.mark.parametrize("policy", ADAPTIVE)
def test_adaptive_batches_are_as_large_as_half_of_the_objective_has_room_for_and_follow_the_model(
    policy: Policy,
) -> None:
    plant = Plant(Pace(5, 0.5), objective_ms=50, policy=policy)
    [replica] = plant.replicas

    def settled_rows() -> float:
        return sum(replica.sizes[-20:]) / 20

    plant.load(2_500, 2)
    assert settled_rows() == pytest.approx(35, rel=0.2)
    replica.pace = Pace(10, 1)
    answers = plant.load(2_500, 2)
    assert settled_rows() == pytest.approx(12.5, rel=0.25)
    assert in_time(answers) >= 0.85 * 2 * 12.5 / 0.0225
    replica.pace = Pace(5, 0.5)
    plant.load(2_500, 3)
    assert settled_rows() == pytest.approx(35, rel=0.2)


def test_below_saturation_next_to_nobody_is_refused_and_nobody_is_late() -> None:
    plant = Plant(Pace(5, 0.5, noise=0.05), objective_ms=50)
    plant.load(1_000, 1)
    answers = plant.load(1_000, 2)
    assert in_time(answers) >= 0.999 * len(answers)


def test_four_replicas_do_nearly_four_times_what_one_does() -> None:
    def per_s(replicas: int) -> float:
        plant = Plant(*[Pace(5, 0.5, noise=0.02)] * replicas, objective_ms=50)
        plant.load(2_500 * replicas, 0.5)
        return in_time(plant.load(2_500 * replicas, 1))

    assert per_s(4) >= 3.8 * per_s(1)


def test_a_slow_replica_takes_less_and_nobody_waits_for_it_in_vain() -> None:
    plant = Plant(Pace(5, 0.5), Pace(25, 2.5), objective_ms=100)
    plant.load(800, 1)
    before = [sum(replica.sizes) for replica in plant.replicas]
    answers = plant.load(800, 2)
    fast, slow = (sum(replica.sizes) - old for replica, old in zip(plant.replicas, before, strict=True))
    assert in_time(answers) >= 0.99 * len(answers)
    assert 0 < slow < 0.35 * fast


def test_a_replica_that_is_too_slow_for_all_gets_a_query_now_and_then_and_is_noticed_when_it_recovers() -> None:
    plant = Plant(Pace(5, 0.5), Pace(200), objective_ms=50)
    plant.load(1_000, 1)
    before = sum(plant.replicas[1].sizes)
    answers = plant.load(1_000, 2)
    assert sum(plant.replicas[1].sizes) - before <= 15
    assert in_time(answers) >= 0.99 * len(answers)
    plant.replicas[1].pace = Pace(5, 0.5)
    plant.load(1_000, 3)
    before = sum(plant.replicas[1].sizes)
    plant.load(1_000, 1)
    assert sum(plant.replicas[1].sizes) - before >= 250


def test_a_batch_of_which_all_was_late_still_shows_how_slow_the_model_is() -> None:
    plant = Plant(Pace(300), objective_ms=50)
    plant.ask()
    plant.clock.advance(1000 * MS)
    [member] = plant.dispatcher.pools[0].members
    assert member.curve.predict_ns(1) == pytest.approx(300 * MS, rel=0.01)


def test_an_idle_replica_is_asked_even_if_it_seems_too_slow() -> None:
    plant = Plant(Pace(300), objective_ms=50)
    plant.ask()
    plant.clock.advance(1000 * MS)
    plant.replicas[0].pace = Pace(3)
    query = plant.ask()
    plant.clock.advance(50 * MS)
    assert outcomes([query]) == [b"x"]


def learned(*, objective: int = 100, took_ms: int = 20) -> Engine:
    """An engine with one replica that is known to take 20 ms for one query, and is busy."""
    engine, [replica] = engine_with(copy(), max_batch_rows=1)
    engine.ask(b"a")
    engine.clock.advance(took_ms * MS)
    replica.open[0].answer()
    engine.clock.settle()
    engine.ask(b"b")
    return engine


def test_a_query_that_cannot_be_in_time_is_refused_at_once_and_those_before_it_are_not_touched() -> None:
    engine = learned()
    accepted = [engine.submit(b"c") for _ in range(3)]
    refused = engine.submit(b"d")
    assert refused.reason is Reason.OVERLOADED
    assert refused.problem == "3"
    assert not any(query.is_done for query in accepted)
    assert engine.dispatcher.pools[0].counts.hopeless == 1


def test_an_urgent_query_is_not_refused_for_a_backlog_of_patient_ones() -> None:
    engine = learned()
    for _ in range(4):
        engine.submit(b"p", in_ms=10_000)
    urgent = engine.submit(b"u", in_ms=70)
    assert not urgent.is_done
    engine.clock.advance(20 * MS)
    replica = engine.cluster["host:10"]
    replica.open[0].answer()
    engine.clock.settle()
    assert replica.inputs[-1] == b"u"


def test_nobody_is_refused_before_anything_is_known() -> None:
    engine, _ = engine_with(copy(), max_batch_rows=1, max_queue_rows=100)
    assert not any(query.is_done for query in engine.ask(b"x" * 50, in_ms=5))


def test_a_query_that_has_become_hopeless_is_given_up_for_those_that_can_be_in_time() -> None:
    engine = learned()
    slow = engine.submit(b"s", in_ms=60)  # seemed possible
    patient = engine.submit(b"p", in_ms=500)
    engine.clock.advance(45 * MS)  # but the batch before took longer
    replica = engine.cluster["host:10"]
    replica.open[0].answer()
    engine.clock.settle()
    assert slow.reason is Reason.OVERLOADED
    assert replica.inputs[-1] == b"p"
    assert not patient.is_done
    assert engine.dispatcher.pools[0].counts.given_up == 1


def test_a_full_batch_is_sent_ahead_shortly_before_the_one_before_it_is_done() -> None:
    engine, [replica] = engine_with(copy(), max_batch_rows=2, max_batches_in_flight=2)
    engine.ask(b"ab")
    engine.clock.advance(20 * MS)
    replica.open[0].answer()
    engine.ask(b"cd")
    engine.ask(b"ef")
    engine.clock.advance(9 * MS)
    assert replica.sizes == [2, 2]
    engine.clock.advance(MS)  # a tenth of the objective is left
    assert replica.sizes == [2, 2, 2]


def test_a_new_objective_holds_from_then_on() -> None:
    engine = Engine(LIMITS)
    engine.apply(version(policy=Policy.QUANTILE), copy())
    [pool] = engine.dispatcher.pools
    assert pool.objective_ns == 100 * MS
    engine.apply(version(policy=Policy.QUANTILE), copy(), objective_ms=40)
    assert pool.objective_ns == 40 * MS
