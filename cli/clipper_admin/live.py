"""What goes on right now: the difference of what frontends had counted at two times, as rates, shares and quantiles.

Pure. Frontends count since their start (clipper.v1.GetStatsResponse); what several have counted adds up.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from clipper.v1.inspect_pb2 import Distribution, GetStatsResponse

_US_PER_MS = 1000.0


@dataclass(frozen=True, slots=True)
class ApplicationRates:
    """One application, over a while."""

    application: str
    queries_per_s: float
    p50_ms: float | None
    """Of predictions and default outputs, from arrival to reply; None without any."""
    p99_ms: float | None
    objective_ms: float
    default_share: float
    """Default outputs, of all answers, from 0 to 1."""
    missed_share: float
    """Default outputs and errors, of all answers: who got no prediction, from 0 to 1."""
    defaults: dict[str, int]
    """How many, by reason."""
    errors: dict[str, int]
    """How many, by kind."""


@dataclass(frozen=True, slots=True)
class ModelRates:
    """One version of a model, over a while."""

    model: str
    version: str
    inputs_per_s: float
    batch_rows: float | None
    """Inputs per batch, their mean; None without any."""
    batch_p99_ms: float | None
    wait_p99_ms: float | None
    """In the queue."""
    queue_rows: int
    """That wait now."""
    replicas_up: int
    replicas_down: int
    cache_share: float | None
    """Of queries, from 0 to 1, those that were answered by the cache or joined an identical one; None without any."""
    errors: dict[str, int]


@dataclass(frozen=True, slots=True)
class Live:
    """A whole cluster, over a while."""

    seconds: float
    frontends: int
    applications: list[ApplicationRates]
    models: list[ModelRates]

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)


class _Sizes:
    """A distribution, by the bounds of its buckets."""

    def __init__(self) -> None:
        self._counts: dict[tuple[float, float], int] = defaultdict(int)
        self._sum = 0.0

    def add(self, found: Distribution, sign: int = 1) -> None:
        for bucket in found.buckets:
            self._counts[bucket.above, bucket.at_most] += sign * bucket.count
        self._sum += sign * found.sum

    @property
    def mean(self) -> float | None:
        count = sum(self._counts.values())
        return self._sum / count if count > 0 else None

    def quantile(self, share: float) -> float | None:
        """Taken to be spread evenly inside of a bucket; the lower bound of one without an upper."""
        wanted = share * sum(self._counts.values())
        if wanted <= 0:
            return None
        seen = 0
        for (above, at_most), count in sorted(self._counts.items()):
            if count > 0 and seen + count >= wanted:
                return above if math.isinf(at_most) else above + (at_most - above) * (wanted - seen) / count
            seen += count
        return None


def live(before: Mapping[str, GetStatsResponse], now: Mapping[str, GetStatsResponse], seconds: float) -> Live:
    """What has happened between two looks at frontends, each by its address.

    A frontend that was not there before, or counts anew since it was restarted, counts from its start.
    """
    pairs = [(_earlier(before.get(address), stats), stats) for address, stats in now.items()]
    applications = sorted({each.application for _, stats in pairs for each in stats.applications})
    versions = sorted({(each.model, each.version) for _, stats in pairs for each in stats.models})
    return Live(
        seconds,
        len(now),
        [_application(name, pairs, seconds) for name in applications],
        [_model(model, version, pairs, seconds) for model, version in versions],
    )


def _earlier(before: GetStatsResponse | None, now: GetStatsResponse) -> GetStatsResponse:
    if before is None:
        return GetStatsResponse()
    counts = {each.application: _answers([each]) for each in before.applications}
    if any(_answers([each]) < counts.get(each.application, 0) for each in now.applications):
        return GetStatsResponse()
    return before


def _answers(found: Iterable[Any]) -> int:
    return sum(each.predictions + sum(each.defaults.values()) + each.failures for each in found)


def _application(
    name: str, pairs: Sequence[tuple[GetStatsResponse, GetStatsResponse]], seconds: float
) -> ApplicationRates:
    old = [each for stats, _ in pairs for each in stats.applications if each.application == name]
    new = [each for _, stats in pairs for each in stats.applications if each.application == name]
    latency = _difference([each.latency for each in old], [each.latency for each in new])
    answers = _answers(new) - _answers(old)
    defaults = _increase([each.defaults for each in old], [each.defaults for each in new])
    missed = sum(defaults.values()) + sum(each.failures for each in new) - sum(each.failures for each in old)
    return ApplicationRates(
        application=name,
        queries_per_s=answers / seconds,
        p50_ms=_ms(latency.quantile(0.5)),
        p99_ms=_ms(latency.quantile(0.99)),
        objective_ms=max(each.objective_us for each in new) / _US_PER_MS,
        default_share=sum(defaults.values()) / answers if answers else 0.0,
        missed_share=missed / answers if answers else 0.0,
        defaults=defaults,
        errors=_increase([each.errors for each in old], [each.errors for each in new]),
    )


def _model(
    model: str, version: str, pairs: Sequence[tuple[GetStatsResponse, GetStatsResponse]], seconds: float
) -> ModelRates:
    old = [each for stats, _ in pairs for each in stats.models if (each.model, each.version) == (model, version)]
    new = [each for _, stats in pairs for each in stats.models if (each.model, each.version) == (model, version)]

    def increase(field: str) -> int:
        increased: int = sum(getattr(each, field) for each in new) - sum(getattr(each, field) for each in old)
        return increased

    def sizes(field: str) -> _Sizes:
        return _difference([getattr(each, field) for each in old], [getattr(each, field) for each in new])

    without_model = increase("cache_hits") + increase("cache_joins")
    looked_up = without_model + increase("cache_misses")
    return ModelRates(
        model=model,
        version=version,
        inputs_per_s=increase("predictions") / seconds,
        batch_rows=sizes("batch_rows").mean,
        batch_p99_ms=_ms(sizes("batch_latency").quantile(0.99)),
        wait_p99_ms=_ms(sizes("queue_wait").quantile(0.99)),
        queue_rows=sum(each.queue_rows for each in new),
        # every frontend sees the same replicas
        replicas_up=max(each.replicas_up for each in new),
        replicas_down=max(each.replicas_down for each in new),
        cache_share=without_model / looked_up if looked_up else None,
        errors=_increase([each.errors for each in old], [each.errors for each in new]),
    )


def _difference(old: Iterable[Distribution], new: Iterable[Distribution]) -> _Sizes:
    sizes = _Sizes()
    for each in new:
        sizes.add(each)
    for each in old:
        sizes.add(each, -1)
    return sizes


def _increase(old: Iterable[Mapping[str, int]], new: Iterable[Mapping[str, int]]) -> dict[str, int]:
    counts: dict[str, int] = defaultdict(int)
    for sign, found in ((1, new), (-1, old)):
        for each in found:
            for name, count in each.items():
                counts[name] += sign * count
    return {name: count for name, count in sorted(counts.items()) if count > 0}


def _ms(us: float | None) -> float | None:
    return None if us is None else us / _US_PER_MS
