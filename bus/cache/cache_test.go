package cache

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

func TestMain(m *testing.M) { bustest.Main(m) }

// truth is a source whose values are written by the test.
type truth struct {
	mu       sync.Mutex
	versions map[string]uint64
	fail     error
	reads    atomic.Int64
	running  atomic.Int64
	most     atomic.Int64
	hold     chan struct{} // reads wait for it after they have read
	holding  chan string   // and say so
}

func newTruth() *truth { return &truth{versions: map[string]uint64{}} }

func (s *truth) set(key string, version uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.versions[key] = version
}

func (s *truth) breakWith(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = err
}

func (s *truth) read(ctx context.Context, key string) (string, uint64, error) {
	s.reads.Add(1)
	n := s.running.Add(1)
	defer s.running.Add(-1)
	for {
		most := s.most.Load()
		if n <= most || s.most.CompareAndSwap(most, n) {
			break
		}
	}
	s.mu.Lock()
	version, err, hold, holding := s.versions[key], s.fail, s.hold, s.holding
	s.mu.Unlock()
	if hold != nil {
		if holding != nil {
			holding <- key
		}
		select {
		case <-hold:
		case <-ctx.Done():
			return "", 0, ctx.Err()
		}
	}
	return valueAt(key, version), version, err
}

func valueAt(key string, version uint64) string {
	if version == 0 {
		return ""
	}
	return key + "@" + strconv.FormatUint(version, 10)
}

func newCache(t *testing.T, s *truth, opts ...Option) *Cache[string] {
	t.Helper()
	c, err := New(telemetry.Nop(), "test", s.read, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func want(t *testing.T, c *Cache[string], key string, version uint64) {
	t.Helper()
	value, got, err := c.Get(t.Context(), key)
	if err != nil || got != version || value != valueAt(key, version) {
		t.Errorf("%s: %q at %d, %v; want version %d", key, value, got, err, version)
	}
}

func wantReads(t *testing.T, s *truth, n int64) {
	t.Helper()
	if got := s.reads.Load(); got != n {
		t.Errorf("the source was read %d times, want %d", got, n)
	}
}

func TestAReadIsRemembered(t *testing.T) {
	t.Parallel()
	s := newTruth()
	c := newCache(t, s)
	s.set("a", 3)
	want(t, c, "a", 3)
	want(t, c, "a", 3)
	want(t, c, "unknown", 0)
	want(t, c, "unknown", 0)
	wantReads(t, s, 2)
	c.Changed("unknown", 1)
	s.set("unknown", 1)
	want(t, c, "unknown", 1)
	wantReads(t, s, 3)
}

func TestAStampedeReadsOnce(t *testing.T) {
	t.Parallel()
	s := newTruth()
	s.set("a", 1)
	s.hold, s.holding = make(chan struct{}), make(chan string, 1000)
	c := newCache(t, s)
	var callers sync.WaitGroup
	for range 1000 {
		callers.Go(func() { want(t, c, "a", 1) })
	}
	<-s.holding
	close(s.hold)
	callers.Wait()
	wantReads(t, s, 1)
	c.Changed("a", 2)
	s.set("a", 2)
	for range 1000 {
		callers.Go(func() { want(t, c, "a", 2) })
	}
	callers.Wait()
	wantReads(t, s, 2)
}

func TestACallerWhoLeavesTakesNobodyWithHim(t *testing.T) {
	t.Parallel()
	s := newTruth()
	s.set("a", 1)
	s.hold, s.holding = make(chan struct{}), make(chan string, 1)
	c := newCache(t, s)
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan error)
	go func() {
		_, _, err := c.Get(ctx, "a")
		left <- err
	}()
	<-s.holding
	leave()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("who left got %v", err)
	}
	close(s.hold)
	want(t, c, "a", 1)
	wantReads(t, s, 1)
}

// TestASlowReadDoesNotBringTheOldBack: the source has read version 1 and is slow; the
// event of version 2 comes before its answer.
func TestASlowReadDoesNotBringTheOldBack(t *testing.T) {
	t.Parallel()
	s := newTruth()
	s.set("a", 1)
	s.hold, s.holding = make(chan struct{}), make(chan string, 2)
	c := newCache(t, s)
	var callers sync.WaitGroup
	callers.Go(func() { want(t, c, "a", 2) }) // it has waited: it gets what is true now
	<-s.holding
	s.set("a", 2)
	c.Changed("a", 2)
	close(s.hold)
	callers.Wait()
	want(t, c, "a", 2)
	if e, ok := c.near.GetIfPresent("a"); !ok || e.version != 2 {
		t.Errorf("the cache holds %+v", e)
	}
}

