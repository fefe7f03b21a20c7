package values

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	pb "github.com/clipper-serve/clipper/services/gateway/gen/clipper/v1"
)

// maxAxes bounds the dimensions of a tensor that is written as nested arrays.
const maxAxes = 32

// tensor reads a tensor into value, serialized: nested arrays of numbers are one of float64, an object is a
// clipper.v1.Tensor in its JSON form, for the other data types.
func (r *reader) tensor(what string) error {
	if r.peek() == '{' {
		start := r.at
		if err := r.skip(0); err != nil {
			return err
		}
		var tensor pb.Tensor
		if err := protojson.Unmarshal(r.text[start:r.at], &tensor); err != nil {
			return wrong("%s: %v", what, err)
		}
		var err error
		r.value, err = proto.MarshalOptions{}.MarshalAppend(r.value, &tensor)
		return err
	}
	// The data comes last in the message, its length and the shape before it: data is gathered first.
	nested := nestedArrays{reader: r, what: what}
	if err := nested.read(0); err != nil {
		return err
	}
	data := append([]byte(nil), r.value...)
	var axes []byte
	for _, length := range nested.lengths {
		axes = protowire.AppendVarint(axes, uint64(length))
	}
	r.value = protowire.AppendTag(r.value[:0], 1, protowire.VarintType)
	r.value = protowire.AppendVarint(r.value, uint64(pb.DataType_DATA_TYPE_FLOAT64))
	r.value = protowire.AppendTag(r.value, 2, protowire.BytesType)
	r.value = protowire.AppendBytes(r.value, axes)
	r.value = protowire.AppendTag(r.value, 3, protowire.BytesType)
	r.value = protowire.AppendBytes(r.value, data)
	return nil
}

// nestedArrays learns the shape of nested arrays while it reads them.
type nestedArrays struct {
	reader *reader
	what   string
	// lengths are those of the axes that were read to their end once, outermost first; -1 until then.
	lengths []int
	// axes is the number of dimensions, once the first number was met; 0 before.
	axes int
}

func (n *nestedArrays) read(depth int) error {
	r := n.reader
	switch c := r.peek(); {
	case c == '[' && depth < maxAxes && (n.axes == 0 || depth < n.axes):
		r.at++
	case (c == '-' || c >= '0' && c <= '9') && (n.axes == 0 || depth == n.axes):
		n.axes = depth
		return n.number()
	case c == '[' || c == '-' || c >= '0' && c <= '9':
		return wrong("%s is not rectangular, or has more than %d axes", n.what, maxAxes)
	default:
		return r.mismatch(n.what, "nested arrays of numbers")
	}
	if depth == len(n.lengths) {
		n.lengths = append(n.lengths, -1)
	}
	for length := 0; ; length++ {
		more, err := r.next(']', length == 0)
		if err != nil {
			return err
		}
		if more {
			if err := n.read(depth + 1); err != nil {
				return err
			}
			continue
		}
		if n.lengths[depth] >= 0 && n.lengths[depth] != length {
			return wrong("%s is not rectangular", n.what)
		}
		n.lengths[depth] = length
		if length == 0 && n.axes == 0 {
			n.axes = depth + 1
		}
		return nil
	}
}

func (n *nestedArrays) number() error {
	r := n.reader
	number, err := r.number()
	if err != nil {
		return err
	}
	value, ok := number.double()
	if !ok {
		return wrong("%s has the number %s, which is too large for a double", n.what, clip(number.text))
	}
	r.value = binary.LittleEndian.AppendUint64(r.value, math.Float64bits(value))
	if len(r.value) > r.limit {
		return &TooLarge{r.limit}
	}
	return nil
}

// maxBrackets bounds how much JSON a tensor without elements can become.
const maxBrackets = 1 << 16

// appendTensor appends nested arrays; null for a tensor whose data do not fit its shape.
func appendTensor(json []byte, tensor *pb.Tensor) []byte {
	size := elementSize(tensor.GetDataType())
	elements, brackets := int64(1), int64(1)
	for _, length := range tensor.GetShape() {
		if length < 0 || (length > 0 && elements > math.MaxInt32/length) {
			return append(json, "null"...)
		}
		elements *= length
		brackets = max(brackets, elements)
	}
	if size == 0 || int64(len(tensor.GetData())) != elements*int64(size) || (elements == 0 && brackets > maxBrackets) {
		return append(json, "null"...)
	}
	if len(tensor.GetShape()) > maxDepth {
		return append(json, "null"...)
	}
	t := tensorWriter{dataType: tensor.GetDataType(), size: size, data: tensor.GetData()}
	return t.append(json, tensor.GetShape())
}

