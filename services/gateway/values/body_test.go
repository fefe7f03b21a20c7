package values

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	pb "github.com/clipper-serve/clipper/services/gateway/gen/clipper/v1"
)

const (
	doubles  = pb.InputType_INPUT_TYPE_DOUBLES
	floats   = pb.InputType_INPUT_TYPE_FLOATS
	integers = pb.InputType_INPUT_TYPE_INTEGERS
	text     = pb.InputType_INPUT_TYPE_STRINGS
	raw      = pb.InputType_INPUT_TYPE_BYTES
	tensors  = pb.InputType_INPUT_TYPE_TENSORS
)

const limit = 1 << 20

// read returns the inputs of a body as the frontend would parse them.
func read(t *testing.T, body string, inputType pb.InputType) ([]*pb.Input, *Query) {
	t.Helper()
	q, err := ReadQuery([]byte(body), inputType, limit)
	if err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	var request pb.PredictBatchRequest
	if err := proto.Unmarshal(q.Encoded, &request); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	if len(request.GetInputs()) != q.Count {
		t.Fatalf("%s: %d inputs, Count is %d", body, len(request.GetInputs()), q.Count)
	}
	return request.GetInputs(), q
}

func doublesOf(values ...float64) *pb.Input {
	return &pb.Input{Value: &pb.Input_Doubles{Doubles: &pb.Doubles{Values: values}}}
}

func TestEveryInputTypeIsTranslated(t *testing.T) {
	for _, c := range []struct {
		body      string
		inputType pb.InputType
		want      *pb.Input
	}{
		{`{"input": [1.1, 2, -3e2]}`, doubles, doublesOf(1.1, 2, -300)},
		{` { "input" : [ ] } `, doubles, doublesOf()},
		{`{"input":[1,0.5]}`, floats, &pb.Input{Value: &pb.Input_Floats{Floats: &pb.Floats{Values: []float32{1, 0.5}}}}},
		{
			`{"input":[0,-2147483648,2147483647]}`, integers,
			&pb.Input{Value: &pb.Input_Integers{Integers: &pb.Integers{Values: []int32{0, math.MinInt32, math.MaxInt32}}}},
		},
		{`{"input":"a\"\u00e9\ud83d\ude00é\/"}`, text, &pb.Input{Value: &pb.Input_String_{String_: `a"é😀é/`}}},
		{`{"input":""}`, text, &pb.Input{Value: &pb.Input_String_{}}},
		{`{"input":"AAEC\/w=="}`, raw, &pb.Input{Value: &pb.Input_Bytes{Bytes: []byte{0, 1, 2, 255}}}},
		{`{"input":""}`, raw, &pb.Input{Value: &pb.Input_Bytes{}}},
		{
			`{"input":[[1,2],[3,4.5]]}`, tensors,
			&pb.Input{Value: &pb.Input_Tensor{Tensor: &pb.Tensor{
				DataType: pb.DataType_DATA_TYPE_FLOAT64, Shape: []int64{2, 2},
				Data: []byte("\x00\x00\x00\x00\x00\x00\xf0\x3f\x00\x00\x00\x00\x00\x00\x00\x40" +
					"\x00\x00\x00\x00\x00\x00\x08\x40\x00\x00\x00\x00\x00\x00\x12\x40"),
			}}},
		},
		{
			`{"input":{"data_type":"DATA_TYPE_UINT8","shape":[2],"data":"AQI="}}`, tensors,
			&pb.Input{Value: &pb.Input_Tensor{Tensor: &pb.Tensor{
				DataType: pb.DataType_DATA_TYPE_UINT8, Shape: []int64{2}, Data: []byte{1, 2},
			}}},
		},
	} {
		inputs, q := read(t, c.body, c.inputType)
		if len(inputs) != 1 || q.IsBatch || !proto.Equal(inputs[0], c.want) {
			t.Errorf("%s: got %v", c.body, inputs)
		}
	}
}

func TestEncodedVectorsAreCanonical(t *testing.T) {
	values := make([]float64, 784)
	for i := range values {
		values[i] = float64(i) / 3
	}
	body := strings.ReplaceAll(fmt.Sprintf(`{"input":%v}`, values), " ", ",")
	q, err := ReadQuery([]byte(body), doubles, limit)
	if err != nil {
		t.Fatal(err)
	}
	want, _ := proto.Marshal(&pb.PredictRequest{Input: doublesOf(values...)})
	if string(want) != string(q.Encoded) {
		t.Error("not what protobuf itself would write")
	}
}

func TestBatchesKeepTheirOrder(t *testing.T) {
	inputs, q := read(t, `{"version": "2", "x": {"y": [{}]}, "context": "u1", "input_batch": [[1], [2, 3], []]}`, doubles)
	want := []*pb.Input{doublesOf(1), doublesOf(2, 3), doublesOf()}
	for i := range want {
		if !proto.Equal(inputs[i], want[i]) {
			t.Errorf("%d: %v", i, inputs[i])
		}
	}
	if !q.IsBatch || q.Version != "2" || q.Context != "u1" {
		t.Errorf("%+v", q)
	}
	if _, q := read(t, `{"input_batch": []}`, doubles); !q.IsBatch || q.Count != 0 {
		t.Errorf("%+v", q)
	}
}

func TestInputWinsOverInputBatch(t *testing.T) {
	for _, body := range []string{
		`{"input": [1], "input_batch": [[2], [3]]}`, `{"input_batch": [[2], [3]], "input": [1]}`,
		`{"input_batch": ["wrong", 7], "input": [1]}`, `{"input": [1], "input": [2]}`,
	} {
		inputs, q := read(t, body, doubles)
		if q.IsBatch || !proto.Equal(inputs[0], doublesOf(1)) {
			t.Errorf("%s: %v", body, inputs)
		}
	}
}

