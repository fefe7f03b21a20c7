"""What a process tells: named families of samples, as plain values that know neither OpenTelemetry nor Prometheus.

Names are OpenTelemetry's: words with dots between, and a unit beside them. Prometheus text has them as
`clipper_predict_duration_seconds` and `clipper_defaults_total`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from clipper_rpc.telemetry.tally import TOLD_DURATIONS_NS, Histogram


class Kind(Enum):
    """How the numbers of a family behave."""

    COUNTER = "counter"
    """Only grows."""
    GAUGE = "gauge"
    """Stands as it stands."""
    HISTOGRAM = "histogram"
    """Counts values by size."""


@dataclass(frozen=True, slots=True)
class Buckets:
    """A histogram at one moment, in the family's unit."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    total: float


Labels = Mapping[str, str]
Sample = tuple[Labels, float | Buckets]


@dataclass(frozen=True, slots=True)
class Family:
    """One metric with all its label values."""

    name: str
    unit: str
    """As UCUM writes it: s, By, 1, or {thing} for a number of things."""
    help: str
    kind: Kind
    samples: tuple[Sample, ...]


Collect = Callable[[], Iterable[Family]]
"""Tells everything, now; called in a thread of its own."""


def counter(name: str, help: str, samples: Iterable[Sample], unit: str = "") -> Family:  # noqa: A002  # its usual name
    """A family that only grows."""
    return Family(name, unit, help, Kind.COUNTER, tuple(samples))


def gauge(name: str, help: str, samples: Iterable[Sample], unit: str = "") -> Family:  # noqa: A002
    """A family of numbers that stand as they stand."""
    return Family(name, unit, help, Kind.GAUGE, tuple(samples))


def histogram(name: str, help: str, samples: Iterable[Sample], unit: str = "") -> Family:  # noqa: A002
    """A family of histograms."""
    return Family(name, unit, help, Kind.HISTOGRAM, tuple(samples))


def durations(found: Histogram, per_unit: int = 10**9) -> Buckets:
    """A histogram of nanoseconds in seconds (or milliseconds), with the bounds that scrapes get."""
    bounds, counts = found.table
    told = TOLD_DURATIONS_NS | found.added
    into: list[int] = []
    upto: list[float] = []
    pending = 0
    for bound, number in zip(bounds, counts[:-1], strict=True):
        pending += number
        if bound in told:
            upto.append(bound / per_unit)
            into.append(pending)
            pending = 0
    return Buckets(tuple(upto), (*into, pending + counts[-1]), found.total / per_unit)


def sizes(found: Histogram) -> Buckets:
    """A histogram of numbers as it is."""
    bounds, counts = found.table
    return Buckets(tuple(map(float, bounds)), tuple(counts), float(found.total))
