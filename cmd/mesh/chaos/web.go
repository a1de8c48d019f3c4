package chaos

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// Ready asks a process over HTTP whether work may be sent to it, and why not. An error
// means that nobody answers.
func Ready(ctx context.Context, address string) (bool, string, error) {
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/readyz?verbose", nil)
	if err != nil {
		return false, "", fmt.Errorf("ask %s whether it is ready: %w", address, err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return false, "", fmt.Errorf("ask %s whether it is ready: %w", address, err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(answer.Body, 64<<10))
	if err != nil {
		return false, "", fmt.Errorf("ask %s whether it is ready: %w", address, err)
	}
	return answer.StatusCode == http.StatusOK, strings.TrimSpace(string(text)), nil
}

// AwaitReady asks until the answer is as wanted, and returns how long that took and what
// was said.
func AwaitReady(ctx context.Context, address string, want bool, limit time.Duration) (time.Duration, string, error) {
	begun := time.Now()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		is, text, err := Ready(ctx, address)
		if err == nil && is == want {
			return time.Since(begun), text, nil
		}
		select {
		case <-ctx.Done():
			return 0, text, fmt.Errorf("%s did not become ready=%t in %v: %s: %w", address, want, limit, text, ctx.Err())
		case <-time.After(pollEvery):
		}
	}
}
