package natsd_test

import (
	"context"
	"errors"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ordermesh/ordermesh/embedded/natsd"
)

// bounded is the test's context with an end.
func bounded(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func child(t *testing.T, cfg natsd.Config) *natsd.Child {
	t.Helper()
	c, err := natsd.StartChild(bounded(t, 30*time.Second), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func TestKilledChildKeepsWhatItAcknowledged(t *testing.T) {
	t.Parallel()
	c := child(t, natsd.Config{Port: -1, StoreDir: t.TempDir()})
	url := c.URL()
	js := stream(t, dial(t, url), 1)
	publish(t.Context(), t, js, 100)
	if err := c.Kill(); err != nil {
		t.Fatal(err)
	}
	if c.PID() != 0 {
		t.Error("a killed child has a process")
	}
	if err := c.Restart(bounded(t, 30*time.Second)); err != nil {
		t.Fatal(err)
	}
	if c.URL() != url {
		t.Errorf("the address changed from %s to %s", url, c.URL())
	}
	publish(bounded(t, 30*time.Second), t, js, 1)
	if got := stored(t, js); got != 101 {
		t.Errorf("the stream has %d messages after kill -9, want 101", got)
	}
}

func TestFrozenChildAnswersAfterThaw(t *testing.T) {
	t.Parallel()
	c := child(t, natsd.Config{Port: -1, StoreDir: t.TempDir()})
	nc := dial(t, c.URL())
	if err := c.Freeze(); err != nil {
		t.Fatal(err)
	}
	if err := nc.FlushTimeout(200 * time.Millisecond); err == nil {
		t.Error("a frozen server answered")
	}
	if err := c.Thaw(); err != nil {
		t.Fatal(err)
	}
	if err := nc.FlushTimeout(10 * time.Second); err != nil {
		t.Error(err)
	}
}

func TestChildReportsWhyItCannotStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	child(t, natsd.Config{Port: -1, StoreDir: dir})
	if _, err := natsd.StartChild(bounded(t, 30*time.Second), natsd.Config{Port: -1, StoreDir: dir}); !errors.Is(err, natsd.ErrStoreInUse) {
		t.Errorf("a second child on the store: %v", err)
	}
	taken := run(t, natsd.Config{})
	if _, err := natsd.StartChild(bounded(t, 30*time.Second), natsd.Config{Port: taken.Port(), StoreDir: t.TempDir()}); !errors.Is(err, natsd.ErrPortTaken) {
		t.Errorf("a child on a taken port: %v", err)
	}
}

func TestClosedChildLeavesNoProcess(t *testing.T) {
	t.Parallel()
	c := child(t, natsd.Config{Port: -1, StoreDir: t.TempDir()})
	pid := c.PID()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if p, err := os.FindProcess(pid); err == nil && p.Signal(syscall.Signal(0)) == nil {
		t.Errorf("process %d still runs", pid)
	}
	if err := c.Freeze(); err == nil {
		t.Error("a closed child could be frozen")
	}
}

func TestClusterSurvivesOneNode(t *testing.T) {
	t.Parallel()
	ctx := bounded(t, 90*time.Second)
	c, err := natsd.StartCluster(ctx, 3, t.TempDir(), natsd.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	js := stream(t, dial(t, c.URL()), 3)
	publish(ctx, t, js, 20)
	leader, err := c.WaitLeader(ctx, "S")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Stop(ctx, leader); err != nil {
		t.Fatal(err)
	}
	publish(ctx, t, js, 20)
	if err := c.Start(leader); err != nil {
		t.Fatal(err)
	}
	if err := c.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	wantAtLeast(t, js, 40)
}

func TestChildClusterSurvivesKilledLeader(t *testing.T) {
	t.Parallel()
	ctx := bounded(t, 120*time.Second)
	c, err := natsd.StartChildCluster(ctx, 3, t.TempDir(), natsd.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	js := stream(t, dial(t, c.URL()), 3)
	publish(ctx, t, js, 20)
	leader, err := c.WaitLeader(ctx, "S")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Node(leader).Kill(); err != nil {
		t.Fatal(err)
	}
	publish(ctx, t, js, 20)
	if err := c.Node(leader).Restart(ctx); err != nil {
		t.Fatal(err)
	}
	if err := c.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	if next, err := c.WaitLeader(ctx, "S"); err != nil || next == leader {
		t.Errorf("the killed node %d leads again at once (now %d, %v)", leader, next, err)
	}
	wantAtLeast(t, js, 40)
}

// wantAtLeast allows more than n: a publish whose acknowledgement was lost is
// repeated.
func wantAtLeast(t *testing.T, js jetstream.JetStream, n uint64) {
	t.Helper()
	if got := stored(t, js); got < n {
		t.Errorf("the stream has %d messages, want at least %d", got, n)
	}
}
