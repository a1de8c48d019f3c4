package event_test

import (
	"bytes"
	"maps"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
)

// A message as large as the server takes leaves no room for what a dead letter adds.
func TestPoisonOfAnySizeBecomesADeadLetter(t *testing.T) {
	t.Parallel()
	conn := bustest.New(t, bustest.WithServices(counting))
	w := newWriter(conn)
	ours := nats.Header{contract.HeaderVersion: {"1-1"}, contract.HeaderPrev: {"0"}, contract.HeaderSnap: {"0"}}
	large := &nats.Msg{Subject: "evt.counter.large", Header: ours, Data: bytes.Repeat([]byte("x"), int(conn.NATS().MaxPayload())-200)}
	w.publish(t, large, bus.NoExpectation)
	long := nats.Header{"Long": {string(bytes.Repeat([]byte("x"), 63<<10))}}
	maps.Copy(long, ours)
	w.publish(t, &nats.Msg{Subject: "evt.counter.long", Header: long, Data: []byte("{")}, bus.NoExpectation)
	w.add(t, "good", 1)
	var got seen
	start(t, conn, got.done)
	got.wait(t, 1)
	subjects := map[string]bool{}
	for _, l := range letters(t, conn, 2) {
		subjects[l.Subject] = true
	}
	if !subjects["evt.counter.large"] || !subjects["evt.counter.long"] {
		t.Errorf("letters of %v", subjects)
	}
	settled(t, conn)
}
