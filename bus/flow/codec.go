package flow

import (
	"bytes"
	"fmt"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// maxValueDepth is how deep one value may be nested: the journal nests values in itself.
const maxValueDepth = contract.MaxDepth - 6

// encode turns a result into JSON, of any kind and not only an object.
func encode(v any) ([]byte, error) {
	raw, err := contract.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("%T cannot be written as JSON: %w", v, err)
	}
	if len(raw) > maxPayload {
		return nil, fmt.Errorf("a %T of %d bytes is more than a flow keeps (%d): keep it elsewhere and hand on a reference", v, len(raw), maxPayload)
	}
	if len(raw) > 2*maxValueDepth && tooDeep(raw) {
		return nil, fmt.Errorf("%T is nested deeper than %d levels", v, maxValueDepth)
	}
	return raw, nil
}

func tooDeep(raw []byte) bool {
	depth, inString := 0, false
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			if depth++; depth > maxValueDepth {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}

// decode reads what encode wrote. Members that a newer version added are ignored.
func decode[T any](raw []byte, v *T) error {
	if body := bytes.TrimLeft(raw, " \t\r\n"); len(body) > 0 && body[0] == '{' {
		return contract.UnmarshalLenient(body, v)
	}
	wrapped := struct {
		V *T `json:"v"`
	}{V: v}
	text := make([]byte, 0, len(raw)+8)
	text = append(append(append(text, `{"v":`...), raw...), '}')
	return contract.UnmarshalLenient(text, &wrapped)
}

// appendString appends s as a JSON string.
func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c >= 0x7f || c == '"' || c == '\\' {
			return appendSpecial(b, s)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// appendSpecial appends a string with characters that JSON escapes. Bytes that are
// no UTF-8 are replaced: texts of errors come from anywhere.
func appendSpecial(b []byte, s string) []byte {
	raw, err := contract.Marshal(string(bytes.ToValidUTF8([]byte(s), []byte("\uFFFD"))))
	if err != nil { // a valid string can always be written
		return append(b, `""`...)
	}
	return append(b, raw...)
}
