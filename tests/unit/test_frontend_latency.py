"""The learned latency of batches: right, robust, and never for ever."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipper_frontend.latency import WINDOW, LatencyCurve

MS = 1_000_000


def noisy(fixed_ms: float, per_row_ms: float, noise: float, seed: int = 1) -> Callable[[int], int]:
    rng = random.Random(seed)
    return lambda rows: int((fixed_ms + per_row_ms * rows) * MS * rng.lognormvariate(0, noise))


def test_nothing_is_known_before_the_first_batch() -> None:
    curve = LatencyCurve()
    assert curve.fit() is None
    assert curve.predict_ns(1) is None


def test_one_batch_is_taken_for_proportional() -> None:
    curve = LatencyCurve()
    curve.observe(4, 8 * MS)
    assert curve.predict_ns(4) == 8 * MS
    assert curve.predict_ns(2) == 4 * MS


def test_two_sizes_tell_the_fixed_part_from_the_part_per_row() -> None:
    curve = LatencyCurve()
    curve.observe(1, 6 * MS)
    curve.observe(11, 16 * MS)
    fit = curve.fit()
    assert fit is not None
    assert fit.fixed_ns == pytest.approx(5 * MS)
    assert fit.per_row_ns == pytest.approx(1 * MS)
    assert fit.rows_within(25 * MS) in (19, 20)
    assert fit.rows_within(4 * MS) == 0


@pytest.mark.parametrize("noise", [0.0, 0.05, 0.2])
def test_the_tail_is_above_almost_all_batches_and_not_far_above(noise: float) -> None:
    curve, model, rng = LatencyCurve(), noisy(5, 0.05, noise), random.Random(2)
    above = ratio = 0.0
    for at in range(2000):
        rows = rng.randint(1, 400)
        elapsed = model(rows)
        if at >= WINDOW:
            predicted = curve.predict_ns(rows)
            assert predicted is not None
            above += elapsed > 1.001 * predicted
            ratio += predicted / ((5 + 0.05 * rows) * MS)
        curve.observe(rows, elapsed)
    assert above / (2000 - WINDOW) < 0.1
    assert ratio / (2000 - WINDOW) < 1.01 + 2.5 * noise


def test_pauses_do_not_bend_the_curve() -> None:
    curve, model, rng = LatencyCurve(), noisy(5, 0.05, 0.02), random.Random(3)
    worst = 0.0
    for at in range(1000):
        rows = rng.randint(100, 300)
        curve.observe(rows, model(rows) + (300 * MS if at % 64 in (5, 40) else 0))
        if at > WINDOW:
            worst = max(worst, (curve.predict_ns(200) or 0) / MS)
    assert worst < 17, "15 ms without the pauses"


def test_a_replica_of_another_speed_is_noticed_within_four_batches() -> None:
    curve, rng = LatencyCurve(), random.Random(4)

    def run(model: Callable[[int], int], batches: int) -> int:
        for _ in range(batches):
            rows = rng.randint(100, 300)
            curve.observe(rows, model(rows))
            curve.fit()
        return curve.predict_ns(200) or 0

    run(noisy(5, 0.05, 0), 200)
    assert run(noisy(10, 0.1, 0), 4) == pytest.approx(30 * MS, rel=0.1)
    assert run(noisy(2, 0.02, 0), 4) == pytest.approx(6 * MS, rel=0.1)
    assert run(noisy(2.4, 0.024, 0), WINDOW) == pytest.approx(7.2 * MS, rel=0.1)


def test_seldom_pauses_are_no_other_speed() -> None:
    curve, model, rng = LatencyCurve(), noisy(5, 0.05, 0.02), random.Random(3)
    for _ in range(500):
        rows = rng.randint(100, 300)
        curve.observe(rows, model(rows) + (300 * MS if rng.random() < 0.1 else 0))
        curve.fit()
    assert (curve.predict_ns(200) or 0) <= 1.5 * 15.5 * MS
    assert curve.samples == WINDOW


def test_a_known_shape_is_kept_while_all_batches_are_alike() -> None:
    curve = LatencyCurve()
    for rows in (1, 50, 100, 200) * 16:
        curve.observe(rows, int((5 + 0.05 * rows) * MS))
    assert curve.fit()
    for _ in range(WINDOW):
        curve.observe(200, 15 * MS)
    fit = curve.fit()
    assert fit is not None
    assert fit.fixed_ns == pytest.approx(5 * MS, rel=0.05)
    assert fit.predict_ns(200) == pytest.approx(15 * MS, rel=0.05)
    assert curve.is_stale


@given(st.lists(st.tuples(st.integers(1, 100_000), st.integers(0, 10**13)), min_size=1, max_size=150))
def test_any_samples_give_a_curve_that_never_falls(samples: list[tuple[int, int]]) -> None:
    curve = LatencyCurve()
    for rows, elapsed_ns in samples:
        curve.observe(rows, elapsed_ns)
        fit = curve.fit()
        assert fit is not None
        assert fit.fixed_ns >= 0
        assert fit.per_row_ns > 0
        assert 0 <= fit.predict_ns(1) <= fit.predict_ns(1000)
        assert fit.rows_within(-1) == 0
        rows_within = fit.rows_within(10**9)
        assert rows_within == 0 or fit.predict_ns(rows_within) <= 10**9 * 1.001


def test_it_costs_microseconds_per_batch() -> None:
    curve = LatencyCurve()
    samples = [(rows % 100 + 300, rows * 1000 + 15 * MS) for rows in range(4000)]
    started = time.process_time_ns()
    for rows, elapsed_ns in samples:
        curve.observe(rows, elapsed_ns)
        curve.fit()
    assert (time.process_time_ns() - started) / len(samples) < 100_000, "8 µs on an idle machine"
