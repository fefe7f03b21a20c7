"""The frontend's numbers as families, by their names. Called in a thread that puts a text together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Protocol

from clipper_frontend.cached import CachedDispatcher
from clipper_frontend.metrics import Metrics
from clipper_frontend.pool import Pool
from clipper_rpc.telemetry.families import Collect, Family, Sample, counter, durations, gauge, histogram, sizes


class Pools(Protocol):
    """Who has the queues."""

    @property
    def pools(self) -> list[Pool]:
        """The pool of each version."""


def families(metrics: Metrics, pools: Pools, cached: CachedDispatcher | None) -> Collect:
    """Tells everything that a frontend knows."""

    def collect() -> Iterable[Family]:
        yield from _applications(metrics)
        yield from _versions(metrics)
        yield from _replicas(metrics)
        yield from _queues(pools)
        if cached is not None:
            yield from _cache(cached)

    return collect


def _applications(metrics: Metrics) -> Iterator[Family]:
    found = metrics.applications.items()
    outcomes: list[Sample] = []
    for name, tally in found:
        for outcome, histograms in (
            ("prediction", tally.predictions),
            ("default", tally.defaults),
            ("error", tally.failed),
        ):
            outcomes.append(({"application": name, "outcome": outcome}, durations(histograms)))
    yield histogram(
        "clipper.predict.duration",
        "From the arrival of a query to its reply. Has a bucket at the objective.",
        outcomes,
        "s",
    )
    yield gauge(
        "clipper.objective",
        "The latency objective of an application.",
        [({"application": name}, tally.objective_ns / 1e9) for name, tally in found if tally.objective_ns],
        "s",
    )
    yield counter(
        "clipper.defaults",
        "Default outputs that were answered, by their reason.",
        [
            ({"application": name, "reason": reason}, number)
            for name, tally in found
            for reason, number in list(tally.reasons.items())
        ],
    )
    yield counter(
        "clipper.errors",
        "Errors that callers got, by the reason in their ErrorInfo.",
        [
            ({"application": name, "reason": reason}, number)
            for name, tally in found
            for reason, (number,) in tally.errors.items()
        ],
    )


def _versions(metrics: Metrics) -> Iterator[Family]:
    found = [({"model": model, "version": version}, tally) for (model, version), tally in metrics.versions.items()]
    yield histogram(
        "clipper.queue.wait",
        "From the arrival of a query until it was put into a batch.",
        [(labels, durations(tally.waits)) for labels, tally in found],
        "s",
    )
    yield counter(
        "clipper.model.predictions",
        "Inputs that a model has answered.",
        [(labels, tally.predictions) for labels, tally in found],
    )
    yield counter(
        "clipper.model.errors",
        "Inputs that a model has failed on, by the kind of its error.",
        [({**labels, "kind": kind}, number) for labels, tally in found for kind, (number,) in tally.errors.items()],
    )


def _replicas(metrics: Metrics) -> Iterator[Family]:
    found = [
        ({"model": model, "version": version, "replica": replica}, tally)
        for (model, version, replica), tally in metrics.replicas.items()
    ]
    yield histogram(
        "clipper.batch.size", "Inputs in a batch.", [(labels, sizes(tally.rows)) for labels, tally in found], "{input}"
    )
    yield histogram(
        "clipper.batch.duration",
        "From sending a batch to its answer.",
        [(labels, durations(tally.round_trips)) for labels, tally in found],
        "s",
    )
    yield histogram(
        "clipper.model.duration",
        "The model's own time for a batch, as its runtime measured it.",
        [(labels, durations(tally.models)) for labels, tally in found],
        "s",
    )
    yield counter(
        "clipper.batch.failures",
        "Batches that came back undone: failed, timed_out, lost, refused.",
        [
            ({**labels, "kind": kind}, number)
            for labels, tally in found
            for kind, number in list(tally.failures.items())
        ],
    )


_WHAT_BECAME = {
    "full": "Queries that were refused since the queue was full.",
    "hopeless": "Queries that were refused since they could not be answered in time.",
    "given_up": "Queries that were admitted and given up later.",
    "moved": "Queries of lost replicas that were queued again.",
    "abandoned": "Batches that were taken back since all callers had left.",
    "hedges": "Batches that were sent a second time.",
    "hedges_won": "Second sendings that were answered first.",
    "hedges_denied": "Second sendings for which the budget was used up.",
}


def _queues(pools: Pools) -> Iterator[Family]:
    found = pools.pools
    for name, text in _WHAT_BECAME.items():
        yield counter(
            f"clipper.engine.{name}",
            text,
            [
                ({"model": pool.version.model, "version": pool.version.version}, getattr(pool.counts, name))
                for pool in found
            ],
        )
    yield gauge(
        "clipper.queue.length",
        "Inputs that wait for a replica.",
        [({"model": pool.version.model, "version": pool.version.version}, pool.waiting_rows) for pool in found],
        "{input}",
    )
    yield gauge(
        "clipper.batches.in_flight",
        "Batches that replicas have.",
        [({"model": pool.version.model, "version": pool.version.version}, pool.batches_in_flight) for pool in found],
        "{batch}",
    )
    states: list[Sample] = []
    for pool in found:
        counted = Counter(state.value for state in pool.replicas.values())
        for state in ("up", "checking", "down"):
            labels = {"model": pool.version.model, "version": pool.version.version, "state": state}
            states.append((labels, counted[state]))
    yield gauge("clipper.replicas", "Replicas as this frontend sees them, by state.", states, "{replica}")


def _cache(cached: CachedDispatcher) -> Iterator[Family]:
    lookups: list[Sample] = []
    for version, counts in cached.counts.items():
        labels = {"model": version.model, "version": version.version}
        lookups += [
            ({**labels, "outcome": "hit"}, counts.hits),
            ({**labels, "outcome": "joined"}, counts.joins),
            ({**labels, "outcome": "miss"}, counts.misses),
        ]
    yield counter(
        "clipper.cache.lookups",
        "Queries that were looked up: known (hit), under way already (joined), or neither (miss).",
        lookups,
    )
    yield gauge("clipper.cache.size", "What the cache takes.", [({}, cached.cache.size_bytes)], "By")
    yield counter("clipper.cache.evictions", "Answers that were dropped to make room.", [({}, cached.cache.evictions)])
