// Package server is the outside of the gateway: listening, limits, health, and an orderly end.
//
//	server.go   a port: limits, health, description, and what is behind them
//	watched.go  requests counted, traced, and told to the log at DEBUG
//	run.go      both ports from their start to their end
//	signals.go  the signals that end a process
//	ask.go      health asked from outside, for containers
package server

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/clipper-serve/clipper/services/gateway/problem"
	"github.com/clipper-serve/clipper/services/gateway/traces"
	"github.com/clipper-serve/clipper/services/gateway/transfer"
)

// Limits bound what a client may cost.
type Limits struct {
	// MaxBodyBytes is the largest body of a request.
	MaxBodyBytes int64
	// HeaderTimeout is how long the headers of a request may take to arrive, BodyTimeout the whole of it.
	HeaderTimeout, BodyTimeout time.Duration
	// IdleTimeout is how long a connection may stay open without a request.
	IdleTimeout time.Duration
}

const (
	maxHeaderBytes = 64 << 10
	// checkTimeout bounds the question behind /healthz.
	checkTimeout = 2 * time.Second
)

// A Port serves one address.
type Port struct {
	// Name tells the ports apart in logs and errors.
	Name string
	// Check tells whether the process behind this port serves.
	Check func(context.Context) error
	// Description answers GET /openapi.json.
	Description http.Handler
	// Handler answers everything else.
	Handler http.Handler

	Limits Limits
	Log    *slog.Logger
	// Counts gets every request; nil counts nothing.
	Counts Counts
	// Tracer makes their spans; nil makes none.
	Tracer *traces.Tracer

	listener   net.Listener
	server     *http.Server
	isDraining atomic.Bool
}

// Listen binds the port; 0 in the address picks a free one.
func (p *Port) Listen(address string) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	p.listener = listener
	p.server = &http.Server{
		Handler:           p,
		ReadHeaderTimeout: p.Limits.HeaderTimeout,
		ReadTimeout:       p.Limits.BodyTimeout,
		IdleTimeout:       p.Limits.IdleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(p.Log.Handler(), slog.LevelDebug),
	}
	return nil
}

// Address is where it listens.
func (p *Port) Address() string { return p.listener.Addr().String() }

// Serve answers requests until Shutdown.
func (p *Port) Serve() error {
	if err := p.server.Serve(p.listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Drain makes /healthz say that the port is about to close.
func (p *Port) Drain() { p.isDraining.Store(true) }

// Shutdown takes no new connections and lets requests end until the context does; then it cuts them off.
func (p *Port) Shutdown(ctx context.Context) {
	if err := p.server.Shutdown(ctx); err != nil {
		p.Log.Warn("requests_cut_off", "port", p.Name)
		_ = p.server.Close()
	}
}

func (p *Port) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if p.Counts != nil {
		watched := p.watch(w, r)
		defer watched.end()
		w = watched
	}
	defer p.recover(w, r)
	if id := r.Header["X-Request-Id"]; len(id) == 1 {
		w.Header()["X-Request-Id"] = id
	}
	switch r.URL.Path {
	case "/healthz":
		if problem.Allowed(w, r, http.MethodGet, http.MethodHead) {
			p.health(w, r)
		}
		return
	case "/openapi.json":
		if problem.Allowed(w, r, http.MethodGet, http.MethodHead) {
			p.Description.ServeHTTP(w, r)
		}
		return
	}
	if large := transfer.Limit(w, r, p.Limits.MaxBodyBytes); large != nil {
		large.Write(w)
		return
	}
	p.Handler.ServeHTTP(w, r)
}

func (p *Port) health(w http.ResponseWriter, r *http.Request) {
	if p.isDraining.Load() {
		problem.New(http.StatusServiceUnavailable, problem.Unavailable, "The gateway is stopping.").Write(w)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), checkTimeout)
	defer cancel()
	if err := p.Check(ctx); err != nil {
		failed := problem.From(err, problem.Unavailable)
		failed.Status = http.StatusServiceUnavailable
		failed.Write(w)
		return
	}
	transfer.WriteJSON(w, []byte(`{"status":"serving"}`))
}

// recover answers a request whose handler panicked: one faulty request must not look like a dead gateway.
func (p *Port) recover(w http.ResponseWriter, r *http.Request) {
	fault := recover()
	if fault == nil {
		return
	}
	if fault == http.ErrAbortHandler {
		panic(fault)
	}
	p.Log.Error("handler_panicked", "port", p.Name, "path", r.URL.Path, "request_id", r.Header.Get("X-Request-Id"), "fault", fault, "trace", string(debug.Stack()))
	problem.New(http.StatusInternalServerError, problem.Unexpected, "The log of the gateway tells more.").Write(w)
}
