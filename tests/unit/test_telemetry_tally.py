"""Counting: nothing is lost, nothing goes back, and labels are bounded."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from clipper_rpc.telemetry.families import durations
from clipper_rpc.telemetry.meter import TICK_NS, Meter
from clipper_rpc.telemetry.siblings import merged
from clipper_rpc.telemetry.tally import DURATIONS_NS, OTHER, Histogram, Slots

DURATION = st.integers(0, 200 * 10**9)


@given(st.lists(DURATION, min_size=1), st.sets(DURATION.filter(bool), max_size=6))
def test_each_value_is_in_exactly_one_bucket_however_it_was_counted(values: list[int], bounds: set[int]) -> None:
    single, together = Histogram(), Histogram()
    for bound in bounds:
        single.include(bound)
        together.include(bound)
    for value in values:
        single.observe(value)
    together.observe_all(values)
    assert single.table == together.table
    assert (together.count, together.total) == (len(values), sum(values))
    upper, counts = single.table
    for bound, upto in zip(upper, cumulative(counts), strict=False):
        assert upto == sum(value <= bound for value in values)


def cumulative(counts: list[int]) -> list[int]:
    return [sum(counts[: at + 1]) for at in range(len(counts))]


@given(st.lists(st.one_of(DURATION, st.tuples(DURATION.filter(bool))), max_size=40))
def test_what_was_told_never_goes_back_when_objectives_change(steps: list[int | tuple[int]]) -> None:
    histogram = Histogram()
    before: dict[float, int] = {}
    for step in steps:
        if isinstance(step, tuple):
            histogram.include(step[0])
        else:
            histogram.observe(step)
        told = durations(histogram)
        now = dict(zip((*told.bounds, math.inf), cumulative(list(told.counts)), strict=True))
        for bound in before.keys() & now.keys():
            assert now[bound] >= before[bound]
        assert now[math.inf] == histogram.count
        before = now


def test_an_objective_has_a_bucket_of_its_own_also_in_what_is_told() -> None:
    histogram = Histogram()
    histogram.include(33_000_000)
    histogram.observe(33_000_000)
    histogram.observe(33_000_001)
    told = durations(histogram)
    upto = dict(zip(told.bounds, cumulative(list(told.counts)), strict=False))
    assert upto[0.033] == 1


def test_added_buckets_are_bounded() -> None:
    histogram = Histogram()
    for objective in range(1, 50):
        histogram.include(objective * 1_000_003)
    assert len(histogram.table[0]) <= len(DURATIONS_NS) + 4


@given(st.lists(st.integers(200_000, 50 * 10**9), min_size=20), st.floats(0.01, 0.99))
def test_a_quantile_is_off_by_one_bucket_at_most(values: list[int], share: float) -> None:
    histogram = Histogram()
    histogram.observe_all(values)
    exact = sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
    assert exact / 1.3 <= histogram.quantile(share) <= exact * 1.3


def test_too_many_labels_share_one() -> None:
    slots: Slots[str, list[int]] = Slots(lambda: [0], OTHER, most=3)
    for number in range(1000):
        slots[f"kind-{number}"][0] += 1
    assert {key: number for key, (number,) in slots.items()} == {"kind-0": 1, "kind-1": 1, "kind-2": 1, OTHER: 997}
    slots.keep(["kind-1"])
    assert {key for key, _ in slots.items()} == {"kind-1", OTHER}


def test_rates_follow_the_traffic_and_fade_while_nobody_ticks() -> None:
    meter = Meter(0)
    for tick in range(1, 200):
        assert meter.tick(tick * 50, tick * TICK_NS)  # 10 per second
    rates = meter.rates(199 * 50, 199 * TICK_NS)
    assert math.isclose(rates.mean, 10)
    assert math.isclose(rates.minute, 10)
    assert not meter.tick(199 * 50, 200 * TICK_NS)
    later = meter.rates(199 * 50, 200 * TICK_NS + 60 * 10**9)
    assert 1 < later.minute < 5 < later.fifteen_minutes < 10


def test_texts_of_several_processes_become_one_with_each_family_once() -> None:
    one = b'# HELP a help\n# TYPE a counter\na_total{x="1 {"} 2.0\n# HELP b other\n# TYPE b gauge\nb 1.0\n'
    two = b'# HELP a help\n# TYPE a counter\na_total{x="1 {"} 3.0\n'
    assert merged({"0": one, "1": two}, "worker").decode().splitlines() == [
        "# HELP a help",
        "# TYPE a counter",
        'a_total{worker="0",x="1 {"} 2.0',
        'a_total{worker="1",x="1 {"} 3.0',
        "# HELP b other",
        "# TYPE b gauge",
        'b{worker="0"} 1.0',
    ]
