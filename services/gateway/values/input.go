package values

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math"

	"google.golang.org/protobuf/encoding/protowire"

	pb "github.com/clipper-serve/clipper/services/gateway/gen/clipper/v1"
)

// TypeName is the name of an input type as Clipper's users write it.
func TypeName(inputType pb.InputType) string {
	switch inputType {
	case pb.InputType_INPUT_TYPE_BYTES:
		return "bytes"
	case pb.InputType_INPUT_TYPE_INTEGERS:
		return "integers"
	case pb.InputType_INPUT_TYPE_FLOATS:
		return "floats"
	case pb.InputType_INPUT_TYPE_DOUBLES:
		return "doubles"
	case pb.InputType_INPUT_TYPE_STRINGS:
		return "strings"
	case pb.InputType_INPUT_TYPE_TENSORS:
		return "tensors"
	default:
		return "unknown"
	}
}

// shape says how an input of a type is written in JSON, in the notation of Clipper's error texts.
func shape(inputType pb.InputType) string {
	switch inputType {
	case pb.InputType_INPUT_TYPE_BYTES:
		return "base64 string"
	case pb.InputType_INPUT_TYPE_INTEGERS:
		return "[int]"
	case pb.InputType_INPUT_TYPE_FLOATS:
		return "[float]"
	case pb.InputType_INPUT_TYPE_STRINGS:
		return "string"
	case pb.InputType_INPUT_TYPE_TENSORS:
		return `[[double]] | {"data_type": string, "shape": [int], "data": base64 string}`
	default:
		return "[double]"
	}
}

// TooLarge reports inputs that would need more bytes than one message may have.
type TooLarge struct{ Limit int }

func (e *TooLarge) Error() string {
	return fmt.Sprintf("the inputs need more than %d bytes as typed values", e.Limit)
}

// reader turns JSON inputs into the wire form of clipper.v1.Input. Its buffers are kept from one request to the next.
type reader struct {
	scanner
	inputType pb.InputType
	// limit is the largest result, in bytes.
	limit int
	// encoded is the result: inputs, each with the tag of the field that it goes into.
	encoded []byte
	// value holds the payload of one input while its length is not known yet.
	value []byte
}

// input reads one input and appends it to encoded as field number `field`. what names it in errors.
func (r *reader) input(field protowire.Number, what string) error {
	r.value = r.value[:0]
	var err error
	switch r.inputType {
	case pb.InputType_INPUT_TYPE_DOUBLES, pb.InputType_INPUT_TYPE_FLOATS, pb.InputType_INPUT_TYPE_INTEGERS:
		err = r.vector(what)
	case pb.InputType_INPUT_TYPE_BYTES:
		err = r.bytes(what)
	case pb.InputType_INPUT_TYPE_STRINGS:
		if r.peek() != '"' {
			return r.mismatch(what, "a string")
		}
		var text []byte
		text, err = r.string(r.value)
		r.value = append(r.value[:0], text...)
	case pb.InputType_INPUT_TYPE_TENSORS:
		err = r.tensor(what)
	default:
		err = wrong("inputs of type %v cannot be written in JSON", r.inputType)
	}
	if err != nil {
		return err
	}
	if len(r.encoded)+len(r.value) > r.limit {
		return &TooLarge{r.limit}
	}
	inner := len(r.value)
	isVector := r.isVector() && inner > 0
	if isVector {
		inner += 1 + protowire.SizeVarint(uint64(len(r.value)))
	}
	// The field numbers of Input are those of InputType, all below 16: tags of one byte.
	r.encoded = protowire.AppendTag(r.encoded, field, protowire.BytesType)
	r.encoded = protowire.AppendVarint(r.encoded, uint64(1+protowire.SizeVarint(uint64(inner))+inner))
	r.encoded = protowire.AppendTag(r.encoded, protowire.Number(r.inputType), protowire.BytesType)
	r.encoded = protowire.AppendVarint(r.encoded, uint64(inner))
	if isVector {
		r.encoded = protowire.AppendTag(r.encoded, 1, protowire.BytesType)
		r.encoded = protowire.AppendVarint(r.encoded, uint64(len(r.value)))
	}
	r.encoded = append(r.encoded, r.value...)
	return nil
}

func (r *reader) isVector() bool {
	return r.inputType == pb.InputType_INPUT_TYPE_DOUBLES || r.inputType == pb.InputType_INPUT_TYPE_FLOATS ||
		r.inputType == pb.InputType_INPUT_TYPE_INTEGERS
}

// vector reads an array of numbers into value, little endian.
func (r *reader) vector(what string) error {
	if r.peek() != '[' {
		return r.mismatch(what, "an array of numbers")
	}
	r.at++
	for i := 0; ; i++ {
		more, err := r.next(']', i == 0)
		if err != nil || !more {
			return err
		}
		if c := r.peek(); c != '-' && (c < '0' || c > '9') {
			return r.mismatch(fmt.Sprintf("%s[%d]", what, i), "a number")
		}
		n, err := r.number()
		if err != nil {
			return err
		}
		switch r.inputType {
		case pb.InputType_INPUT_TYPE_DOUBLES:
			value, ok := n.double()
			if !ok {
				return wrong("%s[%d] = %s is too large for a double", what, i, clip(n.text))
			}
			r.value = binary.LittleEndian.AppendUint64(r.value, math.Float64bits(value))
		case pb.InputType_INPUT_TYPE_FLOATS:
			value, ok := n.float()
			if !ok {
				return wrong("%s[%d] = %s is too large for a 32-bit float", what, i, clip(n.text))
			}
			r.value = binary.LittleEndian.AppendUint32(r.value, math.Float32bits(value))
		default:
			value, ok := n.int()
			if !ok || value != int64(int32(value)) {
				return wrong("%s[%d] = %s is not a 32-bit integer", what, i, clip(n.text))
			}
			r.value = binary.LittleEndian.AppendUint32(r.value, uint32(int32(value)))
		}
		if len(r.value) > r.limit {
			return &TooLarge{r.limit}
		}
	}
}

// bytes reads a base64 string into value.
func (r *reader) bytes(what string) error {
	if r.peek() != '"' {
		return r.mismatch(what, "a base64 string")
	}
	text, err := r.string(nil)
	if err != nil {
		return err
	}
	r.value, err = base64.StdEncoding.AppendDecode(r.value, text)
	if err != nil {
		return wrong("%s is not base64: %v", what, err)
	}
	return nil
}

// mismatch says that the value that comes next is not of the wanted kind.
func (r *reader) mismatch(what, want string) error {
	var got string
	switch c := r.peek(); {
	case c == 'n':
		got = "null"
	case c == 't', c == 'f':
		got = "a truth value"
	case c == '"':
		got = "a string"
	case c == '[':
		got = "an array"
	case c == '{':
		got = "an object"
	case c == '-', c >= '0' && c <= '9':
		got = "a number"
	}
	// What is no value at all is a matter of syntax.
	if err := r.skip(0); err != nil {
		return err
	}
	return wrong("Type mismatch! %s is %s, not %s", what, got, want)
}

func wrong(format string, arguments ...any) error {
	return &Error{Problem: fmt.Sprintf(format, arguments...)}
}

// clip shortens what is quoted in an error.
func clip(text []byte) string {
	if len(text) > 40 {
		return string(text[:40]) + "…"
	}
	return string(text)
}
