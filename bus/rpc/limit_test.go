package rpc

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ordermesh/ordermesh/bus/telemetry"
)

// mill is a limiter whose handlers share two processors in a time of its own.
type mill struct {
	limiter
	waits float64 // goroutines for a processor
	at    time.Duration
}

func newMill(most int) *mill {
	m := &mill{}
	m.limiter = limiter{
		now: min(startingHands*2, most), least: 2, most: most, processors: 2, measures: true, contended: true,
		waiting: func() float64 { return m.waits },
	}
	return m
}

// run lets as many handlers as may run do so over and over: each computes and waits so
// long. What they take follows from how many share the processors.
func (m *mill) run(e *endpoint, rounds int, computed, waited time.Duration) {
	for range rounds {
		n := m.now
		took := max(computed+waited, time.Duration(n)*computed/2)
		m.waits = max(0, float64(n)*(1-float64(waited)/float64(took))-2)
		m.at += max(took, lookEvery)
		m.look(m.at, took)
		for i := range n {
			m.served(e, timing{took: took, ended: m.at, sampled: i == 0, computed: computed}, n-i)
		}
	}
}

// TestComputingHandlersAreAsManyAsProcessors: from the first requests on, and however many
// there may be.
func TestComputingHandlersAreAsManyAsProcessors(t *testing.T) {
	t.Parallel()
	m, e := newMill(256), &endpoint{}
	m.run(e, 3, 10*time.Millisecond, 0)
	for range 50 {
		if m.run(e, 1, 10*time.Millisecond, 0); m.now != 2 {
			t.Fatalf("%d handlers run on two processors", m.now)
		}
	}
	if m.run(e, 300, 10*time.Millisecond, 90*time.Millisecond); m.now < 15 {
		t.Errorf("handlers that have come to wait for nine tenths of their time are %d", m.now)
	}
	if m.run(e, 300, 10*time.Millisecond, 0); m.now > 4 {
		t.Errorf("handlers that compute again are %d", m.now)
	}
}

// TestWaitingHandlersAreMany: as many as there may be when they hardly compute.
func TestWaitingHandlersAreMany(t *testing.T) {
	t.Parallel()
	m, e := newMill(256), &endpoint{}
	if m.run(e, 10, 100*time.Microsecond, 50*time.Millisecond); m.now != 256 {
		t.Errorf("%d handlers run that wait", m.now)
	}
}

// TestHandlersThatHangMakeRoom: when nothing ends any more others are tried, up to all.
func TestHandlersThatHangMakeRoom(t *testing.T) {
	t.Parallel()
	m, e := newMill(64), &endpoint{}
	m.run(e, 20, 10*time.Millisecond, 0)
	m.waits = 0
	for range 20 {
		m.at += lookEvery
		m.look(m.at, 10*time.Millisecond)
	}
	if m.now != 64 {
		t.Errorf("%d handlers run", m.now)
	}
}

// TestAHandlerIsMeasured: what computes is told from what waits.
func TestAHandlerIsMeasured(t *testing.T) {
	t.Parallel()
	if _, _, ok := threadTime(); !ok {
		t.Skip("a thread's processor time cannot be read on this system")
	}
	s := &Server{epoch: time.Now()}
	used := func(work func()) timing {
		e := &endpoint{invoke: func(context.Context, []byte) ([]byte, error) { work(); return nil, nil }}
		var got timing
		j := job{endpoint: e, msg: &nats.Msg{}}
		s.work, s.tel = t.Context(), telemetry.Nop()
		if _, err := s.sampled(j, 0, &got); err != nil || !got.sampled {
			t.Fatalf("%+v %v", got, err)
		}
		return got
	}
	computes := used(func() {
		for began, _, _ := threadTime(); ; {
			if now, _, _ := threadTime(); now-began > 5*time.Millisecond {
				return
			}
		}
	})
	waits := used(func() { <-time.After(20 * time.Millisecond) })
	if computes.computed < 4*time.Millisecond || waits.computed > 10*time.Millisecond {
		t.Errorf("%v of computing, %v of waiting", computes.computed, waits.computed)
	}
}
