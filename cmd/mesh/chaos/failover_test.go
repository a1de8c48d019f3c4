package chaos

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// farTooLong is beyond what is promised for the loss of a leader, 12 s: a loaded machine
// is slow, not wrong.
const farTooLong = 40 * time.Second

// F06: services in processes of their own on three servers take orders at a steady rate
// while the leader of a stream that orders need is killed, again and again: nothing
// acknowledged is lost, and the figures say what customers noticed.
func TestLeadersAreKilledUnderASteadyRate(t *testing.T) {
	t.Parallel()
	scale := ScaleFromEnv()
	if scale == Short {
		t.Skip("three servers and eight services: MESH_CHAOS=ci runs it")
	}
	kills := scale.pick(0, 3, 20)
	perSecond := numberFromEnv(t, "MESH_CHAOS_RATE", scale.pick(0, 50, 200))
	r, servers := newServers(t)
	for _, service := range everyService {
		if _, err := r.mesh.Join(t.Context(), service); err != nil {
			t.Fatal(err)
		}
	}
	r.stock(10, 1_000_000)
	const spell = 20 * time.Second // from one kill to the next
	l := r.shape(Load{Name: "order", Orders: perSecond * int((time.Duration(kills)*spell+10*time.Second)/time.Second)})
	type pulse struct {
		beats []Beat
		err   error
	}
	done := make(chan pulse, 1)
	go func() {
		beats, err := Pulse(t.Context(), l, perSecond, r.client, r.ledger)
		done <- pulse{beats, err}
	}()
	streams := []string{"ORDERS", "FLOW", "INVENTORY"}
	var lost []time.Time
	var failovers []Failover
	for k := range kills {
		if err := r.ledger.Reach(t.Context(), min(l.Orders, perSecond*(10+20*k)*9/10)); err != nil {
			t.Fatal(err)
		}
		stream := streams[k%len(streams)]
		lost = append(lost, time.Now())
		elected := r.killLeaderOf(servers, stream)
		failovers = append(failovers, Failover{Stream: stream, Elected: elected})
	}
	p := <-done
	if p.err != nil {
		t.Fatal(p.err)
	}
	if v := r.clean(2 * time.Minute); v.Orders != l.Orders {
		t.Errorf("%d orders were placed, %d are stored", l.Orders, v.Orders)
	}
	for k, at := range lost {
		until := p.beats[len(p.beats)-1].Due
		if k+1 < len(lost) {
			until = lost[k+1]
		}
		f := judgeFailover(p.beats, at, until)
		f.Stream, f.Elected = failovers[k].Stream, failovers[k].Elected
		failovers[k] = f
		t.Logf("kill %d: %v", k+1, f)
		if f.Gap > farTooLong {
			t.Errorf("kill %d: no order was acknowledged for %v", k+1, f.Gap)
		}
	}
	t.Log(summary(failovers, perSecond))
}

// summary is the worst and the middle of several failovers.
func summary(all []Failover, perSecond int) string {
	of := func(get func(Failover) time.Duration) string {
		var list []time.Duration
		for _, f := range all {
			list = append(list, get(f))
		}
		slices.Sort(list)
		return fmt.Sprintf("median %v, worst %v", list[len(list)/2].Round(time.Millisecond), list[len(list)-1].Round(time.Millisecond))
	}
	return fmt.Sprintf("%d leaders killed at %d orders a second: next leader %s; gap %s (promised 12s); p99 as usual after the gap %s (promised 5s), for good %s",
		len(all), perSecond, of(func(f Failover) time.Duration { return f.Elected }),
		of(func(f Failover) time.Duration { return f.Gap }), of(func(f Failover) time.Duration { return f.Calm }),
		of(func(f Failover) time.Duration { return f.Settled }))
}

func TestFiguresOfAFailover(t *testing.T) {
	t.Parallel()
	zero := time.Unix(1000, 0)
	at := zero.Add
	var beats []Beat
	for i := range 300 { // ten a second for 30 s; lost at 10 s, served again from 16 s on, calm from 18 s
		due := time.Duration(i) * 100 * time.Millisecond
		took := 20 * time.Millisecond
		switch {
		case due >= 10*time.Second && due < 16*time.Second:
			took = 16*time.Second - due
		case due >= 16*time.Second && due < 18*time.Second:
			took = time.Second
		}
		beats = append(beats, Beat{Due: at(due), Acked: at(due + took)})
	}
	f := judgeFailover(beats, at(10*time.Second), at(29*time.Second))
	if f.Before != 20*time.Millisecond || f.Worst != 6*time.Second {
		t.Errorf("before %v, worst %v", f.Before, f.Worst)
	}
	if f.Gap < 6*time.Second || f.Gap > 6100*time.Millisecond {
		t.Errorf("gap %v, want about 6s", f.Gap)
	}
	if f.Calm < 1900*time.Millisecond || f.Calm > 2300*time.Millisecond || f.Settled != f.Calm {
		t.Errorf("calm after %v, for good after %v, want about 2s", f.Calm, f.Settled)
	}
	if got := Percentile(nil, 0.99, zero, zero); got != 0 {
		t.Errorf("nothing took %v", got)
	}
}
