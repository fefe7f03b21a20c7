"""Spans, where they are asked for by OpenTelemetry's standard variables; else there is no tracing at all.

    OTEL_EXPORTER_OTLP_ENDPOINT (or ..._TRACES_ENDPOINT)   turns tracing on
    OTEL_TRACES_EXPORTER                                   otlp turns it on too; none turns it off
    OTEL_EXPORTER_OTLP_PROTOCOL (or ..._TRACES_PROTOCOL)   http/protobuf, the default, or grpc
    OTEL_TRACES_SAMPLER, OTEL_TRACES_SAMPLER_ARG           what share is traced, unless the caller says it
    OTEL_SDK_DISABLED=true                                 turns everything off

Spans are handed over in batches by a thread; while the collector is away they are dropped, and nobody waits for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import logging
import os
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from clipper_rpc.telemetry.context import TRACEPARENT, TRACESTATE, Metadata
from clipper_rpc.telemetry.forks import without_fork_handler

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span

_log = logging.getLogger(__name__)

_FLUSH_WITHIN_S = 2.0

Attributes = Mapping[str, str | int | float | bool]


def tracing_of(process: str) -> Tracing | None:
    """The tracing of this process; None, the default, when nobody asked for it."""
    if not is_wanted(os.environ):
        return None
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    exporter = _exporter()
    tracing = Tracing(process)
    tracing.provider.add_span_processor(BatchSpanProcessor(exporter))
    _log.info("tracing", extra={"exporter": type(exporter).__module__})
    return tracing


def is_wanted(environment: Mapping[str, str]) -> bool:
    """Whether the standard variables ask for traces."""
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    exporter = environment.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    if exporter:
        return exporter == "otlp"
    return any(environment.get(name) for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"))


def _exporter() -> SpanExporter:
    protocol = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL")
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter

        return GrpcExporter()
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter

    return HttpExporter()


class Tracing:
    """Makes the spans of one process."""

    def __init__(self, process: str) -> None:
        from opentelemetry import trace
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        named = {} if os.environ.get("OTEL_SERVICE_NAME") else {"service.name": f"clipper-{process}"}
        version = importlib.metadata.version("clipper-serve")
        self.provider: TracerProvider = without_fork_handler(TracerProvider)(
            resource=Resource.create({**named, "service.version": version, "process.pid": os.getpid()}),
            shutdown_on_exit=False,
        )
        trace.set_tracer_provider(self.provider)  # for spans that a model makes itself
        self._tracer = self.provider.get_tracer("clipper", version)
        self._propagator = TraceContextTextMapPropagator()
        self._api = trace

    def context_of(self, metadata: Metadata) -> Context:
        """The context that a call came with; an empty one if it has none."""
        carrier = {key: value for key, value in metadata if key in (TRACEPARENT, TRACESTATE)}
        return self._propagator.extract(carrier)

    def metadata_of(self, span: Span) -> Metadata:
        """What a call has along so that its spans become children of this one."""
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier, self._api.set_span_in_context(span))
        return tuple(carrier.items())

    def serving(self, name: str, metadata: Metadata, attributes: Attributes) -> Span:
        """Begins the span of a call that came in."""
        return self._tracer.start_span(
            name, self.context_of(metadata), self._api.SpanKind.SERVER, attributes=dict(attributes)
        )

    def calling(self, name: str, spans: Iterable[Span], attributes: Attributes) -> Span | None:
        """Begins the span of a call that is made for several: a child of the first one, linked with all.

        None when none of them is recorded.
        """
        recorded = [span for span in spans if span.is_recording()]
        if not recorded:
            return None
        links = [self._api.Link(span.get_span_context()) for span in recorded]
        parent = self._api.set_span_in_context(recorded[0])
        call = self._tracer.start_span(
            name, parent, self._api.SpanKind.CLIENT, attributes=dict(attributes), links=links
        )
        for span in recorded[1:]:  # whose trace would not show where its query went
            span.add_link(call.get_span_context())
        return call

    def run(self, name: str, metadata: Metadata, attributes: Attributes, work: Callable[[], None]) -> None:
        """Does some work with a span that is the current one meanwhile, also to code that knows nothing of us."""
        with self._tracer.start_as_current_span(
            name, self.context_of(metadata), self._api.SpanKind.SERVER, attributes=dict(attributes)
        ):
            work()

    def failed(self, span: Span, problem: str) -> None:
        """Says that what the span stands for went wrong."""
        span.set_status(self._api.Status(self._api.StatusCode.ERROR, problem))

    async def close(self) -> None:
        """Hands over what there is, if the collector takes it soon."""
        done = asyncio.Event()
        loop = asyncio.get_running_loop()

        def shut_down() -> None:
            self.provider.shutdown()
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(done.set)

        # A daemon: a collector that does not answer must not keep the process from ending.
        threading.Thread(target=shut_down, name="last-spans", daemon=True).start()
        try:
            await asyncio.wait_for(done.wait(), _FLUSH_WITHIN_S)
        except TimeoutError:
            _log.warning("spans_lost", extra={"problem": "the collector does not answer"})
