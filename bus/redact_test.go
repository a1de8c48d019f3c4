package bus_test

import (
	"context"
	"strings"
	"testing"

	"github.com/ordermesh/ordermesh/bus"
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
		if got := bus.Redacted(urls); got != want {
			t.Errorf("%s: %s, want %s", urls, got, want)
		}
	}
}

// No error of a connection that does not come about shows the password.
func TestDialHidesPasswords(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		"nats://me:canary@127.0.0.1:1", "nats://me:canary%zz@127.0.0.1:1", "nats://me:canary@127.0.0.1:notaport", "nats://me:can ary@127.0.0.1:1",
	} {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := bus.Dial(ctx, bus.Config{URL: url, Service: "test"})
		if err == nil || strings.Contains(err.Error(), "can") {
			t.Errorf("%s: %v", url, err)
		}
	}
}
