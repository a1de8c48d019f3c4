package natsd

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
)

// adapter hands the server's lines to slog and remembers the first fatal one, which
// nats-server only logs before it gives up starting.
type adapter struct {
	log *slog.Logger

	mu    sync.Mutex
	first string
}

func newAdapter(l *slog.Logger) *adapter {
	if l == nil {
		l = slog.New(slog.DiscardHandler)
	}
	return &adapter{log: l}
}

func (a *adapter) emit(level slog.Level, format string, args []any) {
	if ctx := context.Background(); a.log.Enabled(ctx, level) {
		a.log.Log(ctx, level, strings.TrimSpace(fmt.Sprintf(format, args...)))
	}
}

// Noticef logs what is only of interest to somebody who looks into NATS.
func (a *adapter) Noticef(format string, args ...any) { a.emit(slog.LevelDebug, format, args) }

// Warnf logs a warning, but not the one about passwords in clear text: ours are
// random, live in memory and never reach a file.
func (a *adapter) Warnf(format string, args ...any) {
	if strings.HasPrefix(format, "Plaintext passwords detected") {
		return
	}
	a.emit(slog.LevelWarn, format, args)
}

// Errorf logs an error.
func (a *adapter) Errorf(format string, args ...any) { a.emit(slog.LevelError, format, args) }

// Debugf logs detail.
func (a *adapter) Debugf(format string, args ...any) { a.emit(slog.LevelDebug, format, args) }

// Tracef logs detail.
func (a *adapter) Tracef(format string, args ...any) { a.emit(slog.LevelDebug, format, args) }

// Fatalf logs and remembers; it does not end the process.
func (a *adapter) Fatalf(format string, args ...any) {
	a.emit(slog.LevelError, format, args)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.first == "" {
		a.first = fmt.Sprintf(format, args...)
	}
}

func (a *adapter) fatal() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.first
}
