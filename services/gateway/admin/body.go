package admin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
)

// A bodyError says what is wrong with a body.
type bodyError struct{ text string }

func (e *bodyError) Error() string { return e.text }

func badBody(format string, arguments ...any) error {
	return &bodyError{fmt.Sprintf(format, arguments...)}
}

// body holds the members of a request's body as they were written.
type body map[string]json.RawMessage

func readBody(content []byte) (body, error) {
	if !json.Valid(content) {
		var syntax *json.SyntaxError
		err := json.Unmarshal(content, new(any))
		if s, ok := err.(*json.SyntaxError); ok {
			syntax = s
			return nil, badBody("JSON parse error: %v (offset %d)", syntax, syntax.Offset)
		}
		return nil, badBody("JSON parse error: %v", err)
	}
	var members body
	if trimmed := bytes.TrimSpace(content); trimmed[0] != '{' {
		return nil, badBody("Can only get key-value pair from an object")
	}
	if err := json.Unmarshal(content, &members); err != nil {
		return nil, badBody("%v", err)
	}
	return members, nil
}

// member finds a required member.
func (b body) member(name, kind string, opening string) (json.RawMessage, error) {
	value, ok := b[name]
	if !ok {
		return nil, badBody("JSON object does not have required key: %s", name)
	}
	if !bytes.ContainsAny(value[:1], opening) {
		return nil, badBody("Type mismatch! JSON key %s expected type %s but found %s", name, kind, value)
	}
	return value, nil
}

func (b body) text(name string) (string, error) {
	value, err := b.member(name, "string", `"`)
	if err != nil {
		return "", err
	}
	var text string
	err = json.Unmarshal(value, &text)
	return text, err
}

func (b body) texts(name string) ([]string, error) {
	value, err := b.member(name, "array", "[")
	if err != nil {
		return nil, err
	}
	var elements []json.RawMessage
	if err := json.Unmarshal(value, &elements); err != nil {
		return nil, err
	}
	texts := make([]string, len(elements))
	for i, element := range elements {
		if element[0] != '"' {
			return nil, badBody("Type mismatch! JSON key %s[%d] expected type string but found %s", name, i, element)
		}
		if err := json.Unmarshal(element, &texts[i]); err != nil {
			return nil, err
		}
	}
	return texts, nil
}

func (b body) integer(name string) (int64, error) {
	value, err := b.member(name, "int", "-0123456789")
	if err != nil {
		return 0, err
	}
	number, err := strconv.ParseInt(string(value), 10, 64)
	if err != nil {
		return 0, badBody("Type mismatch! JSON key %s expected type int but found %s", name, value)
	}
	return number, nil
}

func (b body) truth(name string) (bool, error) {
	value, err := b.member(name, "bool", "tf")
	return err == nil && value[0] == 't', err
}
