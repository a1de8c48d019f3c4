package contract

import (
	"fmt"
	"io"
	"log/slog"
)

// hidden is what a secret looks like wherever it is printed.
const hidden = "[secret]"

// Secret is text that never prints: not in logs, JSON, errors or a dump of the struct that
// holds it. Only Reveal gives it away. The zero value is the empty secret.
type Secret struct {
	reveal func() string // a function, because printers follow strings and pointers in unexported fields
}

// NewSecret hides text.
func NewSecret(text string) Secret { return Secret{func() string { return text }} }

// Reveal returns the text. Use it where it is needed and keep it nowhere.
func (s Secret) Reveal() string {
	if s.reveal == nil {
		return ""
	}
	return s.reveal()
}

// IsZero reports whether there is nothing to hide.
func (s Secret) IsZero() bool { return s.Reveal() == "" }

// String implements fmt.Stringer without the text.
func (s Secret) String() string { return hidden }

// GoString implements fmt.GoStringer without the text.
func (s Secret) GoString() string { return hidden }

// Format implements fmt.Formatter without the text, for every verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// MarshalText implements encoding.TextMarshaler without the text.
func (s Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// MarshalJSON implements json.Marshaler without the text.
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + hidden + `"`), nil }

// LogValue implements slog.LogValuer without the text.
func (s Secret) LogValue() slog.Value { return slog.StringValue(hidden) }
