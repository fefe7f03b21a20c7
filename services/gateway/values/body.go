package values

import (
	"errors"
	"fmt"
	"strconv"
	"sync"

	"google.golang.org/protobuf/encoding/protowire"

	pb "github.com/clipper-serve/clipper/services/gateway/gen/clipper/v1"
)

// The fields that inputs go into; that of PredictRequest.input and PredictBatchRequest.inputs is the same one.
const (
	predictInputField  protowire.Number = 2
	feedbackInputField protowire.Number = 3
)

// A Query is the body of POST /{application}/predict.
type Query struct {
	// IsBatch tells input_batch from input.
	IsBatch bool
	// Count is the number of inputs.
	Count int
	// Encoded are the inputs as fields of a PredictRequest or PredictBatchRequest. It is valid until Release.
	Encoded []byte
	// Version and Context are those of the request; empty when not given.
	Version, Context string
	// BypassCache and Explain are those of the request: whether it must be computed anew, and whether the reply tells
	// who has answered and where the time went.
	BypassCache, Explain bool

	reader *reader
}

// A Feedback is the body of POST /{application}/update.
type Feedback struct {
	// Encoded is the input as a field of a SendFeedbackRequest. It is valid until Release.
	Encoded []byte
	// Label is what turned out to be true.
	Label *pb.Output
	// Context is that of the request, else its uid in decimal; empty for uid 0, the application's own state.
	Context string

	reader *reader
}

var readers = sync.Pool{New: func() any { return new(reader) }}

// maxKeptBytes is the largest buffer that is kept for later requests.
const maxKeptBytes = 1 << 20

func newReader(text []byte, inputType pb.InputType, limit int) *reader {
	r := readers.Get().(*reader)
	r.scanner = scanner{text: text}
	r.inputType, r.limit = inputType, limit
	r.encoded, r.value = r.encoded[:0], r.value[:0]
	return r
}

func (r *reader) release() {
	if r != nil && cap(r.encoded) <= maxKeptBytes && cap(r.value) <= maxKeptBytes {
		r.scanner = scanner{}
		readers.Put(r)
	}
}

// Release gives the buffers back; Encoded must not be used afterwards.
func (q *Query) Release() { q.reader.release() }

// Release gives the buffers back; Encoded must not be used afterwards.
func (f *Feedback) Release() { f.reader.release() }

// ReadQuery reads the body of a prediction. limit is the largest result in bytes. Of members with the same name
// the first counts; if there are both, `input` counts and `input_batch` does not.
//
// It returns an *Error or *TooLarge where the body is no good.
func ReadQuery(text []byte, inputType pb.InputType, limit int) (*Query, error) {
	r := newReader(text, inputType, limit)
	q := &Query{reader: r}
	var hasInput, hasBatch, hasVersion, hasContext, hasBypass, hasExplain bool
	var batchError error
	err := r.object(func(name []byte) error {
		switch {
		case string(name) == "input" && !hasInput:
			hasInput, q.Count = true, 1
			r.encoded = r.encoded[:0]
			return r.input(predictInputField, "input")
		case string(name) == "input_batch" && !hasInput && !hasBatch:
			hasBatch = true
			start := r.at
			q.Count, batchError = r.batch()
			if batchError == nil {
				return nil
			}
			r.at = start // an input that follows would make it good
			return r.skip(1)
		case string(name) == "version" && !hasVersion:
			hasVersion = true
			return r.stringInto("version", &q.Version)
		case string(name) == "context" && !hasContext:
			hasContext = true
			return r.stringInto("context", &q.Context)
		case string(name) == "bypass_cache" && !hasBypass:
			hasBypass = true
			return r.truthInto("bypass_cache", &q.BypassCache)
		case string(name) == "explain" && !hasExplain:
			hasExplain = true
			return r.truthInto("explain", &q.Explain)
		default:
			return r.skip(1)
		}
	})
	switch {
	case err != nil:
	case hasInput:
	case hasBatch:
		q.IsBatch, err = true, batchError
	default:
		err = wrong("JSON object does not have required keys input or input_batch")
	}
	if err != nil {
		r.release()
		return nil, err
	}
	q.Encoded = r.encoded
	return q, nil
}

