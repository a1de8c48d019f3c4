// Package text checks the free text that people type into requests: names, streets,
// reasons.
//
// It is not for ids (contract.CheckID) and changes nothing: what passes is stored
// as it came. It promises that what passes is one line of valid UTF-8 of bounded
// length, without control characters and without marks that reorder what a reader
// sees.
package text

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// MaxLine is the greatest length of a line of free text, in characters.
const MaxLine = 200

// Required checks a line of text that must be there. The field is its JSON pointer.
func Required(field, s string) error {
	if !strings.ContainsFunc(s, visible) {
		return contract.ErrInvalid.At(field).Sayf("%s is missing", name(field))
	}
	return Optional(field, s)
}

// Optional checks a line of text that may be empty.
func Optional(field, s string) error {
	if !utf8.ValidString(s) {
		return contract.ErrInvalid.At(field).Sayf("%s is not valid UTF-8", name(field))
	}
	if utf8.RuneCountInString(s) > MaxLine {
		return contract.ErrInvalid.At(field).Sayf("%s is longer than %d characters", name(field), MaxLine)
	}
	if strings.ContainsFunc(s, forbidden) {
		return contract.ErrInvalid.At(field).Sayf("%s contains a control character", name(field))
	}
	return nil
}

// Visible checks an opaque value such as a token: 1 to limit visible ASCII
// characters without spaces.
func Visible(field, s string, limit int) error {
	if s == "" {
		return contract.ErrInvalid.At(field).Sayf("%s is missing", name(field))
	}
	if len(s) > limit || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return contract.ErrInvalid.At(field).Sayf("%s must be 1 to %d visible ASCII characters", name(field), limit)
	}
	return nil
}

// visible reports what a reader sees: neither white space nor an invisible mark. Bytes
// that are no UTF-8 are left to Optional.
func visible(r rune) bool {
	return unicode.IsGraphic(r) && !unicode.IsSpace(r) && r != '\u2800' && r != '\u3164' || r == utf8.RuneError
}

// forbidden reports control characters, line and paragraph separators and the
// marks that override or isolate the direction of writing.
func forbidden(r rune) bool {
	switch {
	case unicode.IsControl(r), r == '\u2028', r == '\u2029', r == utf8.RuneError:
		return true
	case r >= '\u202a' && r <= '\u202e', r >= '\u2066' && r <= '\u2069':
		return true
	}
	return false
}

func name(field string) string { return field[strings.LastIndexByte(field, '/')+1:] }
