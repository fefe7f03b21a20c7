"""Metrics of a model's own: what its code wants to be watched, told where the runtime's are.

    from clipper_runtime.metrics import add_metric, report_metric

    add_metric("rejected_images", "Counter", "Images that were too dark to look at")
    report_metric("rejected_images", 1)

Outside of a runtime, as in a notebook, both work and nobody looks.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from prometheus_client import Metric

DEFAULT_BUCKETS = (5, 10, 20, 35, 50, 75, 100, 150, 200, 250, 300, 400, 500, float("inf"))
"""Clipper's."""
_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]{0,127}")
_OURS = ("clipper_", "process_", "python_", "target_info")
_MOST = 500


class MetricError(ValueError):
    """A metric cannot be added or reported; the text says why and what can."""


class _Reports(Protocol):
    """How a value is reported."""

    def __call__(self, value: float, /) -> object: ...


class UserMetrics:
    """The metrics that a model has added. All methods may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._metrics: dict[str, Any] = {}
        self._reports: dict[str, _Reports] = {}

    def add(self, name: str, type: str, description: str, buckets: Sequence[float] = DEFAULT_BUCKETS) -> None:  # noqa: A002
        """Adds a metric; does nothing if there is one of that name. See `add_metric`."""
        import prometheus_client

        if not isinstance(name, str) or not _NAME.fullmatch(name) or name.startswith(_OURS):
            raise MetricError(
                f'"{name}" is no name for a metric: write letters, digits and underscores, such as rejected_images; '
                f"names that start with {', '.join(_OURS)} are taken."
            )
        with self._lock:
            if name in self._metrics:
                return
            if len(self._metrics) >= _MOST:
                raise MetricError(f"There are {_MOST} metrics already; do not make names from data.")
            made: Any
            match type:
                case "Counter":
                    made = prometheus_client.Counter(name, description, registry=None)
                    report = made.inc
                case "Gauge":
                    made = prometheus_client.Gauge(name, description, registry=None)
                    report = made.set
                case "Summary":
                    made = prometheus_client.Summary(name, description, registry=None)
                    report = made.observe
                case "Histogram":
                    try:
                        made = prometheus_client.Histogram(name, description, registry=None, buckets=buckets)
                    except (TypeError, ValueError) as error:
                        raise MetricError(f"{name}: {error}; write ascending numbers as buckets.") from error
                    report = made.observe
                case _:
                    raise MetricError(f"{name}: there are Counter, Gauge, Histogram and Summary, no {type!r}.")
            self._metrics[name], self._reports[name] = made, report

    def report(self, name: str, value: float) -> None:
        """Reports a value. See `report_metric`."""
        report = self._reports.get(name)
        if report is None:
            known = ", ".join(self._metrics) or "none yet"
            raise MetricError(f"No metric {name!r}: add_metric comes first. There are: {known}.")
        try:
            report(float(value))
        except (TypeError, ValueError) as error:
            raise MetricError(f"{name}: {value!r} cannot be reported: {error}.") from error

    def collect(self) -> Iterator[Metric]:
        """Everything, for Prometheus."""
        with self._lock:
            found = list(self._metrics.values())
        for each in found:
            yield from each.collect()


_of_this_process = UserMetrics()


def of_this_process() -> UserMetrics:
    """Those that this process' model has added."""
    return _of_this_process


def add_metric(name: str, type: str, description: str, buckets: Sequence[float] = DEFAULT_BUCKETS) -> None:  # noqa: A002
    """Adds a metric; a second one of the same name is ignored.

    Args:
        name: letters, digits and underscores, such as rejected_images; counters get `_total` at their end.
        type: Counter (report what to add), Gauge (report what it is now), Histogram or Summary (report what was seen).
        description: one line for people.
        buckets: upper bounds of a Histogram.

    Raises:
        MetricError: the name or the type cannot be.
    """
    _of_this_process.add(name, type, description, buckets)


def report_metric(name: str, value: float) -> None:
    """Reports a value of a metric.

    Raises:
        MetricError: there is no such metric, or the value is no number that it takes.
    """
    _of_this_process.report(name, value)