// TestAProcessThatSleptDoesNotBringTheOldBack: it has read version 1, sleeps, and puts
// it into the remote level after version 2 was there and Redis has lost it.
func TestAProcessThatSleptDoesNotBringTheOldBack(t *testing.T) {
	t.Parallel()
	s, remote := newTruth(), NewMemory(100)
	sleeper := newCache(t, s, WithRemote(remote))
	witness := newCache(t, s, WithRemote(remote))
	late := newCache(t, s, WithRemote(remote))
	sleeper.tracking.move(1)
	witness.tracking.move(1)
	old := &entry[string]{value: valueAt("a", 1), version: 1, at: sleeper.tracking.at(), until: int64(time.Hour)}
	s.set("a", 2)
	witness.tracking.raise("a", 2)
	witness.tracking.move(2)
	late.tracking.begin("", 2) // it started after version 2: it remembers nothing of it
	late.tracking.stream = 1
	sleeper.share(t.Context(), "a", old)
	if _, found, _ := remote.Get(t.Context(), "test:0::a"); !found {
		t.Fatal("the sleeper did not write")
	}
	if e := sleeper.fetch(t.Context(), "a"); e == nil || e.version != 1 {
		t.Fatalf("the sleeper's record cannot be read: %+v", e)
	}
	want(t, witness, "a", 2)
	want(t, late, "a", 2)
	witness.running.Wait()
	late.running.Wait()
	if r, _, _ := remote.Get(t.Context(), "test:0::a"); r.Version != 2 {
		t.Errorf("the remote level has version %d", r.Version)
	}
	sleeper.share(t.Context(), "a", old)
	if r, _, _ := remote.Get(t.Context(), "test:0::a"); r.Version != 2 {
		t.Errorf("the older value took the place of the newer one: version %d", r.Version)
	}
}

func TestWhatIsForgottenCostsMissesOnly(t *testing.T) {
	t.Parallel()
	s := newTruth()
	c := newCache(t, s)
	c.tracking.limit = 10
	s.set("a", 1)
	s.hold, s.holding = make(chan struct{}), make(chan string, 1)
	var caller sync.WaitGroup
	caller.Go(func() { want(t, c, "a", 1) })
	<-s.holding
	s.set("a", 2)
	c.Changed("a", 2)
	for i := range 100 { // so much happens that a is forgotten
		c.Changed("other"+strconv.Itoa(i), 1)
		c.tracking.move(uint64(i) + 10)
	}
	if c.tracking.reached("a") != 0 {
		t.Fatal("a is still remembered: the test tests nothing")
	}
	close(s.hold)
	caller.Wait() // version 1 was true when the caller came
	if e, ok := c.near.GetIfPresent("a"); ok {
		t.Errorf("version %d was kept that was read before the horizon", e.version)
	}
	want(t, c, "a", 2)
	want(t, c, "a", 2)
	wantReads(t, s, 2)
}

func TestLifetimes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newTruth()
		life := Lifetimes{Fresh: time.Minute, Unknown: time.Second, Stale: time.Hour}
		c := newCache(t, s, WithLifetimes(func() Lifetimes { return life }))
		keys := make([]string, 100)
		for i := range keys {
			keys[i] = "k" + strconv.Itoa(i)
			s.set(keys[i], 1)
			want(t, c, keys[i], 1)
		}
		want(t, c, "unknown", 0)
		time.Sleep(time.Second) //nolint:forbidigo // the bubble's clock
		want(t, c, "unknown", 0)
		wantReads(t, s, 102)
		time.Sleep(56 * time.Second) //nolint:forbidigo // the bubble's clock
		for _, key := range keys {
			want(t, c, key, 1)
		}
		if n := s.reads.Load() - 102; n < 10 || n > 90 {
			t.Errorf("after 57 of 60 s %d of 100 have expired: they shall expire apart", n)
		}
		time.Sleep(5 * time.Minute) //nolint:forbidigo // the bubble's clock
		before := s.reads.Load()
		life.Fresh = time.Hour
		want(t, c, "k0", 1)
		time.Sleep(50 * time.Minute) //nolint:forbidigo // the bubble's clock
		want(t, c, "k0", 1)
		wantReads(t, s, before+1)
	})
}

