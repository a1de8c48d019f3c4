package chaos

import (
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// P8: a mesh with a million events in one stream is killed under load and started again.
// The figures are how long it is away.
func TestRestartWithAMillionEvents(t *testing.T) {
	t.Parallel()
	scale := ScaleFromEnv()
	if scale == Short {
		t.Skip("writes a million events: MESH_CHAOS=ci runs it")
	}
	r := newRig(t, Plain)
	r.up()
	r.stock(5, 1_000_000)
	r.fill(scale.pick(0, 1_000_000, 10_000_000))
	l := r.shape(Load{Name: "order", Orders: 400, Clients: 32, Mix: everything, CancelDelay: 50 * time.Millisecond, Gate: NewGate()})
	wait := r.load(l)
	kill := func() error {
		r.mesh.Kill()
		return nil
	}
	restarts, err := killUnderLoad(t.Context(), r.mesh, r.ledger, l, 3, kill)
	if err != nil {
		t.Fatal(err)
	}
	if err := wait(); err != nil {
		t.Fatal(err)
	}
	fold := NewFold()
	if err := fold.Finish(t.Context(), r.client.JetStream(), time.Minute); err != nil {
		t.Error(err)
	}
	for _, b := range fold.Broken(r.ledger.Entries()) {
		t.Error(b)
	}
	report(t, restarts)
	t.Log("promised: first answer after at most 5s")
}

// fill writes so many more events to the stream of the catalog: ten prices each of many
// products, in the form of the one that is there.
func (r *rig) fill(events int) {
	r.Helper()
	const prices, inFlight = 10, 4_000
	ctx, js := r.Context(), r.client.JetStream()
	stream, err := js.Stream(ctx, "CATALOG")
	if err != nil {
		r.Fatal(err)
	}
	model, err := stream.GetLastMsgForSubject(ctx, "evt.product."+r.skus[0])
	if err != nil {
		r.Fatal(err)
	}
	info, err := stream.Info(ctx)
	if err != nil {
		r.Fatal(err)
	}
	begun, base, products := time.Now(), info.State.LastSeq, uint64(events/prices)
	async, err := jetstream.New(r.client.NATS(), jetstream.WithPublishAsyncMaxPending(inFlight))
	if err != nil {
		r.Fatal(err)
	}
	for i := range uint64(events) {
		version := i/products + 1
		m := &nats.Msg{Subject: "evt.product.MANY-" + strconv.FormatUint(i%products, 10), Data: model.Data, Header: nats.Header{}}
		m.Header.Set(contract.HeaderVersion, strconv.FormatUint(version, 10)+"-"+strconv.FormatUint(version, 10))
		if version > 1 {
			m.Header.Set(contract.HeaderPrev, strconv.FormatUint(base+1+i-products, 10))
		}
		if _, err := async.PublishMsgAsync(m, jetstream.WithStallWait(time.Minute)); err != nil {
			r.Fatal(err)
		}
	}
	select {
	case <-async.PublishAsyncComplete():
	case <-ctx.Done():
		r.Fatal(ctx.Err())
	}
	if info, err = stream.Info(ctx); err != nil || info.State.LastSeq < base+uint64(events) {
		r.Fatalf("the stream has not all events: %+v, %v", info, err)
	}
	r.Logf("%d events of %d products written in %v", events, products, time.Since(begun).Round(time.Second))
}
