package flow_test

import (
	"fmt"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/flow"
)

// A partition whose key names a worker that lives but does not have it, as when the
// key could not be freed at a hand-over, does not stay without an owner.
func TestAPartitionThatNobodyHasFindsItsOwner(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	def := steps("three", 3, &book{})
	w.work(def)
	w.work(def)
	w.balanced(2)
	kv, err := w.broker.Dial(t).JetStream().KeyValue(within(t), contract.FlowLeaseKV)
	if err != nil {
		t.Fatal(err)
	}
	owner := func(p int) jetstream.KeyValueEntry {
		entry, err := kv.Get(within(t), fmt.Sprintf("%s.p.%d", service, p))
		if err != nil {
			t.Fatal(err)
		}
		return entry
	}
	first := owner(0).Value()
	for p := range 16 { // the owner of partition 0 gets its name on all others
		if _, err := kv.Put(within(t), fmt.Sprintf("%s.p.%d", service, p), first); err != nil {
			t.Fatal(err)
		}
	}
	bustest.Eventually(t, patience, func() bool {
		mine := 0
		for p := range 16 {
			entry, err := kv.Get(within(t), fmt.Sprintf("%s.p.%d", service, p))
			if err == nil && string(entry.Value()) == string(first) {
				mine++
			}
		}
		return mine == 8
	}, "an even share for both")
	w.balanced(2)
	for i := range 32 {
		id := fmt.Sprint("after-", i)
		if _, err := flow.Do(within(t), w.client, def, id, args{"x"}); err != nil {
			t.Fatalf("flow %s: %v", id, err)
		}
	}
}