func TestStaleIfError(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newTruth()
		c := newCache(t, s, WithLifetimes(func() Lifetimes { return Lifetimes{time.Minute, time.Minute, time.Hour} }))
		s.set("a", 1)
		s.set("b", 1)
		want(t, c, "a", 1)
		want(t, c, "b", 1)
		s.breakWith(errors.New("down"))
		time.Sleep(2 * time.Minute) //nolint:forbidigo // the bubble's clock
		want(t, c, "a", 1)
		if _, _, err := c.Current(t.Context(), "a"); !errors.Is(err, contract.ErrUnavailable) {
			t.Errorf("who wants what is true now got %v", err)
		}
		c.Changed("b", 2)
		if _, version, err := c.Get(t.Context(), "b"); !errors.Is(err, contract.ErrUnavailable) {
			t.Errorf("version %d is known to be outdated and was answered: %v", version, err)
		}
		if _, _, err := c.Get(t.Context(), "new"); !errors.Is(err, contract.ErrUnavailable) {
			t.Errorf("a key without a value: %v", err)
		}
		before := s.reads.Load()
		for range 100 {
			want(t, c, "a", 1)
		}
		if n := s.reads.Load() - before; n > breakerFailures {
			t.Errorf("a source that fails was asked %d times in a row", n)
		}
		time.Sleep(2 * time.Hour) //nolint:forbidigo // the bubble's clock
		if _, _, err := c.Get(t.Context(), "a"); err == nil {
			t.Error("something was answered that had expired for hours")
		}
	})
}

func TestASourceThatHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newTruth()
		s.set("a", 1)
		c := newCache(t, s, WithLifetimes(func() Lifetimes { return Lifetimes{time.Minute, time.Minute, time.Hour} }))
		want(t, c, "a", 1)
		s.hold = make(chan struct{})
		time.Sleep(2 * time.Minute) //nolint:forbidigo // the bubble's clock
		begin := time.Now()
		want(t, c, "a", 1)
		if d := time.Since(begin); d > spareAfter {
			t.Errorf("it took %v although there was something to answer", d)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, _, err := c.Get(ctx, "b"); !errors.Is(err, contract.ErrDeadline) {
			t.Errorf("nothing to answer: %v", err)
		}
	})
}

func TestARefusalIsNoFailure(t *testing.T) {
	t.Parallel()
	s := newTruth()
	s.breakWith(contract.ErrInvalid.Sayf("not a key"))
	c := newCache(t, s)
	for range 3 * breakerFailures {
		if _, _, err := c.Get(t.Context(), "a"); !errors.Is(err, contract.ErrInvalid) {
			t.Fatal(err)
		}
	}
	wantReads(t, s, 3*breakerFailures)
}

func TestTheSourceSeesABoundedLoad(t *testing.T) {
	t.Parallel()
	s := newTruth()
	s.hold, s.holding = make(chan struct{}), make(chan string, 1000)
	c := newCache(t, s, WithLoads(8))
	var callers sync.WaitGroup
	for i := range 500 {
		callers.Go(func() { want(t, c, fmt.Sprint("k", i), 0) })
	}
	for range 8 {
		<-s.holding
	}
	close(s.hold)
	callers.Wait()
	if n := s.most.Load(); n != 8 {
		t.Errorf("%d reads of the source at once", n)
	}
}

func TestAPanicOfTheSourceStaysOne(t *testing.T) {
	t.Parallel()
	c, err := New(telemetry.Nop(), "test", func(context.Context, string) (string, uint64, error) { panic("as told") })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if _, _, err := c.Get(t.Context(), "a"); !errors.Is(err, contract.ErrInternal) {
		t.Error(err)
	}
}

func TestAClosedCacheAnswers(t *testing.T) {
	t.Parallel()
	s := newTruth()
	s.set("a", 1)
	c := newCache(t, s)
	c.Close()
	want(t, c, "a", 1)
	want(t, c, "b", 0)
}

func TestOptionsAreChecked(t *testing.T) {
	t.Parallel()
	s := newTruth()
	for name, opt := range map[string]Option{
		"size": WithSize(0), "loads": WithLoads(-1), "load time-out": WithLoadTimeout(0), "remote time-out": WithRemoteTimeout(-1), "lifetimes": WithLifetimes(nil),
	} {
		if _, err := New(telemetry.Nop(), "test", s.read, opt); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := New[string](telemetry.Nop(), "test", nil); err == nil {
		t.Error("no source: accepted")
	}
	if _, err := New(telemetry.Nop(), "", s.read); err == nil {
		t.Error("no name: accepted")
	}
}
