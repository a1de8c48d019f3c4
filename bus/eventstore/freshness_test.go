package eventstore_test

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/eventstore"
)

func TestAnOldCacheNeitherRefusesNorReads(t *testing.T) {
	eachLog(t, func(t *testing.T, open func() eventstore.Log) {
		t.Helper()
		ours, theirs := newCounters(open()), newCounters(open())
		do(t, ours, "a", "limit", command{limit: 1})
		do(t, ours, "a", "full", command{add: 1})
		do(t, theirs, "a", "raise", command{limit: 2})
		if c, _, err := ours.Do(t.Context(), "a", "more", command{add: 1}); err != nil || c.N != 2 {
			t.Errorf("refused from memory: %+v, %v", c, err)
		}
		do(t, theirs, "a", "raise-again", command{limit: 5})
		if c, v := get(t, ours, "a"); c.Limit != 5 || v != 5 {
			t.Errorf("read from memory: %+v at %d", c, v)
		}
		do(t, theirs, "a", "note", command{note: "x"})
		if c, v := do(t, ours, "a", "idle", command{}); c.Note != "x" || v != 6 {
			t.Errorf("nothing to do from memory: %+v at %d", c, v)
		}
		do(t, theirs, "a", "note-2", command{note: "y"})
		if c, v := do(t, ours, "a", "full", command{add: 1}); c.Note != "y" || v != 2 {
			t.Errorf("repeated from memory: %+v at %d", c, v)
		}
		do(t, theirs, "a", "elsewhere", command{add: 1})
		if _, v := do(t, ours, "a", "elsewhere", command{add: 1}); v != 8 {
			t.Errorf("what another process did is done twice, version %d", v)
		}
		wantCounter(t, ours, open(), "a", 3, 8)
	})
}

func TestReadersShareOneLookAtTheLog(t *testing.T) {
	t.Parallel()
	s, started, letGo := blocked(eventstore.NewMemoryLog())
	e := newCounters(s)
	var wait sync.WaitGroup
	wait.Go(func() { do(t, e, "a", "", command{add: 1}) })
	<-started
	for range 20 {
		wait.Go(func() {
			if c, _ := get(t, e, "a"); c.N != 1 {
				t.Errorf("read %+v", c)
			}
		})
		wait.Go(func() { do(t, e, "a", "idle", command{}) })
	}
	waitQueued(t, e, "a", 40)
	close(letGo)
	wait.Wait()
	if appends, reads := s.counts(); appends != 1 || reads != 1 {
		t.Errorf("%d appends and %d reads, want 1 each", appends, reads)
	}
}

// A read that began before a request arrived must not answer it.
func TestALookAtTheLogServesOnlyWhoWaitedBefore(t *testing.T) {
	t.Parallel()
	log := eventstore.NewMemoryLog()
	s := &script{Log: log}
	e, other := newCounters(s), newCounters(log)
	do(t, e, "a", "", command{add: 1})
	looking, goOn := make(chan struct{}), make(chan struct{})
	var once sync.Once
	s.onLast = func() { once.Do(func() { close(looking); <-goOn }) }
	var wait sync.WaitGroup
	answered := make(chan struct{})
	wait.Go(func() {
		get(t, e, "a")
		close(answered)
	})
	select {
	case <-looking:
	case <-answered:
		t.Fatal("a read was answered without a look at the log")
	}
	do(t, other, "a", "", command{add: 1})
	wait.Go(func() {
		if c, _ := get(t, e, "a"); c.N != 2 {
			t.Errorf("read %+v after 2 was acknowledged", c)
		}
	})
	waitQueued(t, e, "a", 1)
	close(goOn)
	wait.Wait()
	if _, reads := s.counts(); reads != 2 {
		t.Errorf("%d reads, want 2", reads)
	}
}

// 50 writers on one entity, each a process of its own with its own cache.
func TestManyWritersOneEntity(t *testing.T) {
	eachLog(t, func(t *testing.T, open func() eventstore.Log) {
		t.Helper()
		const writers, each = 50, 4
		log := open()
		var wait sync.WaitGroup
		seen := make([]atomic.Int64, writers*each+1)
		for w := range writers {
			e := newCounters(log)
			wait.Go(func() {
				for i := range each {
					_, v := do(t, e, "a", strconv.Itoa(w)+"-"+strconv.Itoa(i), command{add: 1})
					seen[v].Add(1)
				}
			})
		}
		wait.Wait()
		for v := 1; v <= writers*each; v++ {
			if seen[v].Load() != 1 {
				t.Errorf("version %d was answered %d times", v, seen[v].Load())
			}
		}
		wantCounter(t, newCounters(log), open(), "a", writers*each, writers*each)
	})
}

// Many callers of a few entities through two processes, with every command sent
// twice, as a client does that lost the answer.
func TestManyCallersManyEntities(t *testing.T) {
	eachLog(t, func(t *testing.T, open func() eventstore.Log) {
		t.Helper()
		const entities, callers, each = 4, 16, 25
		processes := []*counters{newCounters(open(), eventstore.WithCache(2)), newCounters(open())}
		var wait sync.WaitGroup
		for w := range callers {
			wait.Go(func() {
				for i := range each {
					id, commandID := strconv.Itoa((w+i)%entities), strconv.Itoa(w)+"-"+strconv.Itoa(i)
					_, first := do(t, processes[w%2], id, commandID, command{add: 1})
					if _, again := do(t, processes[(w+1)%2], id, commandID, command{add: 1}); again != first {
						t.Errorf("%s: version %d, then %d", commandID, first, again)
					}
				}
			})
		}
		wait.Wait()
		for id := range entities {
			wantCounter(t, processes[0], open(), strconv.Itoa(id), callers*each/entities, callers*each/entities)
		}
	})
}

