package main

import (
	"errors"
	"fmt"
	"testing"
)

func TestRedacted(t *testing.T) {
	t.Parallel()
	for urls, want := range map[string]string{
		"nats://127.0.0.1:4222":               "nats://127.0.0.1:4222",
		"nats://me:secret@a:4222,nats://b":    "nats://me:xxxxx@a:4222,nats://b",
		"nats://me:sec ret@a:4222":            "…@a:4222",
		"nats://a , tls://me:secret@b:4222":   "nats://a,tls://me:xxxxx@b:4222",
		"nats://me:se%zzcret@a:4222,nats://b": "…@a:4222,nats://b",
	} {
		if got := redacted(urls); got != want {
			t.Errorf("%s: %s, want %s", urls, got, want)
		}
	}
}

func TestRootCause(t *testing.T) {
	t.Parallel()
	root := errors.New("root")
	if got := rootCause(fmt.Errorf("outer: %w", fmt.Errorf("inner: %w", root))); !errors.Is(got, root) || got.Error() != "root" {
		t.Errorf("%v", got)
	}
}
