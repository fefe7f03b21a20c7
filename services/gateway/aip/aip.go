// Package aip serves the routes that the protos declare (google.api.http): the generated part of the gateway.
package aip

import (
	"context"
	"net/http"
	"strings"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/clipper-serve/clipper/services/gateway/problem"
	"github.com/clipper-serve/clipper/services/gateway/transfer"
)

// A Table tells which methods a path takes.
type Table interface {
	Methods(path string) []string
}

// New makes a mux without routes: the generated Register functions add them. Paths and methods that it has not are
// answered with the gateway's own problems, failures behind it with a google.rpc.Status in JSON.
func New(table Table) *runtime.ServeMux {
	return runtime.NewServeMux(
		runtime.WithMarshalerOption(runtime.MIMEWildcard, &runtime.JSONPb{
			MarshalOptions:   protojson.MarshalOptions{UseProtoNames: true, EmitDefaultValues: true},
			UnmarshalOptions: protojson.UnmarshalOptions{},
		}),
		runtime.WithIncomingHeaderMatcher(passOn),
		runtime.WithOutgoingHeaderMatcher(func(string) (string, bool) { return "", false }),
		runtime.WithDisablePathLengthFallback(),
		runtime.WithDisableHTTPMethodOverride(),
		runtime.WithWriteContentLength(),
		runtime.WithErrorHandler(answerError),
		runtime.WithRoutingErrorHandler(func(
			_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, code int,
		) {
			unrouted(w, r, code, table)
		}),
	)
}

// passOn names the metadata that a header becomes.
func passOn(header string) (string, bool) {
	for _, known := range transfer.PassedOn {
		if header == known {
			return strings.ToLower(header), true
		}
	}
	return strings.CutPrefix(header, runtime.MetadataHeaderPrefix)
}

func answerError(
	ctx context.Context, mux *runtime.ServeMux, marshaler runtime.Marshaler, w http.ResponseWriter, r *http.Request, err error,
) {
	// The generated code keeps of a body that was cut off only the text of the error.
	if limit, cut := transfer.WasCut(r); cut {
		transfer.LargeBody(limit).Write(w)
		return
	}
	if delay := problem.RetryDelay(status.Convert(err)); delay > 0 {
		w.Header().Set("Retry-After", problem.RetryAfterSeconds(delay))
	}
	runtime.DefaultHTTPErrorHandler(ctx, mux, marshaler, w, r, err)
}

func unrouted(w http.ResponseWriter, r *http.Request, code int, table Table) {
	if methods := table.Methods(r.URL.Path); len(methods) > 0 {
		if problem.Allowed(w, r, methods...) {
			problem.New(code, problem.BadRequest, "%s cannot be read as one of the paths in GET /openapi.json.", r.URL.Path).Write(w)
		}
		return
	}
	hint := "GET /openapi.json lists what there is."
	if r.URL.Path == "/" { // of the query port, where people look first
		hint += " The status page is at / of the administration port."
	}
	problem.New(http.StatusNotFound, problem.NotFound, "There is no %s. %s", r.URL.Path, hint).Write(w)
}
