package transfer

import (
	"math"
	"testing"
	"time"
)

func TestTimeoutsHaveTheFormOfGRPC(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"1H": time.Hour, "2M": 2 * time.Minute, "3S": 3 * time.Second, "250m": 250 * time.Millisecond, "5u": 5 * time.Microsecond,
		"7n": 7, "0S": 1, "99999999H": math.MaxInt64,
	} {
		if got, ok := parseTimeout(text); !ok || got != want {
			t.Errorf("%s: %v %v", text, got, ok)
		}
	}
	for _, text := range []string{"", "S", "1", "1s", "-1S", "1.5S", "123456789S", " 1S"} {
		if got, ok := parseTimeout(text); ok {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestOnlyPrintableHeadersTravel(t *testing.T) {
	for value, want := range map[string]bool{"abc 1": true, "": false, "é": false, string(make([]byte, 3)): false} {
		if isPrintable(value) != want {
			t.Errorf("%q", value)
		}
	}
}
