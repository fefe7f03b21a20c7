"""Families as OpenTelemetry's metric data, and from there as Prometheus text.

OpenTelemetry's SDK has no way for histograms that were counted elsewhere, but its readers take metric data: a reader
here adds ours to what the SDK itself has collected. It is loaded when somebody looks for the first time: it would
double the time that a process takes to start.
"""

from __future__ import annotations

import importlib.metadata
import platform
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from clipper_rpc.telemetry.families import Buckets, Collect, Family, Kind
from clipper_rpc.telemetry.forks import without_fork_handler

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import Metric
    from prometheus_client import CollectorRegistry
    from prometheus_client.registry import Collector

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Exposition:
    """All metrics of this process as text.

    Args:
        collect: each tells some of them.
        process: names the process.
        transport: how it carries gRPC.
        collectors: further ones that speak Prometheus already.
    """

    def __init__(
        self, collect: Sequence[Collect], *, process: str, transport: str = "", collectors: Sequence[Collector] = ()
    ) -> None:
        self._collect = collect
        self._build = {
            "process": process,
            "version": importlib.metadata.version("clipper-serve"),
            "python": platform.python_version(),
            "transport": transport,
        }
        self._collectors = collectors
        self._registry: CollectorRegistry | None = None
        self._started_ns = time.time_ns()
        self._lock = threading.Lock()

    def text(self) -> bytes:
        """Everything, now. Takes milliseconds: call it in a thread that nobody waits for."""
        with self._lock:  # the reader hands data from one method to another
            from prometheus_client import generate_latest

            if self._registry is None:
                self._registry = self._made()
            return generate_latest(self._registry)

    def _made(self) -> CollectorRegistry:
        from opentelemetry import metrics
        from opentelemetry.exporter.prometheus import PrometheusMetricReader
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import MetricsData, ResourceMetrics, ScopeMetrics
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope
        from prometheus_client import CollectorRegistry, ProcessCollector

        resource = Resource.create({"service.name": f"clipper-{self._build['process']}"})
        scope = InstrumentationScope("clipper")

        class Reader(PrometheusMetricReader):
            """Adds what was counted here to what the SDK has collected."""

            def _receive_metrics(
                reader,  # noqa: N805  # self is the exposition
                metrics_data: MetricsData,
                timeout_millis: float = 10_000,
                **kwargs: object,
            ) -> None:
                told = [_metric(each, self._started_ns) for collect in self._collect for each in collect()]
                ours = ResourceMetrics(resource, [ScopeMetrics(scope, told, "")], "")
                # In one go: its collector would tell the first of two parts twice.
                both = MetricsData([*metrics_data.resource_metrics, ours])
                super()._receive_metrics(both, timeout_millis, **kwargs)

        registry = CollectorRegistry()
        reader = Reader(scope_info_enabled=False, registry=registry)
        provider = without_fork_handler(MeterProvider)([reader], resource=resource, shutdown_on_exit=False)
        metrics.set_meter_provider(provider)  # for models that count with OpenTelemetry themselves
        provider.get_meter("clipper").create_observable_gauge(
            "clipper.build_info",
            [lambda _: [metrics.Observation(1, self._build)]],
            description="What this process is built from; always 1.",
        )
        ProcessCollector(registry=registry)
        for each in self._collectors:
            registry.register(each)
        return registry


def _metric(family: Family, since_ns: int) -> Metric:
    from opentelemetry.sdk.metrics.export import (
        AggregationTemporality,
        Gauge,
        Histogram,
        HistogramDataPoint,
        Metric,
        NumberDataPoint,
        Sum,
    )

    now_ns = time.time_ns()
    cumulative = AggregationTemporality.CUMULATIVE
    data: Gauge | Histogram | Sum
    if family.kind is Kind.HISTOGRAM:
        points = [
            HistogramDataPoint(
                attributes=dict(labels),
                start_time_unix_nano=since_ns,
                time_unix_nano=now_ns,
                count=sum(value.counts),
                sum=value.total,
                bucket_counts=value.counts,
                explicit_bounds=value.bounds,
                min=0,
                max=0,
            )
            for labels, value in family.samples
            if isinstance(value, Buckets)
        ]
        data = Histogram(points, cumulative)
    else:
        numbers = [
            NumberDataPoint(dict(labels), since_ns, now_ns, value)
            for labels, value in family.samples
            if not isinstance(value, Buckets)
        ]
        data = Sum(numbers, cumulative, is_monotonic=True) if family.kind is Kind.COUNTER else Gauge(numbers)
    return Metric(family.name, family.help, family.unit, data)
