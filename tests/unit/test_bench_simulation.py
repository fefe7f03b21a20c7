"""The shapes of the paper come back in the simulation (virtual time, fixed seeds: the same figures everywhere)."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

BENCH = Path(__file__).parents[2] / "bench"


@pytest.fixture(scope="module")
def simulate() -> ModuleType:
    """The benchmark as a module."""
    spec = importlib.util.spec_from_file_location("simulate", BENCH / "simulate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["simulate"] = module  # where its dataclasses look for it
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("policy", ["quantile", "aimd"])
def test_adaptive_batches_do_twenty_times_what_single_queries_do_where_a_call_is_dear(
    simulate: ModuleType, policy: str
) -> None:
    """Clipper, NSDI 2017, figure 4: up to 26 times, at 20 ms."""
    pace = simulate.PACES["5 ms + 0.02 ms each"]
    most = simulate.capacity_per_s(pace, 20)
    alone = simulate.run(500, 0.5, pace, objective_ms=20, warm_up_s=0.2, **simulate.BATCHERS["one by one"])
    batched = simulate.run(1.2 * most, 0.3, pace, objective_ms=20, warm_up_s=0.3, **simulate.BATCHERS[policy])
    assert batched.good_per_s >= 20 * alone.good_per_s
    assert batched.in_time >= 0.99
    assert batched.good_per_s >= 0.85 * most


def test_lingering_helps_at_moderate_load_where_a_call_is_dear_and_only_there(simulate: ModuleType) -> None:
    """Figure 5: waiting 2 ms gave one model 3.3 times the throughput, and another one nothing."""
    found = simulate.by_linger(0.5, (0, 2, 4))
    none, short, long = found["5 ms + 0.02 ms each"]
    assert short.per_model_s >= 1.8 * none.per_model_s
    assert long.per_model_s >= 2.8 * none.per_model_s
    assert min(point.in_time for point in (none, short, long)) >= 0.99
    assert max(point.defaults for point in (none, short, long)) <= 0.01
    none, short, _ = found["0.1 ms + 0.5 ms each"]
    assert short.per_model_s <= 1.2 * none.per_model_s


def test_four_replicas_do_nearly_four_times_what_one_does_in_time(simulate: ModuleType) -> None:
    """Figure 6: 3.95 times on four machines."""
    one, four = simulate.by_replicas(0.5, (1, 4))["quantile"]
    assert four.good_per_s >= 3.8 * one.good_per_s
    assert four.in_time >= 0.99


def test_overload_costs_next_to_nothing_and_those_who_are_refused_hear_so_at_once(simulate: ModuleType) -> None:
    """Clipper collapsed to 4 % of what its model could do."""
    saturated, double, fourfold = simulate.by_load(1, (1, 2, 4))["quantile"]
    for overloaded in (double, fourfold):
        assert overloaded.good_per_s >= 0.95 * saturated.good_per_s
        assert overloaded.in_time >= 0.99
        assert overloaded.refused_ms is not None
        assert overloaded.refused_ms <= 5


def test_a_longer_objective_is_used_for_larger_batches(simulate: ModuleType) -> None:
    [points] = simulate.by_objective(0.5, (20, 50, 200), ["5 ms + 0.5 ms each"], ["quantile"]).values()
    assert points[0].batch_rows < points[1].batch_rows < points[2].batch_rows
    assert points[0].good_per_s < points[1].good_per_s < points[2].good_per_s


def test_tables_and_plots_are_made(simulate: ModuleType, tmp_path: Path) -> None:
    point = simulate.Point(100, 90, 1.0, 0.1, 5.0, 300, None)
    found = {"quantile": [point, point]}
    assert simulate.table_of("title", "load", ["1", "2"], found).row_count == 2
    pytest.importorskip("matplotlib")
    simulate.draw(tmp_path / "plot.svg", "title", "load", (1, 2), found)
    assert "<svg" in (tmp_path / "plot.svg").read_text()
