package values

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"strconv"
	"testing"
)

func scanned(t *testing.T, text string) number {
	t.Helper()
	s := scanner{text: []byte(text)}
	n, err := s.number()
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	if err := s.end(); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return n
}

func TestNumbersAreReadAsTheNearestFloats(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	texts := []string{
		"0", "-0", "0.1", "6.6", "1e22", "1e23", "123456789012345678901234567890", "0.000001", "1e-400", "4.9e-324", "5e-324",
		"9007199254740993", "9007199254740992.5", "1.00000000000000000000000000000000001", "16777217", "16777216.5e0", "0e99999",
		"1.17549435e-38", "3.4028235e38", "0.3e10", "8388608.5", "1e-10", "33554433e-1",
	}
	for range 20000 {
		value := math.Float64frombits(random.Uint64())
		if math.IsNaN(value) || math.IsInf(value, 0) {
			continue
		}
		texts = append(texts, strconv.FormatFloat(value, 'e', -1, 64), strconv.FormatFloat(random.NormFloat64(), 'f', random.IntN(20), 64))
	}
	for _, text := range texts {
		n := scanned(t, text)
		want64, err64 := strconv.ParseFloat(text, 64)
		got64, ok := n.double()
		if ok != (err64 == nil) || (ok && math.Float64bits(got64) != math.Float64bits(want64)) {
			t.Errorf("double %s: got %v %v, want %v", text, got64, ok, want64)
		}
		want32, err32 := strconv.ParseFloat(text, 32)
		got32, ok := n.float()
		if ok != (err32 == nil) || (ok && math.Float32bits(got32) != math.Float32bits(float32(want32))) {
			t.Errorf("float %s: got %v %v, want %v", text, got32, ok, want32)
		}
	}
}

func TestNumbersOutOfRangeAreRefused(t *testing.T) {
	for _, text := range []string{"1e309", "-1e400", "1e999999999999"} {
		n := scanned(t, text)
		if _, ok := n.double(); ok {
			t.Errorf("%s was taken as a double", text)
		}
	}
	n := scanned(t, "3.5e38")
	if _, ok := n.float(); ok {
		t.Error("3.5e38 was taken as a 32-bit float")
	}
}

func TestOnlyNumbersWrittenAsIntegersAreIntegers(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "-0": 0, "-7": -7, "9223372036854775807": math.MaxInt64, "-9223372036854775808": math.MinInt64,
	} {
		n := scanned(t, text)
		if got, ok := n.int(); !ok || got != want {
			t.Errorf("%s: got %d %v", text, got, ok)
		}
	}
	for _, text := range []string{"1.0", "1e2", "9223372036854775808", "-9223372036854775809", "99999999999999999999"} {
		n := scanned(t, text)
		if got, ok := n.int(); ok {
			t.Errorf("%s was taken as %d", text, got)
		}
	}
}

func FuzzScannerAgreesWithEncodingJSON(f *testing.F) {
	for _, seed := range []string{`{"a": [1, 2.5e3, "x\u00e9\n", null, true]}`, `[01]`, `[1,]`, `"\ud800"`, "1.", "-", `{"a"}`, `"` + "\x01" + `"`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		s := scanner{text: text}
		err := s.skip(0)
		if err == nil {
			err = s.end()
		}
		// Stricter than encoding/json are we only about text that is not valid UTF-8, lone surrogates and depth.
		if err == nil && !json.Valid(text) {
			t.Fatalf("taken, but no JSON: %q", text)
		}
		if problem, ok := err.(*Error); ok && json.Valid(text) {
			switch problem.Problem {
			case "a string is not valid UTF-8", "half of a surrogate pair in a string", "nested deeper than 256":
			default:
				t.Fatalf("refused, but JSON: %q: %v", text, err)
			}
		}
	})
}
