package sandbox

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/embedded/natsd"
)

// A book whose stream has no leader is unavailable, and nobody waits for it for ever:
// the server does not answer such a read at all.
func TestABookWithoutALeaderIsUnavailable(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	servers, err := natsd.StartCluster(ctx, 3, t.TempDir(), natsd.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = servers.Shutdown(context.Background()) }()
	if err := servers.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	conn, err := bus.Dial(ctx, bus.Config{URL: servers.URL(), Service: "carrier"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	specs := contract.Streams(contract.Service{Name: "carrier", Books: []string{"test_book"}})
	if err := bus.Provision(ctx, conn, specs, 3); err != nil {
		t.Fatal(err)
	}
	b := newBook(conn, "test_book")
	if _, err := b.create(ctx, "k", map[string]int{"n": 1}); err != nil {
		t.Fatal(err)
	}
	leader, err := servers.WaitLeader(ctx, "KV_test_book")
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range []int{leader, (leader + 1) % 3} { // one is left, and never leads alone
		if err := servers.Stop(ctx, i); err != nil {
			t.Fatal(err)
		}
	}
	bustest.Eventually(t, time.Minute, conn.NATS().IsConnected, "the connection to the server that is left")
	asked := make(chan error, 1)
	go func() {
		var record map[string]int
		_, err := b.ask(context.WithoutCancel(ctx), "k", &record)
		asked <- err
	}()
	select {
	case err := <-asked:
		if !errors.Is(err, contract.ErrUnavailable) {
			t.Errorf("got %v, want unavailable", err)
		}
	case <-ctx.Done():
		t.Error("the read is never answered")
	}
}
