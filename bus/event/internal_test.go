package event

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
)

func TestGateClosesProbesAndOpens(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g, quit := newGate(), make(chan struct{})
		for range gateLimit {
			g.enter(quit)
			g.leave(true)
		}
		begin := time.Now()
		if !g.enter(quit) || time.Since(begin) != gatePauseMin {
			t.Errorf("the first probe came after %v", time.Since(begin))
		}
		through := make(chan struct{})
		go func() {
			g.enter(quit)
			close(through)
		}()
		synctest.Wait()
		select {
		case <-through:
			t.Error("a second delivery came through beside the probe")
		default:
		}
		g.leave(true) // the pause doubles
		<-through
		if d := time.Since(begin); d != 3*gatePauseMin {
			t.Errorf("the second probe came after %v", d)
		}
		if !g.leave(false) || g.closed.Load() {
			t.Error("the gate did not open")
		}
		for range gateLimit {
			g.leave(true)
		}
		close(quit)
		if g.enter(quit) {
			t.Error("a closed gate let something through at the end")
		}
	})
}

func TestUnavailable(t *testing.T) {
	t.Parallel()
	for _, err := range []error{
		contract.ErrUnavailable, contract.ErrDeadline, contract.ErrExhausted, nats.ErrNoResponders, bus.ErrNoStream,
		bus.ErrUnknown, fmt.Errorf("call: %w", context.DeadlineExceeded),
	} {
		if !unavailable(err) {
			t.Errorf("%v does not count as unavailable", err)
		}
	}
	for _, err := range []error{nil, errors.New("x"), contract.ErrInternal, contract.ErrInvalid, bus.ErrConflict} {
		if unavailable(err) {
			t.Errorf("%v counts as unavailable", err)
		}
	}
}

func TestBackoffGrowsToItsCap(t *testing.T) {
	t.Parallel()
	c := &core{opts: options{backoffMin: 100 * time.Millisecond, backoffMax: time.Second}}
	for n, want := range map[int]time.Duration{1: 100 * time.Millisecond, 2: 200 * time.Millisecond, 4: 800 * time.Millisecond, 5: time.Second, 1000: time.Second} {
		if got := c.backoff(n); got < want*3/4 || got > want*5/4 {
			t.Errorf("after %d failures %v, want about %v", n, got, want)
		}
	}
}

func TestLanesAfterATakeOver(t *testing.T) {
	t.Parallel()
	now := time.Now()
	first := func(seq, previous uint64) *delivery {
		return &delivery{sequence: seq, previous: previous, entity: "e", attempt: 1}
	}
	again := func(seq, previous uint64) *delivery {
		d := first(seq, previous)
		d.attempt = 2
		return d
	}
	type step struct {
		add   *delivery
		done  *delivery
		floor uint64
		at    time.Duration
		want  uint64 // sequence that may run now, 0 for none
	}
	a10, a20, a30, n40 := again(10, 5), again(20, 10), again(30, 20), first(40, 30)
	for name, steps := range map[string][]step{
		"new before old": {{add: n40}, {add: a30}, {add: a20}, {add: a10}, {floor: 9, want: 10}, {done: a10, want: 20}, {done: a20, want: 30}, {done: a30, want: 40}},
		"acknowledged":   {{add: n40}, {floor: 29}, {floor: 30, want: 40}},
		"time runs out":  {{add: n40}, {at: 2 * time.Minute, want: 40}},
		"all new":        {{add: first(39, 0), want: 39}, {done: first(39, 0)}, {add: first(41, 39), want: 41}, {add: first(42, 41)}, {done: first(41, 39), want: 42}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLanes()
			l.takeOver(now.Add(time.Minute))
			for i, s := range steps {
				var got *delivery
				switch {
				case s.add != nil:
					copied := *s.add
					got = l.add(&copied)
				case s.done != nil:
					got = l.done(s.done)
				default:
					if r := l.settle(s.floor, now.Add(s.at)); len(r) > 0 {
						got = r[0]
					}
				}
				sequence := uint64(0)
				if got != nil {
					sequence = got.sequence
				}
				if sequence != s.want {
					t.Fatalf("step %d: %d may run, want %d", i, sequence, s.want)
				}
			}
		})
	}
}

type nothing interface{ nothing() }

func TestAStallIsSeenAndEndsWithANewPull(t *testing.T) {
	t.Parallel()
	info := contract.NewEvents[nothing]("s", "S", "thing").Info()
	conn := bustest.New(t, bustest.WithServices(contract.Service{Name: "s", Appends: []contract.EventsInfo{info}}))
	opts, err := buildOptions(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := newCore(conn, info, "stalled", opts) // nobody pulls
	if err := c.ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	var s stallCheck
	look := func() float64 {
		c.lookForStall(t.Context(), &s)
		return value(t, c.metrics.restarts)
	}
	if look(); look() != 0 {
		t.Error("an empty stream counts as a stall")
	}
	if _, err := conn.Appender().Append(t.Context(), &nats.Msg{Subject: "evt.thing.a"}, 0); err != nil {
		t.Fatal(err)
	}
	if look() != 0 {
		t.Error("the first look counts as a stall already")
	}
	bustest.Eventually(t, 10*time.Second, func() bool { return look() == 1 }, "a later look to see the stall")
}

func value(t *testing.T, c prometheus.Counter) float64 {
	t.Helper()
	var m dto.Metric
	if err := c.Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetCounter().GetValue()
}

func TestMemoryForgetsTheOlderHalf(t *testing.T) {
	t.Parallel()
	var m memory
	for i := range uint64(memoryHalf + 1) {
		m.remember(&delivery{sequence: i, failures: 3, next: 1})
	}
	d := &delivery{sequence: 0}
	if m.recall(d); d.failures != 3 || d.next != 1 {
		t.Error("the older half is forgotten too early")
	}
	for i := range uint64(memoryHalf) {
		m.remember(&delivery{sequence: memoryHalf + 1 + i})
	}
	if m.recall(d); d.failures != 0 {
		t.Error("nothing is ever forgotten")
	}
}

func FuzzOpen(f *testing.F) {
	f.Add("evt.thing.a", "1-1", "0", "who=x", []byte(`{"v":1,"events":[{"id":"e","type":"t","command":"c","at":"2024-01-01T00:00:00Z","data":{}}]}`))
	f.Add("evt.thing.a", "1-18446744073709551615", "0", "", []byte(`{"v":1,"events":[{}]}`))
	f.Add("evt.thing.*", "", "", "%", []byte(`{`))
	info := contract.NewEvents[nothing]("s", "S", "thing").Info()
	f.Fuzz(func(t *testing.T, subject, version, previous, actor string, body []byte) {
		m := &nats.Msg{Subject: subject, Data: body, Header: nats.Header{
			contract.HeaderVersion: {version}, contract.HeaderPrev: {previous}, contract.HeaderSnap: {"0"}, contract.HeaderActor: {actor},
		}}
		c, err := open(info, m)
		if err != nil {
			return
		}
		if !contract.ValidID(c.id) || len(c.body.Events) == 0 || c.header.Last-c.header.First+1 != uint64(len(c.body.Events)) {
			t.Errorf("taken: %q %+v with %d events", c.id, c.header, len(c.body.Events))
		}
	})
}
