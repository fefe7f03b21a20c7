"""InspectService: what this frontend has counted, as one message; that of all workers of one parent added up."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path

from clipper.v1 import inspect_pb2 as pb
from clipper_frontend.cached import CachedDispatcher
from clipper_frontend.explaining import ExplanationOf
from clipper_frontend.metrics import ApplicationTally, Metrics, VersionKey, VersionTally
from clipper_frontend.metrics_export import Pools
from clipper_frontend.profiles import ProfileOf
from clipper_rpc.telemetry.endpoint import Page
from clipper_rpc.telemetry.meter import Meter
from clipper_rpc.telemetry.siblings import ask_all
from clipper_rpc.telemetry.tally import Histogram

PAGE = "/stats"
"""Where a worker tells its own part to its siblings."""

_NS_PER_US = 1000


class InspectService:
    """Handlers of InspectService."""

    def __init__(
        self, stats: Callable[[], Awaitable[pb.GetStatsResponse]], profile: ProfileOf, explain: ExplanationOf
    ) -> None:
        self._stats = stats
        self._profile = profile
        self._explain = explain

    async def get_stats(self, _request: pb.GetStatsRequest) -> pb.GetStatsResponse:
        """Tells what was counted."""
        return await self._stats()

    async def get_model_profile(self, request: pb.GetModelProfileRequest) -> pb.GetModelProfileResponse:
        """Tells what the engine has learned of a version."""
        return self._profile(request)

    async def explain_query(self, request: pb.ExplainQueryRequest) -> pb.ExplainQueryResponse:
        """Tells what happened to a query."""
        return await self._explain(request.query_id)


def page(own: Callable[[], pb.GetStatsResponse]) -> Page:
    """The page on which a worker tells its own part."""

    async def content() -> bytes:
        return own().SerializeToString()

    return Page(content, "application/x-protobuf")


async def of_all(own: Callable[[], pb.GetStatsResponse], told_at: Path | None) -> pb.GetStatsResponse:
    """What this process has counted, with its siblings if it has any."""
    if told_at is None:
        return own()
    pages = await ask_all(told_at.parent, PAGE)
    return summed(pb.GetStatsResponse.FromString(page) for page in pages.values())


def stats_of(
    metrics: Metrics, pools: Pools, cached: CachedDispatcher | None, now_ns: Callable[[], int]
) -> Callable[[], pb.GetStatsResponse]:
    """Tells what one process has counted. Called on the loop."""

    def tell() -> pb.GetStatsResponse:
        now = now_ns()
        response = pb.GetStatsResponse(processes=1)
        for name, tally in metrics.applications.items():
            response.applications.append(_application(name, tally, now))
        models: dict[VersionKey, pb.ModelStats] = {}
        for key, version in metrics.versions.items():
            models[key] = _model(key, version, now)
        for (model, version_name, _), replica in metrics.replicas.items():
            found = models.get((model, version_name))
            if found is not None:
                _add(found.batch_latency, _distribution([replica.round_trips], _NS_PER_US))
                _add(found.batch_rows, _distribution([replica.rows], 1))
        for pool in pools.pools:
            found = models.get((pool.version.model, pool.version.version))
            if found is not None:
                found.queue_rows = pool.waiting_rows
                found.replicas_up = sum(state.value == "up" for state in pool.replicas.values())
                found.replicas_down = len(pool.replicas) - found.replicas_up
        if cached is not None:
            response.cache_bytes = cached.cache.size_bytes
            response.cache_evictions = cached.cache.evictions
            for each, counts in cached.counts.items():
                found = models.get((each.model, each.version))
                if found is not None:
                    found.cache_hits, found.cache_joins, found.cache_misses = counts.hits, counts.joins, counts.misses
        response.models.extend(models.values())
        response.queue_wait.CopyFrom(_distribution((tally.waits for _, tally in metrics.versions.items()), _NS_PER_US))
        return response

    return tell


def summed(parts: Iterable[pb.GetStatsResponse]) -> pb.GetStatsResponse:
    """What several processes have counted, together."""
    total = pb.GetStatsResponse()
    applications: dict[str, pb.ApplicationStats] = {}
    models: dict[VersionKey, pb.ModelStats] = {}
    for part in parts:
        total.processes += part.processes
        total.cache_bytes += part.cache_bytes
        total.cache_evictions += part.cache_evictions
        _add(total.queue_wait, part.queue_wait)
        for application in part.applications:
            name = application.application
            into = applications.setdefault(name, pb.ApplicationStats(application=name))
            into.predictions += application.predictions
            into.failures += application.failures
            into.objective_us = application.objective_us
            _count(into.defaults, application.defaults)
            _count(into.errors, application.errors)
            _add_rates(into.rates, application.rates)
            _add(into.latency, application.latency)
        for model in part.models:
            key = (model.model, model.version)
            _add_model(models.setdefault(key, pb.ModelStats(model=model.model, version=model.version)), model)
    total.applications.extend(applications.values())
    total.models.extend(models.values())
    return total


def _add_model(into: pb.ModelStats, model: pb.ModelStats) -> None:
    into.predictions += model.predictions
    into.queue_rows += model.queue_rows
    into.replicas_up = max(into.replicas_up, model.replicas_up)  # all processes see the same replicas
    into.replicas_down = max(into.replicas_down, model.replicas_down)
    into.cache_hits += model.cache_hits
    into.cache_joins += model.cache_joins
    into.cache_misses += model.cache_misses
    _count(into.errors, model.errors)
    _add_rates(into.rates, model.rates)
    _add(into.batch_latency, model.batch_latency)
    _add(into.batch_rows, model.batch_rows)
    _add(into.queue_wait, model.queue_wait)


def _application(name: str, tally: ApplicationTally, now_ns: int) -> pb.ApplicationStats:
    return pb.ApplicationStats(
        application=name,
        predictions=tally.predictions.count,
        defaults=tally.reasons,
        errors={kind: number for kind, (number,) in tally.errors.items()},
        failures=tally.failed.count,
        rates=_rates(tally.meter, tally.answers, now_ns),
        latency=_distribution((tally.predictions, tally.defaults), _NS_PER_US),
        objective_us=tally.objective_ns // _NS_PER_US,
    )


def _model(key: VersionKey, tally: VersionTally, now_ns: int) -> pb.ModelStats:
    return pb.ModelStats(
        model=key[0],
        version=key[1],
        predictions=tally.predictions,
        errors={kind: number for kind, (number,) in tally.errors.items()},
        rates=_rates(tally.meter, tally.predictions, now_ns),
        queue_wait=_distribution([tally.waits], _NS_PER_US),
    )


def _rates(meter: Meter, count: int, now_ns: int) -> pb.Rates:
    rates = meter.rates(count, now_ns)
    return pb.Rates(
        mean=rates.mean,
        one_minute=rates.minute,
        five_minutes=rates.five_minutes,
        fifteen_minutes=rates.fifteen_minutes,
    )


def _distribution(histograms: Iterable[Histogram], unit: int) -> pb.Distribution:
    found = pb.Distribution()
    for histogram in histograms:
        bounds, counts = histogram.table
        part = pb.Distribution(sum=histogram.total / unit)
        for at, count in enumerate(counts):
            if count:
                above = bounds[at - 1] / unit if at else 0.0
                if unit == 1:  # whole numbers: the smallest one in the bucket says more
                    above += 1
                at_most = bounds[at] / unit if at < len(bounds) else math.inf
                part.buckets.append(pb.Bucket(above=above, at_most=at_most, count=count))
        _add(found, part)
    return found


def _add(into: pb.Distribution, other: pb.Distribution) -> None:
    into.sum += other.sum
    buckets = {(bucket.above, bucket.at_most): bucket for bucket in into.buckets}
    for bucket in other.buckets:
        known = buckets.get((bucket.above, bucket.at_most))
        if known is None:
            into.buckets.append(bucket)
        else:
            known.count += bucket.count
    into.buckets.sort(key=lambda bucket: (bucket.at_most, bucket.above))


def _add_rates(into: pb.Rates, other: pb.Rates) -> None:
    into.mean += other.mean
    into.one_minute += other.one_minute
    into.five_minutes += other.five_minutes
    into.fifteen_minutes += other.fifteen_minutes


def _count(into: Mapping[str, int], other: Mapping[str, int]) -> None:
    for key, number in other.items():
        into[key] += number  # type: ignore[index]  # a protobuf map
