package server

import (
	"context"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Counts counts requests.
type Counts interface {
	InFlight(port string) prometheus.Gauge
	Answered(port, route, status string, seconds float64)
}

// watched is a response that is looked at while it is written.
type watched struct {
	http.ResponseWriter
	port    *Port
	request *http.Request
	route   string
	status  int
	started time.Time
	endSpan func(status int)
}

func (p *Port) watch(w http.ResponseWriter, r *http.Request) *watched {
	found := &watched{ResponseWriter: w, port: p, request: r, route: route(r.URL.Path), started: time.Now()}
	if p.Tracer != nil {
		found.endSpan = p.Tracer.Start(r, found.route)
	}
	p.Counts.InFlight(p.Name).Inc()
	return found
}

// Unwrap is for http.ResponseController.
func (w *watched) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *watched) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *watched) end() {
	status := w.status
	if status == 0 {
		status = http.StatusOK
	}
	took := time.Since(w.started)
	w.port.Counts.InFlight(w.port.Name).Dec()
	w.port.Counts.Answered(w.port.Name, w.route, strconv.Itoa(status), took.Seconds())
	if w.endSpan != nil {
		w.endSpan(status)
	}
	if w.port.Log.Enabled(context.Background(), slog.LevelDebug) {
		w.port.Log.Debug("request", "port", w.port.Name, "method", w.request.Method, "path", w.request.URL.Path, "status", status,
			"took_ms", float64(took.Microseconds())/1000, "request_id", w.request.Header.Get("X-Request-Id"))
	}
}

// route is the kind of a path: there are few of them, whatever is asked for.
func route(path string) string {
	switch path {
	case "/metrics", "/healthz", "/openapi.json":
		return path
	}
	switch {
	case path == "/" || path == "/status" || strings.HasPrefix(path, "/status/"):
		return "/status"
	case strings.HasPrefix(path, "/v1/"):
		return "/v1"
	case strings.HasPrefix(path, "/admin/"):
		return "/admin"
	case strings.HasSuffix(strings.TrimSuffix(path, "/"), "/predict"):
		return "/{application}/predict"
	case strings.HasSuffix(strings.TrimSuffix(path, "/"), "/update"):
		return "/{application}/update"
	}
	return "other"
}
