// Package admin is Clipper's REST for administration on the admin port: the sixteen /admin routes (contract §1.2) as faces of
// AdminService.
//
//	handler.go       which request goes where
//	body.go          reads the members of a request's body
//	applications.go  applications and their links
//	models.go        models, versions and replicas
//	views.go         Clipper's objects for applications, versions and replicas
package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	pb "github.com/clipper-serve/clipper/services/gateway/gen/clipper/v1"
	"github.com/clipper-serve/clipper/services/gateway/problem"
	"github.com/clipper-serve/clipper/services/gateway/transfer"
)

// callTimeout bounds the calls of one request, unless the client asks for less.
const callTimeout = 30 * time.Second

// A Handler serves Clipper's routes of the admin port, and hands what is not its own to Next.
type Handler struct {
	client pb.AdminServiceClient
	next   http.Handler
	routes map[string]route
}

// A route is what one path does. Its result is a sentence or what becomes JSON.
type route struct {
	schema string
	do     func(ctx context.Context, body body) (any, error)
}

// sentence is a result that is answered as plain text.
type sentence string

// New makes the handler.
func New(client pb.AdminServiceClient, next http.Handler) *Handler {
	h := &Handler{client: client, next: next}
	h.routes = map[string]route{
		"/admin/add_app":                {addAppSchema, h.addApp},
		"/admin/delete_app":             {nameSchema, h.deleteApp},
		"/admin/add_model_links":        {linksSchema, h.addModelLinks},
		"/admin/delete_model_links":     {linksSchema, h.deleteModelLinks},
		"/admin/get_linked_models":      {appNameSchema, h.getLinkedModels},
		"/admin/add_model":              {addModelSchema, h.addModel},
		"/admin/delete_versioned_model": {versionSchema, h.deleteVersionedModel},
		"/admin/set_model_version":      {versionSchema, h.setModelVersion},
		"/admin/get_all_applications":   {verboseSchema, h.getAllApplications},
		"/admin/get_application":        {nameSchema, h.getApplication},
		"/admin/get_all_models":         {verboseSchema, h.getAllModels},
		"/admin/get_model":              {versionSchema, h.getModel},
		"/admin/get_all_containers":     {verboseSchema, h.getAllContainers},
		"/admin/get_container":          {containerSchema, h.getContainer},
		"/admin/get_state":              {stateSchema, h.getState},
	}
	return h
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.TrimSuffix(r.URL.Path, "/")
	if path == "/admin/ping" {
		if problem.Allowed(w, r, http.MethodGet, http.MethodHead) {
			transfer.WriteText(w, "PONG")
		}
		return
	}
	route, ok := h.routes[path]
	if !ok {
		h.next.ServeHTTP(w, r)
		return
	}
	if !problem.Allowed(w, r, http.MethodPost) {
		return
	}
	result, err := route.run(r)
	if err != nil {
		failure(err, route).Write(w)
		return
	}
	if text, ok := result.(sentence); ok {
		transfer.WriteText(w, string(text))
		return
	}
	text, err := json.Marshal(result)
	if err != nil {
		problem.From(err, problem.Management).Write(w)
		return
	}
	transfer.WriteJSON(w, text)
}

func (t route) run(r *http.Request) (any, error) {
	content, failed := transfer.ReadBody(r)
	if failed != nil {
		return nil, failed
	}
	defer content.Release()
	timeout, err := transfer.Timeout(r)
	if err != nil {
		return nil, err
	}
	if timeout == 0 || timeout > callTimeout {
		timeout = callTimeout
	}
	ctx, cancel := context.WithTimeout(transfer.Context(r), timeout)
	defer cancel()
	members, err := readBody(content.Bytes())
	if err != nil {
		return nil, err
	}
	return t.do(ctx, members)
}

// failure is the problem that an error is answered with.
func failure(err error, route route) *problem.Problem {
	var bad *bodyError
	if errors.As(err, &bad) {
		return problem.New(http.StatusBadRequest, problem.JSONError,
			"Error parsing JSON: %s. Expected JSON schema: %s", bad.text, route.schema)
	}
	return problem.From(err, problem.Management)
}

// refused is an error that Clipper's management frontend found by itself.
func refused(status int, format string, arguments ...any) error {
	return problem.New(status, problem.Management, "%s", fmt.Sprintf(format, arguments...))
}
