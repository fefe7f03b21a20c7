"""Metrics of a model's own, by the names that Clipper has for them.

    from clipper_admin.metrics import add_metric, report_metric

Called in a model's code; the runtime tells them on its metrics port.
"""

from __future__ import annotations

from collections.abc import Sequence

from clipper_admin.exceptions import ClipperException
from clipper_runtime.metrics import DEFAULT_BUCKETS, MetricError, of_this_process


def add_metric(name: str, type: str, description: str, buckets: Sequence[float] = DEFAULT_BUCKETS) -> None:  # noqa: A002
    """Adds a metric of the type Counter, Gauge, Histogram or Summary; one of the same name is left as it is.

    Raises:
        ClipperException: the name or the type cannot be.
    """
    try:
        of_this_process().add(name, type, description, buckets)
    except MetricError as error:
        raise ClipperException(str(error)) from error


def report_metric(name: str, value: float) -> None:
    """Reports a value: what a Counter grows by, what a Gauge is now, what a Histogram or Summary has seen.

    Raises:
        ClipperException: there is no such metric, or the value is no number that it takes.
    """
    try:
        of_this_process().report(name, value)
    except MetricError as error:
        raise ClipperException(str(error)) from error
