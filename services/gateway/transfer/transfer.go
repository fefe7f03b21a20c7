// Package transfer is what handlers share of HTTP.
//
//	body.go      bounded bodies of requests
//	headers.go   headers that travel on: metadata, the client's deadline
//	transfer.go  replies
package transfer

import (
	"net/http"
	"strconv"
	"sync"
	"time"
)

const (
	// largeReplyBytes is from where on a reply may meet a client that reads too slowly.
	largeReplyBytes = 64 << 10
	// replyTimeout bounds the writing of a large reply.
	replyTimeout = 5 * time.Minute
)

var replies = sync.Pool{New: func() any { return new(Reply) }}

// A Reply is a body that is put together in a kept buffer.
type Reply struct {
	JSON []byte
	// ServerTiming is the value of that header; empty: there is none.
	ServerTiming string
}

// NewReply returns an empty reply.
func NewReply() *Reply {
	reply := replies.Get().(*Reply)
	reply.JSON, reply.ServerTiming = reply.JSON[:0], ""
	return reply
}

// Write answers a request with it.
func (y *Reply) Write(w http.ResponseWriter) {
	if y.ServerTiming != "" {
		w.Header().Set("Server-Timing", y.ServerTiming)
	}
	WriteJSON(w, y.JSON)
}

// Release gives the buffer back.
func (y *Reply) Release() {
	if cap(y.JSON) <= maxKeptBytes {
		replies.Put(y)
	}
}

var (
	jsonType = []string{"application/json"}
	textType = []string{"text/plain; charset=utf-8"}
)

// WriteJSON answers a request with status 200 and a JSON text.
func WriteJSON(w http.ResponseWriter, json []byte) { write(w, jsonType, json) }

// WriteText answers a request with status 200 and a sentence.
func WriteText(w http.ResponseWriter, text string) { write(w, textType, []byte(text)) }

func write(w http.ResponseWriter, contentType []string, body []byte) {
	w.Header()["Content-Type"] = contentType
	if len(body) > largeReplyBytes {
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(replyTimeout)) // tests' writers have none
	}
	_, _ = w.Write(body) // a client that has left is told nothing
}
