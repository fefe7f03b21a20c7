package values

import (
	"encoding/json"
	"math"
	"testing"

	pb "github.com/clipper-serve/clipper/services/gateway/gen/clipper/v1"
)

func textOutput(value string) *pb.Output {
	return &pb.Output{Value: &pb.Output_String_{String_: value}}
}

func number64(value float64) *pb.Output { return &pb.Output{Value: &pb.Output_Number{Number: value}} }

func TestOutputsBecomeJSON(t *testing.T) {
	for _, c := range []struct {
		output *pb.Output
		want   string
	}{
		{textOutput("1"), `1`},
		{textOutput("-1.0"), `-1.0`},
		{textOutput("[1,2]"), `[1,2]`},
		{textOutput(" {\"a\": null} \n"), `{"a": null}`},
		{textOutput("True"), `"True"`},
		{textOutput(""), `""`},
		{textOutput("nan"), `"nan"`},
		{textOutput("1 2"), `"1 2"`},
		{textOutput("say \"hi\"\n\x01é"), `"say \"hi\"\n\u0001é"`},
		{&pb.Output{Value: &pb.Output_Json{Json: `{"b":[true]}`}}, `{"b":[true]}`},
		{number64(6.6), `6.6`},
		{number64(6), `6`},
		{number64(1e300), `1e+300`},
		{number64(math.NaN()), `null`},
		{number64(math.Inf(-1)), `null`},
		{&pb.Output{Value: &pb.Output_Bytes{Bytes: []byte{0, 255}}}, `"AP8="`},
		{&pb.Output{Value: &pb.Output_Doubles{Doubles: &pb.Doubles{Values: []float64{1.5, math.NaN()}}}}, `[1.5,null]`},
		{&pb.Output{Value: &pb.Output_Floats{Floats: &pb.Floats{Values: []float32{0.1}}}}, `[0.1]`},
		{&pb.Output{Value: &pb.Output_Integers{Integers: &pb.Integers{Values: []int32{-3, 4}}}}, `[-3,4]`},
		{&pb.Output{Value: &pb.Output_Integers{Integers: &pb.Integers{}}}, `[]`},
		{nil, `null`},
		{tensorOf(pb.DataType_DATA_TYPE_INT8, []byte{1, 255}, 1, 2), `[[1,-1]]`},
		{tensorOf(pb.DataType_DATA_TYPE_BOOL, []byte{1}), `true`},
		{tensorOf(pb.DataType_DATA_TYPE_FLOAT16, []byte{0, 0x3c, 0, 0xc0, 1, 0}, 3), `[1,-2,5.9604645e-08]`},
		{tensorOf(pb.DataType_DATA_TYPE_UINT64, []byte{255, 255, 255, 255, 255, 255, 255, 255}, 1), `[18446744073709551615]`},
		{tensorOf(pb.DataType_DATA_TYPE_FLOAT32, []byte{0, 0, 0x80, 0x7f}, 1), `[null]`},
		{tensorOf(pb.DataType_DATA_TYPE_FLOAT64, nil, 2, 0), `[[],[]]`},
		{tensorOf(pb.DataType_DATA_TYPE_FLOAT64, nil, 1<<40, 0), `null`},
		{tensorOf(pb.DataType_DATA_TYPE_FLOAT64, []byte{1}, 1), `null`},
		{tensorOf(pb.DataType_DATA_TYPE_UNSPECIFIED, []byte{1}, 1), `null`},
		{tensorOf(pb.DataType_DATA_TYPE_INT8, nil, -1), `null`},
	} {
		got := string(AppendOutput(nil, c.output))
		if got != c.want || !json.Valid([]byte(got)) {
			t.Errorf("%v: got %s, want %s", c.output, got, c.want)
		}
	}
}

func tensorOf(dataType pb.DataType, data []byte, shape ...int64) *pb.Output {
	return &pb.Output{Value: &pb.Output_Tensor{Tensor: &pb.Tensor{DataType: dataType, Shape: shape, Data: data}}}
}

func TestAnAnswerHasClippersKeys(t *testing.T) {
	got := string(AppendPrediction(nil, &pb.PredictResponse{QueryId: 1<<53 - 1, Output: textOutput("-1.0"), Default: true, DefaultExplanation: "late"}))
	if got != `{"query_id":9007199254740991,"output":-1.0,"default":true,"default_explanation":"late"}` {
		t.Error(got)
	}
	got = string(AppendPrediction(nil, &pb.PredictResponse{QueryId: 1, Output: number64(2)}))
	if got != `{"query_id":1,"output":2,"default":false}` {
		t.Error(got)
	}
}

func TestAdministrationShowsTextAsItIs(t *testing.T) {
	if got := OutputText(textOutput("-1.0")); got != "-1.0" {
		t.Error(got)
	}
	if got := OutputText(number64(2)); got != "2" {
		t.Error(got)
	}
	if got := OutputText(nil); got != "" {
		t.Error(got)
	}
}

func FuzzStringsAreJSON(f *testing.F) {
	f.Add("a\"\\\n\x00\xff😀")
	f.Fuzz(func(t *testing.T, value string) {
		encoded := AppendString(nil, value)
		var got string
		if err := json.Unmarshal(encoded, &got); err != nil {
			t.Fatalf("%q: %v", encoded, err)
		}
		if want := string([]rune(value)); got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
	})
}