// ReadFeedback reads the body of an update, as ReadQuery does.
func ReadFeedback(text []byte, inputType pb.InputType, limit int) (*Feedback, error) {
	r := newReader(text, inputType, limit)
	f := &Feedback{reader: r}
	var hasUID, hasInput, hasContext bool
	var uid int64
	err := r.object(func(name []byte) error {
		switch {
		case string(name) == "uid" && !hasUID:
			hasUID = true
			n, err := r.scalar("uid", "an integer")
			if err != nil {
				return err
			}
			var ok bool
			if uid, ok = n.int(); !ok {
				return wrong("Type mismatch! uid = %s is not a 64-bit integer", clip(n.text))
			}
			return nil
		case string(name) == "input" && !hasInput:
			hasInput = true
			return r.input(feedbackInputField, "input")
		case string(name) == "label" && f.Label == nil:
			return r.label(&f.Label)
		case string(name) == "context" && !hasContext:
			hasContext = true
			return r.stringInto("context", &f.Context)
		default:
			return r.skip(1)
		}
	})
	for _, required := range []struct {
		name string
		has  bool
	}{{"uid", hasUID}, {"input", hasInput}, {"label", f.Label != nil}} {
		if err == nil && !required.has {
			err = wrong("JSON object does not have required key: %s", required.name)
		}
	}
	if err != nil {
		r.release()
		return nil, err
	}
	if f.Context == "" && uid != 0 {
		f.Context = strconv.FormatInt(uid, 10)
	}
	f.Encoded = r.encoded
	return f, nil
}

// QuerySchema describes the body of a prediction for an application that takes inputs of a type.
func QuerySchema(inputType pb.InputType) string {
	return fmt.Sprintf(`{"input" := %s} or {"input_batch" := [%[1]s]}, with "version" := string, "context" := string, `+
		`"bypass_cache" := bool, "explain" := bool (all optional)`, shape(inputType))
}

// FeedbackSchema describes the body of an update, as QuerySchema does.
func FeedbackSchema(inputType pb.InputType) string {
	return fmt.Sprintf(`{"uid" := int, "input" := %s, "label" := double}`, shape(inputType))
}

// IsBad tells whether an error means that the body is no good, rather than too large.
func IsBad(err error) bool {
	var bad *Error
	return errors.As(err, &bad)
}

// IsOtherShape tells whether a body is JSON, but not of the shape that its input type asks for.
func IsOtherShape(err error) bool {
	var bad *Error
	return errors.As(err, &bad) && !bad.IsSyntax
}

// object reads the whole text as one object; member reads the value of the member of a name.
func (r *reader) object(member func(name []byte) error) error {
	if r.peek() != '{' {
		if err := r.skip(0); err != nil {
			return err
		}
		return wrong("Can only get key-value pair from an object")
	}
	r.at++
	for first := true; ; first = false {
		more, err := r.next('}', first)
		if err != nil {
			return err
		}
		if !more {
			return r.end()
		}
		name, err := r.key()
		if err != nil {
			return err
		}
		if err := member(name); err != nil {
			return err
		}
	}
}

// batch reads an array of inputs and returns how many there are.
func (r *reader) batch() (int, error) {
	if r.peek() != '[' {
		return 0, r.mismatch("input_batch", "an array of inputs")
	}
	r.at++
	for count := 0; ; count++ {
		more, err := r.next(']', count == 0)
		if err != nil || !more {
			return count, err
		}
		if err := r.input(predictInputField, "input"); err != nil {
			return 0, inBatch(err, count)
		}
	}
}

// inBatch adds to an error which input of the batch it is about.
func inBatch(err error, index int) error {
	var bad *Error
	if errors.As(err, &bad) && !bad.IsSyntax {
		return wrong("input_batch[%d]: %s", index, bad.Problem)
	}
	return err
}

func (r *reader) stringInto(what string, into *string) error {
	if r.peek() != '"' {
		return r.mismatch(what, "a string")
	}
	text, err := r.string(nil)
	*into = string(text)
	return err
}

func (r *reader) truthInto(what string, into *bool) error {
	switch r.peek() {
	case 't':
		*into = true
		return r.literal("true")
	case 'f':
		return r.literal("false")
	default:
		return r.mismatch(what, "true or false")
	}
}

// scalar reads a number.
func (r *reader) scalar(what, want string) (number, error) {
	if c := r.peek(); c != '-' && (c < '0' || c > '9') {
		return number{}, r.mismatch(what, want)
	}
	return r.number()
}

// label reads a number, or a string for models that answer with text.
func (r *reader) label(into **pb.Output) error {
	if r.peek() == '"' {
		var text string
		err := r.stringInto("label", &text)
		*into = &pb.Output{Value: &pb.Output_String_{String_: text}}
		return err
	}
	n, err := r.scalar("label", "a number or a string")
	if err != nil {
		return err
	}
	value, ok := n.double()
	if !ok {
		return wrong("label = %s is too large for a double", clip(n.text))
	}
	*into = &pb.Output{Value: &pb.Output_Number{Number: value}}
	return nil
}
