package flow

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestAssignIsBalancedAndSteady(t *testing.T) {
	t.Parallel()
	for n := 1; n <= 20; n++ {
		var workers []string
		for i := range n {
			workers = append(workers, fmt.Sprint("worker-", i, "-of-", n))
		}
		before := assign(workers, 16)
		load := map[string]int{}
		for _, w := range before {
			load[w]++
		}
		for w, l := range load {
			if l > (16+n-1)/n || w == "" {
				t.Errorf("%d workers: %q has %d partitions", n, w, l)
			}
		}
		mixed := slices.Clone(workers)
		slices.Reverse(mixed)
		slices.Sort(mixed)
		if diff := cmp.Diff(before, assign(mixed, 16)); n < 10 && diff != "" {
			t.Errorf("the order of %d workers matters: %s", n, diff)
		}
		moved := 0
		for p, w := range assign(workers[1:], 16) {
			if before[p] != w && before[p] != workers[0] {
				moved++
			}
		}
		if moved > 8 {
			t.Errorf("%d workers: one leaves, and %d partitions of others move", n, moved)
		}
	}
	if got := assign(nil, 3); !slices.Equal(got, []string{"", "", ""}) {
		t.Errorf("without workers: %q", got)
	}
}

// The hash is part of the wire: an inbox that was found once must be found for ever.
func TestPartitionsAreForEver(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]int{"o1": 13, "o2": 0, "k3v5w2q7a4m6x2c3z5y7b2d4f6": 10} {
		if got := partitionOf("checkout", id, 16); got != want {
			t.Errorf("%s is in partition %d, it was in %d", id, got, want)
		}
	}
	count := make([]int, 16)
	for i := range 16000 {
		count[partitionOf("checkout", fmt.Sprint("order-", i), 16)]++
	}
	for p, c := range count {
		if c < 800 || c > 1200 {
			t.Errorf("partition %d has %d of 16000", p, c)
		}
	}
}

// A view that has stalled judges nobody.
func TestOnlyAFreshViewJudges(t *testing.T) {
	t.Parallel()
	m := newMembers(&leases{service: "shop"}, "me", 4)
	now := time.Now()
	m.seen = map[string]time.Time{"me": now, "quick": now.Add(-lapse + time.Millisecond), "dead": now.Add(-lapse)}
	m.owners = []lease{{owner: "me"}, {owner: "quick"}, {owner: "dead"}, {}}
	if !m.fresh(now) || m.fresh(now.Add(freshView)) {
		t.Error("fresh is wrong")
	}
	for p, want := range []bool{true, false, true, true} {
		if m.claimable(p, now) != want {
			t.Errorf("claimable(%d) is %v", p, !want)
		}
	}
	if plan := m.plan(now); slices.Contains(plan, "dead") || !slices.Contains(plan, "quick") {
		t.Errorf("plan %q", plan)
	}
	m.leaving["quick"] = true
	if plan := m.plan(now); slices.Contains(plan, "quick") {
		t.Errorf("plan %q for one that leaves", plan)
	}
}
