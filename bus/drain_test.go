package bus_test

import (
	"bufio"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/ordermesh/ordermesh/bus"
)

// What was sent before the drain is acknowledged before the end: an append that is
// stored must not end as unknown.
func TestDrainWaitsForAcknowledgements(t *testing.T) {
	t.Parallel()
	_, conn := connected(t)
	const appends = 5000
	var failed atomic.Int64
	var first atomic.Value
	var ended sync.WaitGroup
	for range appends {
		ended.Add(1)
		err := conn.Appender().Start(message("a", "x"), bus.NoExpectation, func(_ bus.Ack, err error) {
			if err != nil {
				failed.Add(1)
				first.CompareAndSwap(nil, err)
			}
			ended.Done()
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := conn.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	ended.Wait()
	if n := failed.Load(); n > 0 {
		t.Errorf("%d of %d appends: %v", n, appends, first.Load())
	}
}

// A server that hangs up right after the login: the loss of the connection meets a
// Dial that has not returned.
func TestDialMeetsALostConnection(t *testing.T) {
	t.Parallel()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, `INFO {"server_id":"x","version":"2.15.2","headers":true,"max_payload":1048576,"proto":1}`+"\r\n")
			lines := bufio.NewScanner(c)
			for lines.Scan() && lines.Text() != "PING" {
			}
			_, _ = io.WriteString(c, "PONG\r\n")
			_ = c.Close()
		}
	})
	defer serving.Wait()
	defer func() { _ = l.Close() }()
	for range 20 {
		conn, err := bus.Dial(t.Context(), bus.Config{URL: "nats://" + l.Addr().String(), Service: "test"})
		if err != nil {
			continue // it may notice
		}
		if _, err := conn.Appender().Append(t.Context(), message("a", "x"), 0); err == nil {
			t.Error("acknowledged by nobody")
		}
		conn.Close()
	}
}
