package values

import (
	"fmt"
	"unicode/utf16"
	"unicode/utf8"
)

// maxDepth bounds the nesting of JSON that is skipped or embedded.
const maxDepth = 256

// An Error says what is wrong with a JSON text, and where.
type Error struct {
	// Problem is for people.
	Problem string
	// Offset is the place in the text, in bytes.
	Offset int
	// IsSyntax tells malformed JSON from well-formed JSON of a wrong shape.
	IsSyntax bool
}

func (e *Error) Error() string {
	if e.IsSyntax {
		return fmt.Sprintf("JSON parse error: %s (offset %d)", e.Problem, e.Offset)
	}
	return e.Problem
}

// scanner reads a JSON text from left to right. Its methods leave `at` behind what they read.
type scanner struct {
	text []byte
	at   int
}

func (s *scanner) syntax(problem string) *Error {
	if s.at >= len(s.text) {
		problem = "the text ends too early"
	}
	return &Error{Problem: problem, Offset: s.at, IsSyntax: true}
}

func (s *scanner) space() {
	for s.at < len(s.text) {
		switch s.text[s.at] {
		case ' ', '\n', '\r', '\t':
			s.at++
		default:
			return
		}
	}
}

// peek returns the next byte that is no space, 0 at the end.
func (s *scanner) peek() byte {
	s.space()
	if s.at < len(s.text) {
		return s.text[s.at]
	}
	return 0
}

// take reads one byte if it is the next one that is no space.
func (s *scanner) take(want byte) bool {
	if s.peek() == want && s.at < len(s.text) {
		s.at++
		return true
	}
	return false
}

// end fails unless only spaces are left.
func (s *scanner) end() error {
	s.space()
	if s.at < len(s.text) {
		return &Error{Problem: "the document must not be followed by other values", Offset: s.at, IsSyntax: true}
	}
	return nil
}

// next reads what stands between the elements of an array or object: it returns whether there is another element.
func (s *scanner) next(closing byte, first bool) (bool, error) {
	if s.take(closing) {
		return false, nil
	}
	if first {
		return true, nil
	}
	if !s.take(',') {
		return false, s.syntax(fmt.Sprintf("expected , or %c", closing))
	}
	if s.peek() == closing {
		return false, s.syntax("a comma before the end")
	}
	return true, nil
}

// key reads the name of a member and the colon behind it.
func (s *scanner) key() ([]byte, error) {
	if s.peek() != '"' {
		return nil, s.syntax("expected a name in quotes")
	}
	name, err := s.string(nil)
	if err != nil {
		return nil, err
	}
	if !s.take(':') {
		return nil, s.syntax("expected :")
	}
	return name, nil
}

// skip reads over any value, checking that it is JSON.
func (s *scanner) skip(depth int) error {
	if depth > maxDepth {
		return s.syntax(fmt.Sprintf("nested deeper than %d", maxDepth))
	}
	switch c := s.peek(); c {
	case '{', '[':
		s.at++
		closing := c + 2 // in ASCII, both brackets close two places on
		for first := true; ; first = false {
			more, err := s.next(closing, first)
			if err != nil || !more {
				return err
			}
			if c == '{' {
				if _, err := s.key(); err != nil {
					return err
				}
			}
			if err := s.skip(depth + 1); err != nil {
				return err
			}
		}
	case '"':
		_, err := s.string(nil)
		return err
	case 't':
		return s.literal("true")
	case 'f':
		return s.literal("false")
	case 'n':
		return s.literal("null")
	default:
		_, err := s.number()
		return err
	}
}

func (s *scanner) literal(want string) error {
	if end := s.at + len(want); end <= len(s.text) && string(s.text[s.at:end]) == want {
		s.at = end
		return nil
	}
	return s.syntax("invalid value")
}

// string reads a string. The result is a part of the text where nothing is escaped, else it is appended to buffer.
func (s *scanner) string(buffer []byte) ([]byte, error) {
	s.at++ // the opening quote
	start := s.at
	ascii := true
	for ; s.at < len(s.text); s.at++ {
		switch c := s.text[s.at]; {
		case c == '"':
			value := s.text[start:s.at]
			if !ascii && !utf8.Valid(value) {
				return nil, &Error{Problem: "a string is not valid UTF-8", Offset: start, IsSyntax: true}
			}
			s.at++
			return value, nil
		case c == '\\':
			return s.escaped(append(buffer, s.text[start:s.at]...), start)
		case c < ' ':
			return nil, s.syntax("a control character in a string")
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	return nil, s.syntax("")
}

// escaped reads the rest of a string from its first backslash on.
func (s *scanner) escaped(buffer []byte, start int) ([]byte, error) {
	for s.at < len(s.text) {
		c := s.text[s.at]
		switch {
		case c == '"':
			if !utf8.Valid(buffer) {
				return nil, &Error{Problem: "a string is not valid UTF-8", Offset: start, IsSyntax: true}
			}
			s.at++
			return buffer, nil
		case c < ' ':
			return nil, s.syntax("a control character in a string")
		case c != '\\':
			buffer = append(buffer, c)
			s.at++
			continue
		}
		if s.at+1 >= len(s.text) {
			break
		}
		s.at += 2
		switch c := s.text[s.at-1]; c {
		case '"', '\\', '/':
			buffer = append(buffer, c)
		case 'b':
			buffer = append(buffer, '\b')
		case 'f':
			buffer = append(buffer, '\f')
		case 'n':
			buffer = append(buffer, '\n')
		case 'r':
			buffer = append(buffer, '\r')
		case 't':
			buffer = append(buffer, '\t')
		case 'u':
			char, err := s.unicode()
			if err != nil {
				return nil, err
			}
			buffer = utf8.AppendRune(buffer, char)
		default:
			s.at--
			return nil, s.syntax("an unknown escape in a string")
		}
	}
	s.at = len(s.text)
	return nil, s.syntax("")
}

// unicode reads what follows \u, and the second half of a surrogate pair.
func (s *scanner) unicode() (rune, error) {
	first, ok := s.hex()
	if !ok {
		return 0, s.syntax("\\u needs four hexadecimal digits")
	}
	if !utf16.IsSurrogate(first) {
		return first, nil
	}
	if s.at+1 < len(s.text) && s.text[s.at] == '\\' && s.text[s.at+1] == 'u' {
		s.at += 2
		if second, ok := s.hex(); ok {
			if char := utf16.DecodeRune(first, second); char != utf8.RuneError {
				return char, nil
			}
		}
	}
	return 0, &Error{Problem: "half of a surrogate pair in a string", Offset: s.at, IsSyntax: true}
}

func (s *scanner) hex() (rune, bool) {
	if s.at+4 > len(s.text) {
		return 0, false
	}
	var value rune
	for _, c := range s.text[s.at : s.at+4] {
		switch {
		case c >= '0' && c <= '9':
			value = value<<4 | rune(c-'0')
		case c >= 'a' && c <= 'f':
			value = value<<4 | rune(c-'a'+10)
		case c >= 'A' && c <= 'F':
			value = value<<4 | rune(c-'A'+10)
		default:
			return 0, false
		}
	}
	s.at += 4
	return value, true
}

// isJSON tells whether the whole text is one JSON value.
func isJSON(text []byte) bool {
	s := scanner{text: text}
	return s.skip(0) == nil && s.end() == nil
}
