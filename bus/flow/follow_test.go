package flow_test

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/flow"
)

// sight is what a follower has told, by instance.
type sight struct {
	mu   sync.Mutex
	last map[string]flow.Glimpse
}

func (s *sight) tell(batch []flow.Glimpse) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range batch {
		s.last[g.Service+"/"+g.Flow+"/"+g.ID] = g
	}
}

func (s *sight) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = map[string]flow.Glimpse{}
}

func (s *sight) statuses() map[string]flow.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := map[string]flow.Status{}
	for key, g := range s.last {
		found[key] = g.Status
	}
	return found
}

func (s *sight) await(t *testing.T, want map[string]flow.Status) {
	t.Helper()
	bustest.Eventually(t, patience, func() bool { return maps.Equal(s.statuses(), want) }, "a follower to see ", fmt.Sprint(want))
}

// follow runs a follower of all services.
func (w *world) follow(t *testing.T) (*sight, *flow.Follower) {
	t.Helper()
	s := &sight{last: map[string]flow.Glimpse{}}
	f := flow.NewFollower(w.broker.Dial(t, bustest.WithService("follower")), contract.EveryService, s.tell, s.forget)
	bustest.Run(t, f)
	return s, f
}

func TestFollow(t *testing.T) {
	t.Parallel()
	bustest.Each(t, testFollow, bustest.WithStreams(streams()...))
}

func testFollow(t *testing.T, b *bustest.Broker) {
	w := worldOn(t, b)
	greet := flow.Define("greet", 3, func(run *flow.Run, in args) (result, error) {
		return flow.Step(run, "say", func(context.Context) (result, error) {
			if in.Text == "" {
				return result{}, contract.NewError(contract.Unprocessable, "mute", "there is nothing to say")
			}
			return result(in), nil
		})
	})
	begin := func(id, text string) {
		t.Helper()
		if _, err := flow.Start(within(t), w.client, greet, id, args{text}); err != nil {
			t.Fatal(err)
		}
	}
	begin("a", "hello")
	early, _ := w.follow(t)
	early.await(t, map[string]flow.Status{"shop/greet/a": flow.Pending})
	w.work(greet)
	begin("b", "")
	want := map[string]flow.Status{"shop/greet/a": flow.Completed, "shop/greet/b": flow.Failed}
	early.await(t, want)

	// What is no start and no journal says nothing.
	nc := w.broker.Dial(t).NATS()
	for _, m := range []*nats.Msg{
		{Subject: contract.FlowLog("shop", "greet", "x"), Data: []byte("not a journal")},
		{Subject: contract.FlowLog("shop", "greet", "y"), Data: []byte(`{"v":99,"flow":"greet","start":1,"status":"running"}`)},
		{Subject: contract.FlowInput("shop", 0, "greet", "z"), Data: []byte(`{}`)},
		{Subject: contract.FlowInput("shop", 0, "greet", "z") + ".more", Header: nats.Header{"Mesh-Kind": {"start"}}},
	} {
		if _, err := nc.RequestMsg(m, patience); err != nil {
			t.Fatal(err)
		}
	}
	late, f := w.follow(t)
	late.await(t, want)
	early.await(t, want)
	bustest.Eventually(t, patience, func() bool {
		behind, known := f.Behind()
		return known && behind == 0
	})
	g := late.last["shop/greet/b"]
	if g.Service != "shop" || g.Flow != "greet" || g.ID != "b" || g.Version != 3 || g.Reason == "" || g.Started.IsZero() || g.Updated.Before(g.Started) {
		t.Errorf("%+v", g)
	}

	// The server, or the leader of three, goes and comes back.
	w.broker.Stop(t, contract.FlowStream)
	w.broker.Start(t)
	bustest.Eventually(t, patience, func() bool {
		_, err := flow.Start(within(t), w.client, greet, "c", args{"again"})
		return err == nil
	})
	want["shop/greet/c"] = flow.Completed
	early.await(t, want)
	late.await(t, want)
}

func TestFollowForgetsAnotherStream(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	greet := flow.Declare[args, result]("greet", 1)
	for _, id := range []string{"a", "b"} {
		if _, err := flow.Start(within(t), w.client, greet, id, args{}); err != nil {
			t.Fatal(err)
		}
	}
	s, _ := w.follow(t)
	s.await(t, map[string]flow.Status{"shop/greet/a": flow.Pending, "shop/greet/b": flow.Pending})
	admin := w.broker.Dial(t)
	if err := admin.JetStream().DeleteStream(within(t), contract.FlowStream); err != nil {
		t.Fatal(err)
	}
	if err := bus.Provision(within(t), admin, streams(), 1); err != nil {
		t.Fatal(err)
	}
	if _, err := flow.Start(within(t), w.client, greet, "c", args{}); err != nil {
		t.Fatal(err)
	}
	s.await(t, map[string]flow.Status{"shop/greet/c": flow.Pending})
}
