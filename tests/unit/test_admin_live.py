"""What is made of two looks at what frontends have counted."""

from __future__ import annotations

import math
from typing import Any

import pytest

from clipper.v1.inspect_pb2 import ApplicationStats, Bucket, Distribution, GetStatsResponse, ModelStats
from clipper_admin.live import ApplicationRates, ModelRates, live


def spread(*buckets: tuple[float, float, int], total: float = 0) -> Distribution:
    made = [Bucket(above=above, at_most=at_most, count=count) for above, at_most, count in buckets]
    return Distribution(buckets=made, sum=total)


def application(**fields: Any) -> GetStatsResponse:
    return GetStatsResponse(applications=[ApplicationStats(application="app", **fields)])


def model(**fields: Any) -> GetStatsResponse:
    return GetStatsResponse(models=[ModelStats(model="m", version="1", **fields)])


def seen(before: GetStatsResponse, now: GetStatsResponse, seconds: float = 2) -> ApplicationRates:
    return live({"f": before}, {"f": now}, seconds).applications[0]


def model_seen(before: GetStatsResponse, now: GetStatsResponse) -> ModelRates:
    return live({"f": before}, {"f": now}, 2).models[0]


def test_rates_and_shares_are_of_the_time_between_the_looks() -> None:
    before = application(predictions=100, defaults={"LATE": 7}, failures=0)
    now = application(predictions=190, defaults={"LATE": 12, "NO_REPLICA": 3}, failures=2, errors={"LATE": 2})
    found = seen(before, now)
    assert found.queries_per_s == 50
    assert found.default_share == 0.08
    assert found.missed_share == 0.1
    assert (found.defaults, found.errors) == ({"LATE": 5, "NO_REPLICA": 3}, {"LATE": 2})


def test_quantiles_are_of_what_came_between_the_looks() -> None:
    before = application(latency=spread((0, 1000, 1000)))
    now = application(latency=spread((0, 1000, 1000), (1000, 3000, 100), (3000, math.inf, 1)))
    found = seen(before, now)
    assert found.p50_ms == pytest.approx(1 + 2 * 0.505)
    assert found.p99_ms == pytest.approx(1 + 2 * 0.9999)
    assert seen(now, application(latency=now.applications[0].latency)).p50_ms is None


def test_the_last_bucket_has_no_upper_bound_and_counts_as_its_lower_one() -> None:
    assert seen(GetStatsResponse(), application(latency=spread((5000, math.inf, 3)))).p50_ms == 5


def test_what_several_frontends_count_adds_up_but_replicas_are_the_same_ones() -> None:
    one = model(predictions=10, queue_rows=2, replicas_up=3, cache_hits=1, cache_misses=3)
    two = model(predictions=30, queue_rows=1, replicas_up=2, replicas_down=1, cache_joins=4)
    found = live({}, {"a": one, "b": two}, 4)
    assert found.frontends == 2
    (rates,) = found.models
    assert (rates.inputs_per_s, rates.queue_rows, rates.replicas_up, rates.replicas_down) == (10, 3, 3, 1)
    assert rates.cache_share == 5 / 8


def test_sizes_of_batches_are_told_by_their_mean() -> None:
    before = model(batch_rows=spread((1, 2, 10), total=10))
    now = model(batch_rows=spread((1, 2, 10), (4, 8, 5), total=40))
    assert model_seen(before, now).batch_rows == 6
    assert model_seen(now, now).batch_rows is None


def test_a_frontend_that_was_restarted_counts_from_its_start() -> None:
    before = application(predictions=1000, latency=spread((0, 10, 1000)))
    found = seen(before, application(predictions=10, latency=spread((0, 1000, 10))))
    assert found.queries_per_s == 5
    assert found.p50_ms == 0.5
