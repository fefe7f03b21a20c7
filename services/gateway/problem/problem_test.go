package problem

import (
	"context"
	"errors"
	"net/http/httptest"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"
)

func failure(code codes.Code, reason string, retryAfter time.Duration) error {
	details := []protoadapt.MessageV1{}
	if reason != "" {
		details = append(details, &errdetails.ErrorInfo{Reason: reason, Domain: domain})
	}
	if retryAfter != 0 {
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(retryAfter)})
	}
	s, err := status.New(code, "the cause").WithDetails(details...)
	if err != nil {
		panic(err)
	}
	return s.Err()
}

func TestEveryCodeHasItsStatus(t *testing.T) {
	for code, want := range map[codes.Code]int{
		codes.Canceled: 499, codes.Unknown: 500, codes.InvalidArgument: 400, codes.DeadlineExceeded: 504, codes.NotFound: 404,
		codes.AlreadyExists: 409, codes.PermissionDenied: 403, codes.ResourceExhausted: 429, codes.FailedPrecondition: 409,
		codes.Aborted: 409, codes.OutOfRange: 400, codes.Unimplemented: 501, codes.Internal: 500, codes.Unavailable: 503,
		codes.DataLoss: 500, codes.Unauthenticated: 401,
	} {
		if got := From(failure(code, "SOME_REASON", 0), QueryProcessing).Status; got != want {
			t.Errorf("%v: got %d, want %d", code, got, want)
		}
	}
}

func TestRetryAfterIsWholeSecondsOfRetryInfo(t *testing.T) {
	for delay, want := range map[time.Duration]string{100 * time.Millisecond: "1", 1500 * time.Millisecond: "2", 0: ""} {
		w := httptest.NewRecorder()
		From(failure(codes.ResourceExhausted, "OVERLOADED", delay), QueryProcessing).Write(w)
		if got := w.Header().Get("Retry-After"); got != want || w.Code != 429 {
			t.Errorf("%v: got %q, %d", delay, got, w.Code)
		}
	}
}

func TestWhatIsTooLargeForGRPCIs413(t *testing.T) {
	for _, reason := range []string{"", ReasonMessageTooLarge} {
		if p := From(failure(codes.ResourceExhausted, reason, 0), QueryProcessing); p.Status != 413 || p.Kind != TooLarge {
			t.Errorf("%q: %+v", reason, p)
		}
	}
}

func TestTheBodyIsJSON(t *testing.T) {
	w := httptest.NewRecorder()
	p := New(405, NotAllowed, `no "GET" here`)
	p.Allow = "POST"
	p.Write(w)
	if got := w.Body.String(); got != `{"error":"Method not allowed","cause":"no \"GET\" here"}` {
		t.Error(got)
	}
	if h := w.Header(); h.Get("Content-Type") != "application/json" || h.Get("Allow") != "POST" {
		t.Error(h)
	}
}

func TestErrorsOfTheGatewayItselfPassUnchanged(t *testing.T) {
	p := New(400, JSONError, "x")
	if From(errors.Join(p), QueryProcessing) != p {
		t.Error("changed")
	}
	if got := From(context.DeadlineExceeded, QueryProcessing).Status; got != 504 {
		t.Error(got)
	}
	if got := From(errors.New("?"), QueryProcessing); got.Status != 500 || got.Kind != Unexpected {
		t.Error(got)
	}
}
