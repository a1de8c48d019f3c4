package contract

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Limits of what [Unmarshal] reads.
const (
	MaxRequestBytes = 256 << 10 // a request's body
	MaxDepth        = 32        // nesting of objects and arrays
)

// Raw is JSON text that is passed on without being looked into.
type Raw = jsontext.Value

// Marshal encodes a value as compact JSON. Maps are written in sorted order, so
// that equal values give equal bytes.
func Marshal(v any) ([]byte, error) {
	return json.Marshal(v, json.Deterministic(true))
}

// Unmarshal reads one JSON object strictly: duplicate or unknown members, wrong
// case, bad UTF-8, nesting beyond MaxDepth, more than one value, numbers that do
// not fit and anything but an object are refused. Every error is an [*Error] with
// code Invalid whose Field is the JSON pointer of the culprit.
func Unmarshal(data []byte, v any) error {
	return decode(data, v, MaxDepth, json.RejectUnknownMembers(true))
}

// UnmarshalLenient is Unmarshal for what the mesh itself wrote, perhaps a newer
// version of it: unknown members are ignored, and depth is bounded by the decoder
// alone, because what was taken from a request is nested deeper once it is stored.
// Use it for replies and stored events, never for requests.
func UnmarshalLenient(data []byte, v any) error {
	return decode(data, v, math.MaxInt)
}

func decode(data []byte, v any, maxDepth int, opts ...json.Options) error {
	if err := precheck(data, maxDepth); err != nil {
		return err
	}
	if err := json.Unmarshal(data, v, opts...); err != nil {
		return jsonError(err)
	}
	return nil
}

// precheck refuses what the decoder would take: no object, or too deep.
func precheck(data []byte, maxDepth int) error {
	start := bytes.TrimLeft(data[:min(len(data), 64)], " \t\r\n")
	if len(start) == 0 {
		if len(data) > 64 {
			return ErrInvalid.Sayf("the body does not start with a JSON object")
		}
		return ErrInvalid.Sayf("the body is empty: send a JSON object, for example {}")
	}
	if start[0] != '{' {
		return ErrInvalid.Sayf("the body must be a JSON object")
	}
	if len(data) <= maxDepth {
		return nil
	}
	depth, inString := 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return ErrInvalid.Sayf("the body is nested deeper than %d levels", maxDepth)
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return nil
}

// jsonError turns a decoder's error into one sentence that names the field.
func jsonError(err error) *Error {
	var semantic *json.SemanticError
	var syntactic *jsontext.SyntacticError
	switch {
	case errors.Is(err, json.ErrUnknownName) && errors.As(err, &semantic):
		return ErrInvalid.At(string(semantic.JSONPointer)).Sayf("the field %s is not known here", lastToken(semantic.JSONPointer))
	case errors.As(err, &syntactic):
		pointer := string(syntactic.JSONPointer)
		switch {
		case errors.Is(err, jsontext.ErrDuplicateName):
			return ErrInvalid.At(pointer).Sayf("the field %s appears twice", lastToken(syntactic.JSONPointer))
		case errors.Is(err, io.ErrUnexpectedEOF):
			return ErrInvalid.At(pointer).Sayf("the JSON ends too early, at byte %d", syntactic.ByteOffset)
		}
		return ErrInvalid.At(pointer).Sayf("the JSON is malformed at byte %d: %v", syntactic.ByteOffset, syntactic.Err)
	case errors.As(err, &semantic):
		return ErrInvalid.At(string(semantic.JSONPointer)).Sayf("%s", semanticMessage(semantic))
	}
	return ErrInvalid.Sayf("the JSON cannot be read")
}

func semanticMessage(e *json.SemanticError) string {
	if own, ok := errors.AsType[*Error](e.Err); ok {
		return own.Message
	}
	want := "another kind of value"
	if e.GoType != nil {
		switch kind := e.GoType.Kind().String(); {
		case strings.HasPrefix(kind, "int") || strings.HasPrefix(kind, "uint"):
			want = "a whole number that fits " + kind
		case kind == "struct" && e.GoType.String() == "time.Time":
			want = "a time like 2006-01-02T15:04:05Z (RFC 3339)"
		case kind == "struct" || kind == "map":
			want = "an object"
		case kind == "slice" || kind == "array":
			want = "an array"
		case kind == "string":
			want = "a string"
		case kind == "bool":
			want = "true or false"
		}
	}
	name := lastToken(e.JSONPointer)
	if name == "" {
		name = "the body"
	}
	return fmt.Sprintf("%s must be %s", name, want)
}

func lastToken(p jsontext.Pointer) string { return p.LastToken() }
