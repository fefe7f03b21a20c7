package metrics

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// A Page answers GET /metrics: with Clipper's JSON, that tells of the whole cluster; and to Prometheus, which says in
// its Accept header what it reads, with its text, that tells of this process.
type Page struct {
	own       *Registry
	frontends *Frontends
	text      http.Handler
}

// NewPage makes the page. Until a frontend answers, the JSON tells what this gateway itself has seen.
func NewPage(own *Registry, frontends *Frontends, process *Process) *Page {
	return &Page{own: own, frontends: frontends, text: promhttp.HandlerFor(process.registry, promhttp.HandlerOpts{})}
}

func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Vary", "Accept")
	accept := r.Header.Get("Accept")
	if strings.Contains(accept, "text/plain") || strings.Contains(accept, "openmetrics") {
		p.text.ServeHTTP(w, r)
		return
	}
	report := p.own.Report()
	if parts := p.frontends.Stats(r.Context()); len(parts) > 0 {
		report = Merged(parts)
	}
	text, err := json.Marshal(report)
	if err != nil {
		panic(err) // every value is finite
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(text) // a client that has left is told nothing
}

// Process counts the requests of this process, for Prometheus.
type Process struct {
	registry *prometheus.Registry
	duration *prometheus.HistogramVec
	inFlight *prometheus.GaugeVec
}

// NewProcess counts from now on.
func NewProcess(version string) *Process {
	p := &Process{
		registry: prometheus.NewRegistry(),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "clipper_gateway_request_duration_seconds", Help: "How long requests took, by port, route and status.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"port", "route", "status"}),
		inFlight: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "clipper_gateway_requests_in_flight", Help: "Requests that are being answered.",
		}, []string{"port"}),
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "clipper_build_info", Help: "What this process is built from; always 1.",
		ConstLabels: prometheus.Labels{"process": "gateway", "version": version},
	})
	build.Set(1)
	p.registry.MustRegister(
		p.duration, p.inFlight, build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return p
}

// InFlight is the number of requests that a port is answering.
func (p *Process) InFlight(port string) prometheus.Gauge { return p.inFlight.WithLabelValues(port) }

// Answered counts a request.
func (p *Process) Answered(port, route, status string, seconds float64) {
	p.duration.WithLabelValues(port, route, status).Observe(seconds)
}
