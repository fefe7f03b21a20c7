package transfer

import (
	"context"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/metadata"

	"github.com/clipper-serve/clipper/services/gateway/problem"
)

// PassedOn are the headers that travel on as metadata: a client's own name for a request, and its trace.
var PassedOn = [...]string{"X-Request-Id", "Traceparent", "Tracestate"}

// maxPassedOnBytes bounds the value of such a header.
const maxPassedOnBytes = 512

// Context is that of a request, with what travels on as metadata.
func Context(r *http.Request) context.Context {
	ctx := r.Context()
	for _, header := range PassedOn {
		if value := r.Header[header]; len(value) == 1 && isPrintable(value[0]) {
			ctx = metadata.AppendToOutgoingContext(ctx, strings.ToLower(header), value[0])
		}
	}
	return ctx
}

func isPrintable(value string) bool {
	if value == "" || len(value) > maxPassedOnBytes {
		return false
	}
	for _, c := range []byte(value) {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}

// Timeout is how long the client waits, from its Grpc-Timeout header; 0 when it does not say. The form is gRPC's: up to
// eight digits and a unit, H M S m u or n.
func Timeout(r *http.Request) (time.Duration, error) {
	header := r.Header["Grpc-Timeout"]
	if len(header) == 0 {
		return 0, nil
	}
	if timeout, ok := parseTimeout(header[0]); ok {
		return timeout, nil
	}
	return 0, problem.New(http.StatusBadRequest, problem.BadRequest,
		"Grpc-Timeout %q is not of gRPC's form: digits and a unit H, M, S, m, u or n, such as 250m for 250 ms.", header[0])
}

var timeoutUnits = map[byte]time.Duration{
	'H': time.Hour, 'M': time.Minute, 'S': time.Second, 'm': time.Millisecond, 'u': time.Microsecond, 'n': time.Nanosecond,
}

func parseTimeout(text string) (time.Duration, bool) {
	if len(text) < 2 || len(text) > 9 {
		return 0, false
	}
	count, err := strconv.ParseUint(text[:len(text)-1], 10, 32)
	unit, ok := timeoutUnits[text[len(text)-1]]
	if err != nil || !ok {
		return 0, false
	}
	if count > uint64(math.MaxInt64/unit) {
		return math.MaxInt64, true
	}
	return max(1, time.Duration(count)*unit), true
}