func TestWhatIsWrongIsNamed(t *testing.T) {
	for _, c := range []struct {
		body      string
		inputType pb.InputType
		want      string
	}{
		{``, doubles, "parse error"},
		{`{`, doubles, "ends too early"},
		{`{"input": [1.0, 2.0}`, doubles, "expected , or ]"},
		{`{"input": [1,]}`, doubles, "comma"},
		{`{"input": [1 2]}`, doubles, "expected ,"},
		{`{"input": [01]}`, doubles, "zero"},
		{`{"input": [.5]}`, doubles, "invalid value"},
		{`{"input": [NaN]}`, doubles, "invalid value"},
		{`{"input": [1.0]} x`, doubles, "followed by"},
		{`[1]`, doubles, "from an object"},
		{`{"inputs": [1]}`, doubles, "required keys input or input_batch"},
		{`{"input": 1}`, doubles, "input is a number, not an array"},
		{`{"input": [1, "2"]}`, doubles, "input[1] is a string, not a number"},
		{`{"input": [[1]]}`, doubles, "input[0] is an array"},
		{`{"input": null}`, doubles, "input is null"},
		{`{"input": [1e999]}`, doubles, "too large"},
		{`{"input": [1e39]}`, floats, "32-bit float"},
		{`{"input": [1.0]}`, integers, "not a 32-bit integer"},
		{`{"input": [2147483648]}`, integers, "not a 32-bit integer"},
		{`{"input": ["a"]}`, text, "input is an array, not a string"},
		{`{"input": "\ud800"}`, text, "surrogate"},
		{"{\"input\": \"\xff\"}", text, "UTF-8"},
		{"{\"input\": \"a\nb\"}", text, "control character"},
		{`{"input": "AA"}`, raw, "base64"},
		{`{"input": "A A="}`, raw, "base64"},
		{`{"input": [1]}`, raw, "base64 string"},
		{`{"input_batch": [[1], [true]]}`, doubles, "input_batch[1]: Type mismatch! input[0] is a truth value"},
		{`{"input_batch": {"0": [1]}}`, doubles, "input_batch is an object"},
		{`{"input": [1], "version": 2}`, doubles, "version is a number, not a string"},
		{`{"input": [[1], [2, 3]]}`, tensors, "rectangular"},
		{`{"input": [[1], 2]}`, tensors, "rectangular"},
		{`{"input": [[], [1]]}`, tensors, "rectangular"},
		{`{"input": {"shape": "x"}}`, tensors, "input"},
		{`{"input": [1], "deep": ` + strings.Repeat("[", 100000), doubles, "nested deeper"},
		{`{"input": ` + strings.Repeat("[", 100000), tensors, "rectangular"},
	} {
		_, err := ReadQuery([]byte(c.body), c.inputType, limit)
		if err == nil || !IsBad(err) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.60s: got %v, want …%s…", c.body, err, c.want)
		}
	}
}

func TestResultsAreBounded(t *testing.T) {
	body := `{"input_batch": [[` + strings.Repeat("1,", 1000) + `1]]}`
	var large *TooLarge
	if _, err := ReadQuery([]byte(body), doubles, 1000); !errors.As(err, &large) {
		t.Errorf("got %v", err)
	}
	if _, err := ReadQuery([]byte(`{"input_batch": [`+strings.Repeat(`"aaa",`, 1000)+`""]}`), text, 1000); !errors.As(err, &large) {
		t.Errorf("got %v", err)
	}
}

func TestFeedbackIsRead(t *testing.T) {
	f, err := ReadFeedback([]byte(`{"uid": 7, "input": [1.5], "label": 1}`), doubles, limit)
	if err != nil {
		t.Fatal(err)
	}
	var request pb.SendFeedbackRequest
	if err := proto.Unmarshal(f.Encoded, &request); err != nil {
		t.Fatal(err)
	}
	if !proto.Equal(request.GetInput(), doublesOf(1.5)) || f.Label.GetNumber() != 1 || f.Context != "7" {
		t.Errorf("%v %+v", &request, f)
	}
	f, err = ReadFeedback([]byte(`{"uid": 0, "input": [], "label": "cat"}`), doubles, limit)
	if err != nil || f.Context != "" || f.Label.GetString_() != "cat" {
		t.Errorf("%+v %v", f, err)
	}
	for body, want := range map[string]string{
		`{"input": [1], "label": 1}`:             "required key: uid",
		`{"uid": 0, "label": 1}`:                 "required key: input",
		`{"uid": 0, "input": [1]}`:               "required key: label",
		`{"uid": "a", "input": [1], "label": 1}`: "uid is a string, not an integer",
		`{"uid": 1.5, "input": [1], "label": 1}`: "not a 64-bit integer",
		`{"uid": 1, "input": [1], "label": []}`:  "label is an array",
	} {
		if _, err := ReadFeedback([]byte(body), doubles, limit); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", body, err)
		}
	}
}

func BenchmarkReadTenDoubles(b *testing.B) {
	benchmarkRead(b, `{"input": [0.12345678901234567, 0.2234567890123456, 0.3, 4.25, 5.5, 0.6, 0.77777777777777, 8.0, 9.1, 10.01]}`)
}

func BenchmarkReadDigit(b *testing.B) {
	benchmarkRead(b, `{"input": [`+strings.Repeat("0.9296160928171479, ", 783)+`1.0]}`)
}

func benchmarkRead(b *testing.B, body string) {
	bytes := []byte(body)
	b.SetBytes(int64(len(bytes)))
	b.ReportAllocs()
	for b.Loop() {
		q, err := ReadQuery(bytes, doubles, limit)
		if err != nil {
			b.Fatal(err)
		}
		q.Release()
	}
}
