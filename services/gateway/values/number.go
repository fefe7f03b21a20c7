package values

import (
	"math"
	"strconv"
	"unsafe"
)

// number is a scanned JSON number: ±mantissa × 10^exponent.
type number struct {
	text     []byte
	mantissa uint64
	exponent int
	negative bool
	// exact says that mantissa holds all digits; else it is of no use.
	exact bool
	// integer says that it was written without fraction and exponent.
	integer bool
}

// maxDigits is how many decimal digits always fit into 64 bits.
const maxDigits = 19

// number reads a number.
func (s *scanner) number() (number, error) {
	text, at := s.text, s.at
	start := at
	n := number{integer: true}
	if at < len(text) && text[at] == '-' {
		n.negative = true
		at++
	}
	if at >= len(text) || text[at] < '0' || text[at] > '9' {
		return n, s.syntax("invalid value")
	}
	whole := at
	for ; at < len(text) && text[at]-'0' < 10; at++ {
		n.mantissa = n.mantissa*10 + uint64(text[at]-'0')
	}
	digits := at - whole
	if text[whole] == '0' && digits > 1 {
		s.at = whole + 1
		return n, s.syntax("a number starts with a zero")
	}
	if at < len(text) && text[at] == '.' {
		n.integer = false
		at++
		fraction := at
		for ; at < len(text) && text[at]-'0' < 10; at++ {
			n.mantissa = n.mantissa*10 + uint64(text[at]-'0')
		}
		if at == fraction {
			s.at = at
			return n, s.syntax("a number ends with a point")
		}
		n.exponent = fraction - at
		digits += at - fraction
	}
	n.exact = digits <= maxDigits
	if at < len(text) && (text[at] == 'e' || text[at] == 'E') {
		n.integer = false
		at++
		sign := 1
		if at < len(text) && (text[at] == '+' || text[at] == '-') {
			if text[at] == '-' {
				sign = -1
			}
			at++
		}
		digits, power := at, 0
		for ; at < len(text) && text[at] >= '0' && text[at] <= '9'; at++ {
			if power < 1e5 {
				power = power*10 + int(text[at]-'0')
			}
		}
		if at == digits {
			s.at = at
			return n, s.syntax("a number has an empty exponent")
		}
		n.exponent += sign * power
	}
	n.text = text[start:at]
	s.at = at
	return n, nil
}

var powersOfTen = [...]float64{
	1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
}

var powersOfTen32 = [...]float32{1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10}

// double returns the nearest 64-bit float; false if the number is too large.
//
// Where mantissa and power of ten are both exact in binary, one rounded operation gives the nearest result.
// Source: W. Clinger, How to read floating point numbers accurately, 1990.
func (n *number) double() (float64, bool) {
	if n.exact && n.mantissa < 1<<53 && n.exponent >= -22 && n.exponent <= 22 {
		value := float64(n.mantissa)
		if n.exponent < 0 {
			value /= powersOfTen[-n.exponent]
		} else {
			value *= powersOfTen[n.exponent]
		}
		if n.negative {
			value = -value
		}
		return value, true
	}
	value, err := strconv.ParseFloat(unsafe.String(&n.text[0], len(n.text)), 64)
	return value, err == nil
}

// float returns the nearest 32-bit float; false if the number is too large. It rounds once: going through 64 bits
// would round twice.
func (n *number) float() (float32, bool) {
	if n.exact && n.mantissa < 1<<24 && n.exponent >= -10 && n.exponent <= 10 {
		value := float32(n.mantissa)
		if n.exponent < 0 {
			value /= powersOfTen32[-n.exponent]
		} else {
			value *= powersOfTen32[n.exponent]
		}
		if n.negative {
			value = -value
		}
		return value, true
	}
	value, err := strconv.ParseFloat(unsafe.String(&n.text[0], len(n.text)), 32)
	return float32(value), err == nil
}

// int returns the value of a number that was written as an integer and fits.
func (n *number) int() (int64, bool) {
	if !n.integer || !n.exact {
		return 0, false
	}
	if n.negative {
		return -int64(n.mantissa), n.mantissa <= 1<<63
	}
	return int64(n.mantissa), n.mantissa <= math.MaxInt64
}
