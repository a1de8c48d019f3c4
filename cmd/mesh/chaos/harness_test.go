package chaos

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestPlanDependsOnTheSeedAlone(t *testing.T) {
	t.Parallel()
	load := Load{Name: "x", SKUs: []string{"A", "B", "C"}, Seed: 7, CancelDelay: time.Second,
		Mix: Mix{Declined: 20, Flaky: 20, Timeout: 20, Cancel: 50}}
	tokens, cancelled := map[string]int{}, 0
	for i := range 400 {
		p := load.plan(i)
		if diff := cmp.Diff(p, load.plan(i), cmp.AllowUnexported(plan{})); diff != "" {
			t.Fatalf("order %d differs: %s", i, diff)
		}
		tokens[p.order.Payment.Token]++
		if p.cancel >= 0 {
			cancelled++
		}
	}
	for _, token := range []string{tokOK, tokDeclined, tokFlaky, tokTimeout} {
		if tokens[token] < 40 {
			t.Errorf("only %d orders of 400 pay with %s", tokens[token], token)
		}
	}
	if cancelled < 100 || cancelled > 300 {
		t.Errorf("%d orders of 400 are cancelled, want about half", cancelled)
	}
}

func TestBrokenPromisesAreNamed(t *testing.T) {
	t.Parallel()
	fold := NewFold()
	fold.Orders["under-way"] = &Outcome{Types: []string{"order.placed.v1"}}
	fold.Orders["delivered"] = &Outcome{Types: []string{"order.placed.v1", "order.delivered.v1"}}
	fold.Orders["cancelled"] = &Outcome{Types: []string{"order.placed.v1", "order.cancelled.v1"}, Reason: "out_of_stock"}
	for _, c := range []struct {
		entry Entry
		want  string // part of the sentence, "" for none
	}{
		{Entry{OrderID: "lost"}, "not stored"},
		{Entry{OrderID: "under-way"}, "never ended"},
		{Entry{OrderID: "delivered", Token: tokDeclined}, "without being paid"},
		{Entry{OrderID: "delivered", Asked: true, Cancelled: true}, "its cancellation was acknowledged"},
		{Entry{OrderID: "cancelled", Token: tokOK}, "no reason of the customer: out_of_stock"},
		{Entry{OrderID: "cancelled", Token: tokOK, Scarce: true}, ""},
		{Entry{OrderID: "cancelled", Token: tokDeclined}, ""},
		{Entry{OrderID: "cancelled", Token: tokOK, Asked: true, Cancelled: true}, ""},
		{Entry{OrderID: "delivered", Token: tokOK}, ""},
		{Entry{OrderID: "delivered", Token: tokOK, Asked: true}, ""},
	} {
		got := fold.Broken([]Entry{c.entry})
		if (c.want == "") != (len(got) == 0) || (c.want != "" && !strings.Contains(got[0], c.want)) {
			t.Errorf("%+v: %q, want %q", c.entry, got, c.want)
		}
	}
}

func TestPassedPoints(t *testing.T) {
	t.Parallel()
	log := "failpoint: b.stored\n{\"msg\":\"failpoint: no\"}\nfailpoint: a.sent\nfailpoint: b.stored\n"
	points := passedPoints(log)
	want := []Point{{"a.sent", 1}, {"b.stored", 2}}
	if !slices.Equal(points, want) {
		t.Errorf("points %v, want %v", points, want)
	}
	if got := mergePoints(points, []Point{{"a.sent", 4}}); !slices.Equal(got, []Point{{"a.sent", 5}, {"b.stored", 2}}) {
		t.Errorf("merged %v", got)
	}
	for _, c := range []struct {
		passed, want int
		hits         []int
	}{{1, 5, []int{1}}, {9, 1, []int{1}}, {9, 3, []int{1, 5, 9}}, {2, 3, []int{1, 2}}} {
		if got := hitsOf(Point{Passed: c.passed}, c.want); !slices.Equal(got, c.hits) {
			t.Errorf("%d hits of %d: %v, want %v", c.want, c.passed, got, c.hits)
		}
	}
}

func TestLedgerRefusesOneOrderForTwoKeys(t *testing.T) {
	t.Parallel()
	ledger, err := NewLedger(filepath.Join(t.TempDir(), "ledger"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ledger.Close() }()
	if err := ledger.Placed(Entry{OrderID: "o1", Key: "k1"}); err != nil {
		t.Fatal(err)
	}
	if err := ledger.Placed(Entry{OrderID: "o1", Key: "k2"}); err == nil {
		t.Error("the second key got the same order without an error")
	}
	if err := ledger.Cancel("o2", true); err == nil {
		t.Error("an order that was never acknowledged can be cancelled")
	}
	if err := ledger.Reach(t.Context(), 1); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := ledger.Reach(ctx, 2); !errors.Is(err, context.Canceled) {
		t.Errorf("waiting for more than there is: %v", err)
	}
}

func TestKilledProcessTakesItsGroupAlong(t *testing.T) {
	t.Parallel()
	p, err := launch("child", "/bin/sh", []string{"-c", `sleep 600 & echo '{"ready":true}'; wait`}, nil, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	if err := p.await(t.Context()); err != nil {
		t.Fatal(err)
	}
	group := p.cmd.Process.Pid
	p.kill()
	if err := gone(t.Context(), group); err != nil {
		t.Error(err)
	}
}

// gone waits until no process of a group is left; one that was orphaned may still
// wait for its new parent to look.
func gone(ctx context.Context, group int) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		err := syscall.Kill(-group, 0)
		if errors.Is(err, syscall.ESRCH) {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.Join(errors.New("the group is still there"), err, ctx.Err())
		}
	}
}

func TestExitBeforeReady(t *testing.T) {
	t.Parallel()
	p, err := launch("child", "/bin/sh", []string{"-c", "echo nonsense; exit 3"}, nil, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	if err := p.await(t.Context()); !errors.Is(err, ErrExited) || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("awaiting a child that ends: %v", err)
	}
	p.kill() // of a process that is gone: returns
}
