"""What the engine tells of a version: what it learned, how large its batches are and why, and what it refused."""

from __future__ import annotations

import pytest
from engines import Pace, Plant

from clipper.v1 import inspect_pb2 as pb
from clipper_frontend.batch_policies import Policy
from clipper_frontend.profiles import profiles_of
from clipper_rpc.errors import ModelNotFound, VersionNotFound


def profile(plant: Plant, model: str = "m", version: str = "") -> pb.GetModelProfileResponse:
    tell = profiles_of(plant.dispatcher, lambda: plant.table)
    return tell(pb.GetModelProfileRequest(model=model, version=version))


def test_it_tells_the_learned_latency_and_the_size_chosen_by_it() -> None:
    plant = Plant(Pace(5, 0.5), Pace(10, 1), objective_ms=100, hedge_percent=7)
    plant.load(3_000, 2)
    found = profile(plant)
    assert (found.model, found.version, found.policy) == ("m", "1", "quantile")
    assert (found.objective_us, found.hedge_percent, found.max_batches_in_flight) == (100_000, 7, 2)
    assert found.refused_hopeless > 0
    assert found.rows == sum(each.rows for each in found.replicas)
    for each, pace in zip(found.replicas, (Pace(5, 0.5), Pace(10, 1)), strict=True):
        assert (each.state, each.on_trial, each.timeouts) == ("up", False, 0)
        assert each.fixed_us == pytest.approx(pace.fixed_ms * 1000, rel=0.25)
        assert each.per_row_us == pytest.approx(pace.per_row_ms * 1000, rel=0.25)
        assert each.budget_us == pytest.approx(0.45 * (100_000 - each.margin_us), abs=1)
        assert each.batch_rows == pytest.approx((45 - pace.fixed_ms) / pace.per_row_ms, rel=0.2)
        assert each.limit in (pb.ReplicaProfile.LIMIT_BUDGET, pb.ReplicaProfile.LIMIT_PROBE)
        assert sum(sample.count for sample in each.latencies) == each.samples
        assert [sample.rows for sample in each.latencies] == sorted(sample.rows for sample in each.latencies)
        for sample in each.latencies:
            assert sample.median_us == pytest.approx(sample.predicted_us, rel=0.3)
            assert sample.median_us <= sample.longest_us


def test_before_the_first_query_nothing_is_known() -> None:
    found = profile(Plant(Pace(5), objective_ms=100))
    [replica] = found.replicas
    assert replica.limit == pb.ReplicaProfile.LIMIT_LEARNING
    assert (replica.batch_rows, replica.samples, replica.fixed_us, len(replica.latencies)) == (1, 0, 0, 0)


def test_a_fixed_size_is_the_ceiling_from_the_start() -> None:
    found = profile(Plant(Pace(5), objective_ms=100, policy=Policy.FIXED, max_batch_rows=32))
    [replica] = found.replicas
    assert (found.policy, replica.batch_rows, replica.limit) == ("fixed", 32, pb.ReplicaProfile.LIMIT_CEILING)


def test_what_is_not_there_is_not_found() -> None:
    plant = Plant(Pace(5), objective_ms=100)
    assert profile(plant, version="1").version == "1"
    with pytest.raises(ModelNotFound):
        profile(plant, model="other")
    with pytest.raises(VersionNotFound):
        profile(plant, version="2")
