"""Metrics that a model adds itself: Clipper's two functions, and what they refuse."""

from __future__ import annotations

import subprocess
import sys

import pytest

from clipper_admin import ClipperException
from clipper_admin import metrics as clippers
from clipper_runtime.metrics import MetricError, UserMetrics


def samples(metrics: UserMetrics) -> dict[str, float]:
    return {
        sample.name + "".join(f",{name}={value}" for name, value in sample.labels.items()): sample.value
        for family in metrics.collect()
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def test_each_type_reports_in_its_way() -> None:
    metrics = UserMetrics()
    metrics.add("seen", "Counter", "Images")
    metrics.add("warmth", "Gauge", "Degrees")
    metrics.add("took", "Histogram", "Milliseconds", [1, 2.5])
    metrics.add("size", "Summary", "Pixels")
    for value in (1, 2):
        for name in ("seen", "warmth", "took", "size"):
            metrics.report(name, value)
    assert samples(metrics) == {
        "seen_total": 3,
        "warmth": 2,
        "took_bucket,le=1.0": 1,
        "took_bucket,le=2.5": 2,
        "took_bucket,le=+Inf": 2,
        "took_count": 2,
        "took_sum": 3,
        "size_count": 2,
        "size_sum": 3,
    }


def test_a_repeated_add_is_ignored() -> None:
    metrics = UserMetrics()
    metrics.add("seen", "Counter", "Images")
    metrics.report("seen", 4)
    metrics.add("seen", "Gauge", "Something else")
    metrics.report("seen", 1)
    assert samples(metrics) == {"seen_total": 5}


@pytest.mark.parametrize(
    ("name", "type", "buckets"),
    [
        ("x", "counter", [1]),
        ("x", "Meter", [1]),
        ("", "Gauge", [1]),
        ("white space", "Gauge", [1]),
        ("x" * 200, "Gauge", [1]),
        ("clipper_errors", "Counter", [1]),
        ("process_open_fds", "Gauge", [1]),
        ("x", "Histogram", []),
        ("x", "Histogram", [2, 1]),
        ("x", "Histogram", ["a"]),
    ],
)
def test_what_cannot_be_is_refused_and_leaves_nothing(name: str, type: str, buckets: list[float]) -> None:  # noqa: A002
    metrics = UserMetrics()
    with pytest.raises(MetricError):
        metrics.add(name, type, "?", buckets)
    assert samples(metrics) == {}


def test_a_value_that_is_none_is_refused() -> None:
    metrics = UserMetrics()
    metrics.add("seen", "Counter", "Images")
    for value in ("many", None, -1):
        with pytest.raises(MetricError, match="seen"):
            metrics.report("seen", value)  # type: ignore[arg-type]
    with pytest.raises(MetricError, match="There are: seen"):
        metrics.report("unseen", 1)


def test_names_cannot_be_made_without_end() -> None:
    metrics = UserMetrics()
    with pytest.raises(MetricError, match="do not make names from data"):
        for number in range(10_000):
            metrics.add(f"user_{number}", "Gauge", "One for each user")


def test_clippers_functions_raise_clippers_exception() -> None:
    with pytest.raises(ClipperException, match="no 'Meter'"):
        clippers.add_metric("x", "Meter", "?")
    with pytest.raises(ClipperException, match="add_metric comes first"):
        clippers.report_metric("never_added", 1)


def test_importing_it_does_not_load_prometheus() -> None:
    program = "import sys, clipper_runtime.metrics; sys.exit('prometheus_client' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
