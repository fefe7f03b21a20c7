package transfer

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"sync"

	"github.com/clipper-serve/clipper/services/gateway/problem"
)

const (
	// firstBytes is how much is set aside for a body on its word alone.
	firstBytes = 1 << 20
	// maxKeptBytes is the largest buffer that is kept for later requests.
	maxKeptBytes = 1 << 20
)

var bodies = sync.Pool{New: func() any { return new(Body) }}

// A Body is the content of a request.
type Body struct{ bytes.Buffer }

// ReadBody reads the content of a request, which Limit has bounded.
func ReadBody(r *http.Request) (*Body, *problem.Problem) {
	body := bodies.Get().(*Body)
	body.Reset()
	if r.ContentLength > 0 {
		// ReadFrom wants some room left to see the end.
		body.Grow(int(min(r.ContentLength, firstBytes)) + bytes.MinRead)
	}
	if _, err := body.ReadFrom(r.Body); err != nil {
		body.Release()
		return nil, unreadable(err)
	}
	return body, nil
}

func unreadable(err error) *problem.Problem {
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return LargeBody(large.Limit)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return problem.New(http.StatusRequestTimeout, problem.TooSlow, "The body did not arrive in time.")
	default:
		return problem.New(http.StatusBadRequest, problem.BadRequest, "The body could not be read: %v", err)
	}
}

// LargeBody is the problem of a body above the limit.
func LargeBody(limit int64) *problem.Problem {
	return problem.New(http.StatusRequestEntityTooLarge, problem.TooLarge,
		"The body has more than %d bytes. Send several requests, or raise --max-body-bytes.", limit)
}

// Release gives the buffer back; the content must not be used afterwards.
func (b *Body) Release() {
	if b.Cap() <= maxKeptBytes+bytes.MinRead {
		bodies.Put(b)
	}
}

// limitedBody is a body that ends with an error at its limit, and remembers that it did.
type limitedBody struct {
	io.ReadCloser
	limit int64
	isCut bool
}

func (b *limitedBody) Read(into []byte) (int, error) {
	n, err := b.ReadCloser.Read(into)
	if err != nil && err != io.EOF {
		var large *http.MaxBytesError
		b.isCut = b.isCut || errors.As(err, &large)
	}
	return n, err
}

// Limit bounds the body of a request. A body that says beforehand that it is too large is a problem at once.
func Limit(w http.ResponseWriter, r *http.Request, bytes int64) *problem.Problem {
	if r.ContentLength > bytes {
		w.Header().Set("Connection", "close") // what comes is not worth reading
		return LargeBody(bytes)
	}
	if r.ContentLength != 0 {
		r.Body = &limitedBody{ReadCloser: http.MaxBytesReader(w, r.Body, bytes), limit: bytes}
	}
	return nil
}

// WasCut tells whether the body of a request went over its limit, and which that is.
func WasCut(r *http.Request) (limit int64, isCut bool) {
	if body, ok := r.Body.(*limitedBody); ok {
		return body.limit, body.isCut
	}
	return 0, false
}
