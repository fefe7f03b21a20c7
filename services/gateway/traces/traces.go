// Package traces makes spans of requests, where OpenTelemetry's standard variables ask for them:
// OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_TRACES_EXPORTER, OTEL_EXPORTER_OTLP_PROTOCOL, OTEL_TRACES_SAMPLER, and so on.
package traces

import (
	"context"
	"net/http"
	"os"
	"strings"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"
	api "go.opentelemetry.io/otel/trace"
)

// flushTimeout bounds the wait for the collector when the process ends.
const flushTimeout = 2 * time.Second

// A Tracer makes spans. A nil one makes none.
type Tracer struct {
	provider   *trace.TracerProvider
	tracer     api.Tracer
	propagator propagation.TraceContext
}

// New makes a tracer, or nil when nobody asked for traces. failed gets what goes wrong with handing spans over.
func New(version string, failed func(error)) (*Tracer, error) {
	if !isWanted() {
		return nil, nil
	}
	exporter, err := newExporter()
	if err != nil {
		return nil, err
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(failed))
	attributes := []attribute.KeyValue{attribute.String("service.version", version)}
	if os.Getenv("OTEL_SERVICE_NAME") == "" {
		attributes = append(attributes, attribute.String("service.name", "clipper-gateway"))
	}
	described, err := resource.New(
		context.Background(), resource.WithAttributes(attributes...), resource.WithFromEnv(), resource.WithTelemetrySDK(),
	)
	if err != nil {
		return nil, err
	}
	provider := trace.NewTracerProvider(trace.WithBatcher(exporter), trace.WithResource(described))
	return &Tracer{provider: provider, tracer: provider.Tracer("clipper")}, nil
}

func isWanted() bool {
	if strings.EqualFold(strings.TrimSpace(os.Getenv("OTEL_SDK_DISABLED")), "true") {
		return false
	}
	if exporter := strings.ToLower(strings.TrimSpace(os.Getenv("OTEL_TRACES_EXPORTER"))); exporter != "" {
		return exporter == "otlp"
	}
	return os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != ""
}

func newExporter() (*otlptrace.Exporter, error) {
	protocol := os.Getenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")
	if protocol == "" {
		protocol = os.Getenv("OTEL_EXPORTER_OTLP_PROTOCOL")
	}
	if protocol == "grpc" {
		return otlptracegrpc.New(context.Background())
	}
	return otlptracehttp.New(context.Background())
}

// Start begins the span of a request and names it in the request's headers, which travel on. The result ends it.
func (t *Tracer) Start(r *http.Request, route string) func(status int) {
	ctx := t.propagator.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
	ctx, span := t.tracer.Start(ctx, r.Method+" "+route, api.WithSpanKind(api.SpanKindServer), api.WithAttributes(
		attribute.String("http.request.method", r.Method), attribute.String("http.route", route),
		attribute.String("url.path", r.URL.Path),
	))
	t.propagator.Inject(ctx, propagation.HeaderCarrier(r.Header))
	return func(status int) {
		span.SetAttributes(attribute.Int("http.response.status_code", status))
		if status >= http.StatusInternalServerError {
			span.SetStatus(codes.Error, http.StatusText(status))
		}
		span.End()
	}
}

// Close hands over what there is, if the collector takes it soon.
func (t *Tracer) Close() {
	if t == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), flushTimeout)
	defer cancel()
	_ = t.provider.Shutdown(ctx) // spans may be lost; the process ends all the same
}