type tensorWriter struct {
	dataType pb.DataType
	size     int
	data     []byte
}

func (t *tensorWriter) append(json []byte, shape []int64) []byte {
	if len(shape) == 0 {
		json = appendElement(json, t.dataType, t.data)
		t.data = t.data[t.size:]
		return json
	}
	json = append(json, '[')
	for i := int64(0); i < shape[0]; i++ {
		if i > 0 {
			json = append(json, ',')
		}
		json = t.append(json, shape[1:])
	}
	return append(json, ']')
}

func elementSize(dataType pb.DataType) int {
	switch dataType {
	case pb.DataType_DATA_TYPE_BOOL, pb.DataType_DATA_TYPE_UINT8, pb.DataType_DATA_TYPE_INT8:
		return 1
	case pb.DataType_DATA_TYPE_UINT16, pb.DataType_DATA_TYPE_INT16, pb.DataType_DATA_TYPE_FLOAT16:
		return 2
	case pb.DataType_DATA_TYPE_UINT32, pb.DataType_DATA_TYPE_INT32, pb.DataType_DATA_TYPE_FLOAT32:
		return 4
	case pb.DataType_DATA_TYPE_UINT64, pb.DataType_DATA_TYPE_INT64, pb.DataType_DATA_TYPE_FLOAT64:
		return 8
	default:
		return 0
	}
}

// appendElement appends the first element of data.
func appendElement(json []byte, dataType pb.DataType, data []byte) []byte {
	little := binary.LittleEndian
	switch dataType {
	case pb.DataType_DATA_TYPE_BOOL:
		return strconv.AppendBool(json, data[0] != 0)
	case pb.DataType_DATA_TYPE_UINT8:
		return strconv.AppendUint(json, uint64(data[0]), 10)
	case pb.DataType_DATA_TYPE_INT8:
		return strconv.AppendInt(json, int64(int8(data[0])), 10)
	case pb.DataType_DATA_TYPE_UINT16:
		return strconv.AppendUint(json, uint64(little.Uint16(data)), 10)
	case pb.DataType_DATA_TYPE_INT16:
		return strconv.AppendInt(json, int64(int16(little.Uint16(data))), 10)
	case pb.DataType_DATA_TYPE_UINT32:
		return strconv.AppendUint(json, uint64(little.Uint32(data)), 10)
	case pb.DataType_DATA_TYPE_INT32:
		return strconv.AppendInt(json, int64(int32(little.Uint32(data))), 10)
	case pb.DataType_DATA_TYPE_UINT64:
		return strconv.AppendUint(json, little.Uint64(data), 10)
	case pb.DataType_DATA_TYPE_INT64:
		return strconv.AppendInt(json, int64(little.Uint64(data)), 10)
	case pb.DataType_DATA_TYPE_FLOAT16:
		return appendFloat(json, halfToFloat(little.Uint16(data)), 32)
	case pb.DataType_DATA_TYPE_FLOAT32:
		return appendFloat(json, float64(math.Float32frombits(little.Uint32(data))), 32)
	case pb.DataType_DATA_TYPE_FLOAT64:
		return appendFloat(json, math.Float64frombits(little.Uint64(data)), 64)
	default:
		panic(fmt.Sprintf("no element of type %v", dataType)) // elementSize has refused it
	}
}

// halfToFloat converts IEEE 754 half precision.
func halfToFloat(half uint16) float64 {
	exponent, fraction := int(half>>10&0x1f), float64(half&0x3ff)
	var value float64
	switch exponent {
	case 0:
		value = math.Ldexp(fraction, -24)
	case 31:
		return math.NaN() // or infinity: neither is a number in JSON
	default:
		value = math.Ldexp(fraction+1024, exponent-25)
	}
	if half>>15 == 1 {
		return -value
	}
	return value
}
