package telemetry

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"unicode/utf8"
)

// unsafeRune reports whether a rune can forge a line, drive a terminal or turn the
// reading direction: control characters, line separators, bidirectional marks and
// byte-order marks.
func unsafeRune(r rune) bool {
	switch {
	case r < 0x20, r >= 0x7f && r <= 0x9f:
		return true
	case r < 0x61c:
		return false
	case r == 0x61c, r == 0x200e, r == 0x200f, r == 0xfeff:
		return true
	}
	return r >= 0x2028 && r <= 0x202e || r >= 0x2066 && r <= 0x2069
}

// Escape returns s with every unsafe rune written as \uXXXX and every invalid byte
// as \xXX, so that it can be shown in a terminal. The text \x1b becomes \x1B, because
// tint turns the former into a real escape character when it quotes a value.
func Escape(s string) string {
	if !needsEscape(s) {
		return s
	}
	var b strings.Builder
	for i, r := range s {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(s[i:], "\uFFFD"):
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case unsafeRune(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return strings.ReplaceAll(b.String(), `\x1b`, `\x1B`)
}

func needsEscape(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] >= 0x7f || s[i] == '\\' {
			return true
		}
	}
	return false
}

// escapeAttr makes an attribute safe for a terminal: text is escaped, and a value
// of a type of its own becomes text first.
func escapeAttr(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey) && a.Value.Kind() != slog.KindString {
		return a
	}
	a.Key = Escape(a.Key)
	switch a.Value.Kind() {
	case slog.KindString:
		a.Value = slog.StringValue(Escape(a.Value.String()))
	case slog.KindAny:
		a.Value = slog.StringValue(Escape(anyText(a.Value.Any())))
	case slog.KindBool, slog.KindDuration, slog.KindFloat64, slog.KindGroup, slog.KindInt64,
		slog.KindLogValuer, slog.KindTime, slog.KindUint64:
	}
	return a
}

func anyText(v any) string {
	if list, ok := v.([]string); ok {
		return strings.Join(list, " < ")
	}
	return fmt.Sprintf("%+v", v)
}

// escapingWriter rewrites unsafe runes in JSON text as \uXXXX, which means the same
// to every JSON reader. The JSON handler itself has escaped everything below 0x20.
type escapingWriter struct{ w io.Writer }

// Write passes one line on.
func (e escapingWriter) Write(line []byte) (int, error) {
	if !bytes.ContainsFunc(line, func(r rune) bool { return r >= 0x7f && unsafeRune(r) }) {
		return e.w.Write(line)
	}
	out := make([]byte, 0, len(line)+32)
	for rest := line; len(rest) > 0; {
		r, size := utf8.DecodeRune(rest)
		if r >= 0x7f && unsafeRune(r) {
			out = fmt.Appendf(out, `\u%04x`, r)
		} else {
			out = append(out, rest[:size]...)
		}
		rest = rest[size:]
	}
	if _, err := e.w.Write(out); err != nil {
		return 0, err
	}
	return len(line), nil
}
