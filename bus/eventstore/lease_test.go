package eventstore

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ordermesh/ordermesh/bus/contract"
)

func TestWhatALeaderSaysOfTheOthers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		reply string
		want  time.Duration
	}{
		{`{"config":{"num_replicas":1}}`, aloneFor},
		{`{"config":{"num_replicas":3},"cluster":{"replicas":[{"active":1000000000},{"active":500000000}]}}`, 3 * time.Second},
		{`{"config":{"num_replicas":3},"cluster":{"replicas":[{"active":1000000000},{"active":60000000000}]}}`, 2500 * time.Millisecond},
		{`{"config":{"num_replicas":3},"cluster":{"replicas":[{"active":3600000000},{"active":60000000000}]}}`, 0},
		{`{"config":{"num_replicas":3},"cluster":{"replicas":[{"active":0},{"active":0}]}}`, 0}, // not heard of yet
		{`{"config":{"num_replicas":3},"cluster":{"replicas":[]}}`, 0},
		{`{"config":{"num_replicas":5},"cluster":{"replicas":[{"active":1000000000},{"active":9000000000},{"active":2000000000},{"active":0}]}}`, 1500 * time.Millisecond},
		{`{"config":{"num_replicas":5},"cluster":{"replicas":[{"active":1000000000},{"active":0},{"active":0},{"active":0}]}}`, 0},
	} {
		var info leaderInfo
		if err := contract.UnmarshalLenient([]byte(c.reply), &info); err != nil {
			t.Fatal(err)
		}
		if got := info.lasts(); got != c.want {
			t.Errorf("%s: %v, want %v", c.reply, got, c.want)
		}
	}
}

// A lease is taken once for many reads, renewed beside them, and over with its time or
// with its connection.
func TestALeaseIsRenewedAndEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		asked, lost, lasts := 0, uint64(0), 3*time.Second
		var answer error
		l := &lease{lost: func() uint64 { return lost }, ask: func(context.Context) (time.Duration, error) {
			asked++
			return lasts, answer
		}}
		pass := func(d time.Duration) { <-time.After(d) } // in the bubble: no time passes
		expect := func(what string, questions int, want error) {
			t.Helper()
			err := l.take(t.Context())
			if err == nil {
				err = l.covers()
			}
			synctest.Wait()
			if !errors.Is(err, want) || asked != questions {
				t.Errorf("%s: %v after %d questions, want %v after %d", what, err, asked, want, questions)
			}
		}
		if l.covers() == nil {
			t.Error("a lease that nobody took covers a read")
		}
		expect("the first read", 1, nil)
		expect("another", 1, nil)
		pass(2 * time.Second)
		expect("a read near the end", 2, nil)
		expect("the next one", 2, nil)
		lost++
		expect("after another connection", 3, nil)
		lasts = 0
		pass(2 * time.Second)
		expect("a leader alone, within the old lease", 4, nil)
		pass(2 * time.Second)
		expect("a leader alone", 5, errCutOff)
		answer = errors.New("no answer")
		expect("no leader", 6, answer)
		answer, lasts = nil, 3*time.Second
		expect("a leader again", 7, nil)
		if err := l.take(t.Context()); err != nil {
			t.Fatal(err)
		}
		pass(4 * time.Second)
		if !errors.Is(l.covers(), errCutOff) {
			t.Error("an answer that took longer than the lease is covered")
		}
	})
}
