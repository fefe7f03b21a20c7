// Package problem is how every failure looks over REST: a status and {"error", "cause"} in JSON.
//
// error names the kind in Clipper's words, cause says what happened and what to do. The causes of failures behind the
// gateway are the texts of their gRPC status.
package problem

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/clipper-serve/clipper/services/gateway/values"
)

// The kinds of problems. The first two are Clipper's.
const (
	JSONError       = "Json error"
	QueryProcessing = "Query processing error"
	Management      = "Management operation error"
	BadRequest      = "Bad request"
	NotFound        = "Not found"
	NotAllowed      = "Method not allowed"
	TooLarge        = "Request too large"
	TooSlow         = "Request timeout"
	Unavailable     = "Unavailable"
	Unexpected      = "An unexpected error occurred!"
)

// The reasons of ErrorInfo that the gateway treats on their own. They are those of clipper_rpc/errors.py.
const (
	ReasonApplicationNotFound = "APPLICATION_NOT_FOUND"
	ReasonInputTypeMismatch   = "INPUT_TYPE_MISMATCH"
	ReasonInvalidField        = "INVALID_FIELD"
	ReasonMessageTooLarge     = "MESSAGE_TOO_LARGE"
	ReasonVersionNotFound     = "VERSION_NOT_FOUND"
)

// domain is that of every ErrorInfo that Clipper sends.
const domain = "clipper.v1"

// statusClientClosed is what logs and proxies know as "client closed request".
const statusClientClosed = 499

// A Problem is an answer that tells of a failure.
type Problem struct {
	Status int
	Kind   string
	Cause  string
	// Allow are the methods that the path takes; only with 405.
	Allow string
	// RetryAfter is how long to wait before trying again; 0 where that is not said.
	RetryAfter time.Duration
}

// Error lets a Problem travel as an error.
func (p *Problem) Error() string { return p.Kind + ": " + p.Cause }

// New makes a Problem.
func New(status int, kind, format string, arguments ...any) *Problem {
	return &Problem{Status: status, Kind: kind, Cause: fmt.Sprintf(format, arguments...)}
}

// AppendJSON appends the body.
func (p *Problem) AppendJSON(json []byte) []byte {
	json = append(json, `{"error":`...)
	json = values.AppendString(json, p.Kind)
	json = append(json, `,"cause":`...)
	json = values.AppendString(json, p.Cause)
	return append(json, '}')
}

// Write answers a request with the problem.
func (p *Problem) Write(w http.ResponseWriter) {
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("X-Content-Type-Options", "nosniff")
	if p.Allow != "" {
		header.Set("Allow", p.Allow)
	}
	if p.RetryAfter > 0 {
		header.Set("Retry-After", RetryAfterSeconds(p.RetryAfter))
	}
	w.WriteHeader(p.Status)
	_, _ = w.Write(p.AppendJSON(nil)) // a client that has left is told nothing
}

// RetryAfterSeconds is the value of a Retry-After header: whole seconds, at least one.
func RetryAfterSeconds(delay time.Duration) string {
	return strconv.Itoa(max(1, int(math.Ceil(delay.Seconds()))))
}

// Reason returns the reason of the ErrorInfo of a gRPC error; empty when it has none of Clipper's.
func Reason(err error) string {
	s, ok := status.FromError(err)
	if !ok {
		return ""
	}
	return reason(s)
}

func reason(s *status.Status) string {
	for _, detail := range s.Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok && info.GetDomain() == domain {
			return info.GetReason()
		}
	}
	return ""
}

// From turns any error into a Problem; kind is that of errors which came from behind the gateway.
func From(err error, kind string) *Problem {
	var known *Problem
	if errors.As(err, &known) {
		return known
	}
	s, ok := status.FromError(err)
	if !ok {
		s = status.FromContextError(err) // UNKNOWN for what is no matter of time either
	}
	return fromStatus(s, kind)
}

// FromRPC turns a google.rpc.Status, as batches carry it per input, into a Problem.
func FromRPC(rpc *rpcstatus.Status, kind string) *Problem {
	return fromStatus(status.FromProto(rpc), kind)
}

func fromStatus(s *status.Status, kind string) *Problem {
	p := &Problem{Status: httpStatus(s.Code()), Kind: kind, Cause: s.Message()}
	why := reason(s)
	switch {
	case s.Code() == codes.Unknown:
		p.Kind = Unexpected
	case s.Code() == codes.Unavailable && why == "":
		// Not Clipper's own words but gRPC's, on a connection that could not be made or broke.
		p.Kind = Unavailable
		p.RetryAfter = time.Second
	case s.Code() == codes.ResourceExhausted && (why == "" || why == ReasonMessageTooLarge):
		// Without a reason it is gRPC itself that refuses a message by its size.
		p.Status, p.Kind = http.StatusRequestEntityTooLarge, TooLarge
	}
	if delay := RetryDelay(s); delay > 0 {
		p.RetryAfter = delay
	}
	return p
}

// RetryDelay is that of the RetryInfo of a status; 0 when it has none.
func RetryDelay(s *status.Status) time.Duration {
	for _, detail := range s.Details() {
		if info, ok := detail.(*errdetails.RetryInfo); ok {
			return info.GetRetryDelay().AsDuration()
		}
	}
	return 0
}

func httpStatus(code codes.Code) int {
	switch code {
	case codes.OK:
		return http.StatusOK
	case codes.InvalidArgument, codes.OutOfRange:
		return http.StatusBadRequest
	case codes.Unauthenticated:
		return http.StatusUnauthorized
	case codes.PermissionDenied:
		return http.StatusForbidden
	case codes.NotFound:
		return http.StatusNotFound
	case codes.AlreadyExists, codes.FailedPrecondition, codes.Aborted:
		return http.StatusConflict
	case codes.ResourceExhausted:
		return http.StatusTooManyRequests
	case codes.Canceled:
		return statusClientClosed
	case codes.Unimplemented:
		return http.StatusNotImplemented
	case codes.Unavailable:
		return http.StatusServiceUnavailable
	case codes.DeadlineExceeded:
		return http.StatusGatewayTimeout
	default:
		return http.StatusInternalServerError
	}
}

// Allowed tells whether the method of a request is one of those; if not, it has answered with 405.
func Allowed(w http.ResponseWriter, r *http.Request, methods ...string) bool {
	if slices.Contains(methods, r.Method) {
		return true
	}
	p := New(http.StatusMethodNotAllowed, NotAllowed, "%s takes %s, not %s.", r.URL.Path, strings.Join(methods, ", "), r.Method)
	p.Allow = strings.Join(methods, ", ")
	p.Write(w)
	return false
}
