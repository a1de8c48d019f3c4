package telemetry

import (
	"context"
	"io"
	"log/slog"
	"os"
	"runtime"
	"strconv"
	"strings"

	"github.com/lmittmann/tint"
	"golang.org/x/term"
)

// NewHandler returns the handler that [New] logs with: colours when w is a
// terminal, JSON otherwise; attributes from the context in every line; nothing
// unescaped. A nil level is info.
func NewHandler(w io.Writer, level slog.Leveler) slog.Handler {
	if level == nil {
		level = slog.LevelInfo
	}
	if isTerminal(w) {
		return contextHandler{terminalHandler(w, level)}
	}
	return contextHandler{slog.NewJSONHandler(escapingWriter{w}, &slog.HandlerOptions{Level: level})}
}

func terminalHandler(w io.Writer, level slog.Leveler) slog.Handler {
	return tint.NewTextHandler(w, &tint.Options{Level: level, TimeFormat: "15:04:05.000", ReplaceAttr: escapeAttr})
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// contextHandler adds to each record what its context carries.
type contextHandler struct{ slog.Handler }

// Handle adds the attributes and passes the record on.
func (h contextHandler) Handle(ctx context.Context, r slog.Record) error {
	if ctx != nil {
		r.AddAttrs(contextAttrs(ctx)...)
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs keeps the wrapping.
func (h contextHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return contextHandler{h.Handler.WithAttrs(attrs)}
}

// WithGroup keeps the wrapping.
func (h contextHandler) WithGroup(name string) slog.Handler {
	return contextHandler{h.Handler.WithGroup(name)}
}

const maxFrames = 24

// Stack returns the caller's stack as one attribute, one string per frame, so that
// it stays one log line. Skip 0 begins with the caller of Stack.
func Stack(skip int) slog.Attr {
	var pcs [maxFrames]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(skip+2, pcs[:])])
	var lines []string
	for {
		f, more := frames.Next()
		if f.Function != "" {
			lines = append(lines, f.Function+" "+shortFile(f.File)+":"+strconv.Itoa(f.Line))
		}
		if !more {
			return slog.Any(KeyStack, lines)
		}
	}
}

// shortFile keeps the file and its folder: enough to find it, no build paths.
func shortFile(path string) string {
	file := strings.LastIndexByte(path, '/')
	if file < 0 {
		return path
	}
	return path[strings.LastIndexByte(path[:file], '/')+1:]
}
