// Package rest is Clipper's REST for queries on the query port: predict, update and metrics (contract §1.1).
//
//	handler.go       which request goes where
//	predict.go       POST /{application}/predict
//	update.go        POST /{application}/update
//	applications.go  what the gateway has learned of applications: how to read their inputs
//	counted.go       counts the answers of the AIP routes too
package rest

import (
	"net/http"
	"strings"
	"time"

	pb "github.com/clipper-serve/clipper/services/gateway/gen/clipper/v1"
	"github.com/clipper-serve/clipper/services/gateway/problem"
)

// Metrics counts answers.
type Metrics interface {
	Answered(application string, answers, defaults int, after time.Duration)
	Forget(application string)
}

// A Handler serves Clipper's routes of the query port, and hands what is not its own to Next.
type Handler struct {
	Predict      pb.PredictServiceClient
	Feedback     pb.FeedbackServiceClient
	Applications *Applications
	Metrics      Metrics
	// MaxMessageBytes is the largest message that the frontend takes.
	MaxMessageBytes int
	// Told answers GET /metrics.
	Told http.Handler
	// Next serves the other paths.
	Next http.Handler
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := r.URL.Path
	if path == "/metrics" {
		if !problem.Allowed(w, r, http.MethodGet, http.MethodHead) {
			return
		}
		h.Told.ServeHTTP(w, r)
		return
	}
	name, verb, ok := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(path, "/"), "/"), "/")
	if !ok || (verb != "predict" && verb != "update") {
		h.Next.ServeHTTP(w, r)
		return
	}
	if !problem.Allowed(w, r, http.MethodPost) {
		return
	}
	var failed *problem.Problem
	if !isName(name) {
		failed = problem.New(http.StatusNotFound, problem.NotFound,
			`No application %q: names have lower-case letters, digits and hyphens only, such as "hello-world".`, name)
	} else if verb == "predict" {
		failed = h.predict(w, r, name)
	} else {
		failed = h.update(w, r, name)
	}
	if failed != nil {
		failed.Write(w)
	}
}

// maxNameBytes is that of a DNS label.
const maxNameBytes = 63

// isName tells whether there can be an application of that name: [a-z0-9]([-a-z0-9]*[a-z0-9])?
func isName(name string) bool {
	if name == "" || len(name) > maxNameBytes || name[0] == '-' || name[len(name)-1] == '-' {
		return false
	}
	for _, c := range []byte(name) {
		if c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}