func TestTheCacheIsBounded(t *testing.T) {
	t.Parallel()
	log := eventstore.NewMemoryLog()
	e := newCounters(log, eventstore.WithCache(100))
	var wait sync.WaitGroup
	for w := range 8 {
		wait.Go(func() {
			for i := range 100 {
				do(t, e, strconv.Itoa(w*100+i), "c", command{add: 1})
			}
		})
	}
	wait.Wait()
	if n := eventstore.Cached(e); n > 100 || n < 50 {
		t.Errorf("%d entities in memory, want at most 100 and not few", n)
	}
	for i := range 800 {
		if _, v := do(t, e, strconv.Itoa(i), "c", command{add: 1}); v != 1 {
			t.Fatalf("entity %d is at version %d after it was forgotten and asked again", i, v)
		}
	}
}

func TestAReadThatFailsIsTriedAgain(t *testing.T) {
	t.Parallel()
	log := eventstore.NewMemoryLog()
	do(t, newCounters(log), "a", "", command{add: 1})
	flaky := &flakyReads{Log: log}
	flaky.left.Store(5)
	e := newCounters(flaky)
	if c, _ := get(t, e, "a"); c.N != 1 {
		t.Errorf("read %+v", c)
	}
	flaky.left.Store(1 << 40)
	ctx, cancel := context.WithCancel(t.Context())
	flaky.onFailure = cancel
	if _, _, err := e.Get(ctx, "a"); !errors.Is(err, contract.ErrUnavailable) {
		t.Errorf("no answer from the log: %v", err)
	}
	if _, _, err := e.Do(t.Context(), "a", "", command{add: 1}); err != nil {
		t.Errorf("an append needs no read of what is known: %v", err)
	}
}

type flakyReads struct {
	eventstore.Log
	left      atomic.Int64
	onFailure func()
}

func (f *flakyReads) Last(ctx context.Context, subject string) (eventstore.Message, error) {
	if f.left.Add(-1) >= 0 {
		if f.onFailure != nil {
			f.onFailure()
		}
		return eventstore.Message{}, errors.New("no answer")
	}
	return f.Log.Last(ctx, subject)
}

func TestAPeekReadsNothing(t *testing.T) {
	t.Parallel()
	log := eventstore.NewMemoryLog()
	s := &script{Log: log}
	ours, theirs := newCounters(s), newCounters(log)
	peek := func(id string, n int, version uint64) {
		t.Helper()
		if c, v, err := ours.Peek(t.Context(), id); err != nil || c.N != n || v != version {
			t.Errorf("peeked at %+v, version %d, %v; want %d at %d", c, v, err, n, version)
		}
	}
	do(t, theirs, "a", "", command{add: 1})
	peek("a", 0, 0)
	do(t, ours, "a", "", command{add: 1}) // the append finds out
	peek("a", 2, 2)
	do(t, theirs, "a", "", command{add: 1})
	peek("a", 2, 2)
	if _, reads := s.counts(); reads != 1 || s.peeks.Load() != 0 {
		t.Errorf("%d reads from the leader and %d others, want the one of the append", reads, s.peeks.Load())
	}
	if c, v := get(t, ours, "a"); c.N != 3 || v != 3 {
		t.Errorf("after a peek a read is old: %+v at %d", c, v)
	}
}

func TestAFirstCommandReadsNothing(t *testing.T) {
	t.Parallel()
	s := &script{Log: eventstore.NewMemoryLog()}
	e := newCounters(s)
	if c, v := do(t, e, "a", "first", command{add: 1}); c.N != 1 || v != 1 {
		t.Errorf("%+v at %d", c, v)
	}
	if appends, reads := s.counts(); appends != 1 || reads != 0 || s.peeks.Load() != 0 {
		t.Errorf("%d appends, %d reads from the leader and %d others, want one append", appends, reads, s.peeks.Load())
	}
}

// A process that has never met an entity supposes that there is none. Whatever it is
// asked to do, that must not show.
func TestWhatIsNotRememberedIsFoundOut(t *testing.T) {
	eachLog(t, func(t *testing.T, open func() eventstore.Log) {
		t.Helper()
		log := open()
		first := newCounters(log)
		do(t, first, "a", "limit", command{limit: 3})
		do(t, first, "a", "add", command{add: 2})
		for name, ask := range map[string]func(*counters) (counter, uint64, error){
			"a repeated command": func(e *counters) (counter, uint64, error) {
				return e.Do(t.Context(), "a", "add", command{add: 2})
			},
			"nothing to do": func(e *counters) (counter, uint64, error) { return e.Do(t.Context(), "a", "", command{}) },
			"a read":        func(e *counters) (counter, uint64, error) { return e.Get(t.Context(), "a") },
		} {
			if c, v, err := ask(newCounters(log)); err != nil || c.N != 2 || v != 2 {
				t.Errorf("%s answers %+v at %d, %v", name, c, v, err)
			}
		}
		if _, v, err := newCounters(log).Do(t.Context(), "a", "more", command{add: 2}); !errors.Is(err, errLimit) || v != 2 {
			t.Errorf("over the limit answers version %d, %v", v, err)
		}
		if c, v := do(t, newCounters(log), "a", "one", command{add: 1}); c.N != 3 || v != 3 {
			t.Errorf("%+v at %d", c, v)
		}
	})
}
