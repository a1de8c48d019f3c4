package telemetry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/trace"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

// nasty has everything that must not reach a terminal raw.
const nasty = "\\x1b[31m a\r\nINF forged\x1b[31m\x00\x7f\u009b1m\u202egnp\u2066\u200f\u2028\ufeffz"

func jsonLogger(t *testing.T) (*telemetry.Telemetry, *bytes.Buffer) {
	t.Helper()
	var buf bytes.Buffer
	tel, err := telemetry.New(telemetry.Config{Service: "orders", Writer: &buf})
	if err != nil {
		t.Fatal(err)
	}
	return tel, &buf
}

func decodeLine(t *testing.T, buf *bytes.Buffer) map[string]any {
	t.Helper()
	if n := strings.Count(buf.String(), "\n"); n != 1 || !strings.HasSuffix(buf.String(), "\n") {
		t.Fatalf("%d lines, want one: %q", n, buf.String())
	}
	line := map[string]any{}
	if err := json.Unmarshal(buf.Bytes(), &line); err != nil {
		t.Fatalf("%v in %q", err, buf.String())
	}
	return line
}

func TestJSONLinesCarryTheContext(t *testing.T) {
	t.Parallel()
	tel, buf := jsonLogger(t)
	sc := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}})
	ctx := trace.ContextWithSpanContext(t.Context(), sc)
	ctx = telemetry.WithActor(ctx, contract.Actor{Who: "gateway", For: "c1", Request: "r1"})
	ctx = telemetry.WithCommand(ctx, "cmd-1")

	tel.Logger.InfoContext(ctx, "placed", telemetry.KeyOrder, "o1")

	line := decodeLine(t, buf)
	delete(line, "time")
	want := map[string]any{
		"level": "INFO", "msg": "placed", "service": "orders", "order_id": "o1",
		"trace_id": sc.TraceID().String(), "span_id": sc.SpanID().String(),
		"actor": "gateway", "actor_for": "c1", "request_id": "r1", "command": "cmd-1",
	}
	if diff := cmp.Diff(want, line); diff != "" {
		t.Error(diff)
	}
}

func TestJSONLinesCannotBeForged(t *testing.T) {
	t.Parallel()
	tel, buf := jsonLogger(t)
	tel.Logger.Error(nasty, telemetry.KeyReason, nasty, "any", struct{ S string }{nasty}, telemetry.KeyError, errors.New(nasty))
	for _, r := range buf.String() {
		if r != '\n' && (r < 0x20 || r >= 0x7f) {
			t.Fatalf("the line contains %U: %q", r, buf.String())
		}
	}
	line := decodeLine(t, buf)
	if line["msg"] != nasty || line[telemetry.KeyReason] != nasty || line[telemetry.KeyError] != nasty {
		t.Errorf("a JSON reader must get the strings back unchanged: %v", line)
	}
}

func TestTerminalLinesCannotBeForged(t *testing.T) {
	t.Parallel()
	var buf bytes.Buffer
	logger := slog.New(telemetry.TerminalHandler(&buf, slog.LevelInfo))
	logger.With("with"+nasty, nasty).WithGroup("g").Error(nasty,
		"key"+nasty, nasty, telemetry.KeyError, errors.New(nasty), "bytes", []byte(nasty),
		slog.Group("h", "inner", nasty), "struct", struct{ S string }{nasty}, "level", slog.Level(2))
	logger.LogAttrs(t.Context(), slog.LevelError, "x", telemetry.Stack(0))
	out := stripColours(buf.String())
	if n := strings.Count(out, "\n"); n != 2 {
		t.Errorf("%d lines, want two: %q", n, out)
	}
	for _, r := range out {
		if r != '\n' && (r < 0x20 || r >= 0x7f) {
			t.Fatalf("the output contains %U: %q", r, out)
		}
	}
	if !strings.Contains(out, `\u202e`) || !strings.Contains(out, "forged") {
		t.Errorf("escaped text must stay readable: %q", out)
	}
}

// stripColours removes what the terminal handler itself may write: ESC [ n m.
func stripColours(s string) string {
	for _, seq := range []string{"\x1b[0m", "\x1b[2m", "\x1b[22m", "\x1b[91m", "\x1b[92m", "\x1b[93m"} {
		s = strings.ReplaceAll(s, seq, "")
	}
	return s
}

func TestStackIsOneAttribute(t *testing.T) {
	t.Parallel()
	tel, buf := jsonLogger(t)
	tel.Logger.LogAttrs(t.Context(), slog.LevelError, "panic", telemetry.Stack(0))
	frames, _ := decodeLine(t, buf)[telemetry.KeyStack].([]any)
	if len(frames) == 0 || !strings.Contains(frames[0].(string), "TestStackIsOneAttribute telemetry/log_test.go:") {
		t.Errorf("frames: %v", frames)
	}
}

func FuzzEscape(f *testing.F) {
	f.Add(nasty)
	f.Add("plain")
	f.Add(`\\x1b\x1b`)
	f.Add("bad \xff\xc3 utf-8, a real \uFFFD")
	f.Fuzz(func(t *testing.T, s string) {
		out := telemetry.Escape(s)
		if !utf8.ValidString(out) {
			t.Fatalf("not UTF-8: %q", out)
		}
		for _, r := range out {
			if r < 0x20 || r == 0x7f || r == 0x202e || r == 0x2066 || r == 0x9b {
				t.Fatalf("%q holds %U", out, r)
			}
		}
		if strings.Contains(out, `\x1b`) {
			t.Fatalf("%q would become an escape character", out)
		}
		if out != telemetry.Escape(out) {
			t.Fatalf("escaping twice changes %q", out)
		}
	})
}

func TestNopDiscards(t *testing.T) {
	t.Parallel()
	if telemetry.Nop().Logger.Enabled(context.Background(), slog.LevelError) {
		t.Error("a discarding logger must say so before anybody builds attributes")
	}
}
