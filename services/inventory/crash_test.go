package inventory

import (
	"context"
	"fmt"
	"iter"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ordermesh/ordermesh/bus/eventstore"
	"github.com/ordermesh/ordermesh/contracts/idem"
	"github.com/ordermesh/ordermesh/contracts/inventory"
	"github.com/ordermesh/ordermesh/contracts/line"
	"github.com/ordermesh/ordermesh/services/inventory/domain"
)

// crashLog ends its process's context at the n-th append: before it is stored, or
// after it is stored and before anybody knows.
type crashLog struct {
	eventstore.Log
	after bool
	crash context.CancelFunc

	mu   sync.Mutex
	left int
}

func (l *crashLog) Append(ctx context.Context, m eventstore.Message, expect uint64) (uint64, error) {
	l.mu.Lock()
	l.left--
	now := l.left == 0
	l.mu.Unlock()
	if !now {
		return l.Log.Append(ctx, m, expect)
	}
	if l.after {
		_, _ = l.Log.Append(ctx, m, expect)
	}
	l.crash()
	return 0, ctx.Err()
}

// process is the service on a log, with steps that a caller repeats.
type step func(ctx context.Context, w *warehouse) error

func reserveLines(order string, lines ...line.Line) step {
	return func(ctx context.Context, w *warehouse) error {
		_, err := w.reserve(ctx, inventory.ReserveLines{OrderID: order, Lines: lines})
		return err
	}
}

func releaseOrder(order string) step {
	return func(ctx context.Context, w *warehouse) error {
		_, err := w.release(ctx, inventory.ReservationRef{OrderID: order})
		return err
	}
}

func commitOrder(order string) step {
	return func(ctx context.Context, w *warehouse) error {
		_, err := w.commit(ctx, inventory.ReservationRef{OrderID: order})
		return err
	}
}

func stocked(t *testing.T, log eventstore.Log, stock map[string]int64) {
	t.Helper()
	w := newWarehouse(log, Config{})
	for sku, n := range stock {
		if _, err := w.adjust(t.Context(), inventory.AdjustStock{SKU: sku, Delta: n, Reason: "delivery"}); err != nil {
			t.Fatal(err)
		}
	}
}

// end is what counts at the end: stock without versions, which differ by marks.
type end struct {
	Stock  map[string][2]int64 // on hand, reserved
	Status inventory.Status
}

func endOf(t *testing.T, log eventstore.Log, order string, skus ...string) end {
	t.Helper()
	w := newWarehouse(log, Config{})
	e := end{Stock: map[string][2]int64{}}
	for _, sku := range skus {
		s, _, err := w.stock.Get(t.Context(), sku)
		if err != nil {
			t.Fatal(err)
		}
		e.Stock[sku] = [2]int64{s.OnHand, s.Reserved}
	}
	r, _, err := w.reservations.Get(t.Context(), order)
	if err != nil {
		t.Fatal(err)
	}
	e.Status = r.Status
	return e
}

// TestACrashAnywhereEndsTheSame kills the process at every append of every life of a
// reservation, lets the caller repeat the step in a new process, and looks at the end.
func TestACrashAnywhereEndsTheSame(t *testing.T) {
	t.Parallel()
	a, b, c := line.Line{SKU: "A", Quantity: 2}, line.Line{SKU: "B", Quantity: 3}, line.Line{SKU: "C", Quantity: 99}
	for name, life := range map[string]struct {
		steps []step
		want  end
	}{
		"bought": {
			[]step{reserveLines("o", b, a), commitOrder("o")},
			end{map[string][2]int64{"A": {8, 0}, "B": {7, 0}, "C": {10, 0}}, inventory.Committed},
		},
		"given back": {
			[]step{reserveLines("o", b, a), releaseOrder("o")},
			end{map[string][2]int64{"A": {10, 0}, "B": {10, 0}, "C": {10, 0}}, inventory.Released},
		},
		"short": {
			[]step{reserveLines("o", c, b, a)},
			end{map[string][2]int64{"A": {10, 0}, "B": {10, 0}, "C": {10, 0}}, inventory.Refused},
		},
		"bought and put back": {
			[]step{reserveLines("o", b, a), commitOrder("o"), releaseOrder("o")},
			end{map[string][2]int64{"A": {10, 0}, "B": {10, 0}, "C": {10, 0}}, inventory.Returned},
		},
		"given back before it came": {
			[]step{releaseOrder("o"), reserveLines("o", a)},
			end{map[string][2]int64{"A": {10, 0}, "B": {10, 0}, "C": {10, 0}}, inventory.Released},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, after := range []bool{false, true} {
				crashes := 0
				for at := 1; ; at++ {
					log := eventstore.NewMemoryLog()
					stocked(t, log, map[string]int64{"A": 10, "B": 10, "C": 10})
					crashed := live(t, log, life.steps, at, after)
					if diff := cmp.Diff(life.want, endOf(t, log, "o", "A", "B", "C")); diff != "" {
						t.Fatalf("crash at append %d, stored %v: %s", at, after, diff)
					}
					if !crashed {
						break
					}
					crashes++
				}
				if crashes == 0 {
					t.Error("no crash happened")
				}
			}
		})
	}
}

// live runs steps, each repeated in a new process after a crash, and reports whether
// there was one.
func live(t *testing.T, log eventstore.Log, steps []step, at int, after bool) (crashed bool) {
	t.Helper()
	ctx, crash := context.WithCancel(t.Context())
	defer crash()
	w := newWarehouse(&crashLog{Log: log, left: at, after: after, crash: crash}, Config{})
	for i, s := range steps {
		err := s(ctx, w)
		if err != nil && ctx.Err() != nil {
			crashed, ctx = true, t.Context()
			w = newWarehouse(log, Config{})
			err = s(ctx, w)
		}
		if err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
	}
	return crashed
}

// forget closes so many other orders that the stock forgets every order before.
func forget(t *testing.T, log eventstore.Log, sku string) {
	t.Helper()
	w := newWarehouse(log, Config{})
	for i := range domain.MaxClosed + 1 {
		order := sku + "-" + strconv.Itoa(i) + idem.Fresh()
		for _, s := range []step{reserveLines(order, line.Line{SKU: sku, Quantity: 1}), releaseOrder(order)} {
			if err := s(t.Context(), w); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestWhatWasSoldLongAgoGoesBackOnce(t *testing.T) {
	t.Parallel()
	log := eventstore.NewMemoryLog()
	stocked(t, log, map[string]int64{"A": 10})
	w := newWarehouse(log, Config{})
	for i, s := range []step{
		reserveLines("o", line.Line{SKU: "A", Quantity: 4}), commitOrder("o"),
		func(context.Context, *warehouse) error { forget(t, log, "A"); return nil }, releaseOrder("o"),
		func(context.Context, *warehouse) error { forget(t, log, "A"); return nil }, releaseOrder("o"),
	} {
		if err := s(t.Context(), w); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
	}
	want := end{map[string][2]int64{"A": {10, 0}}, inventory.Returned}
	if diff := cmp.Diff(want, endOf(t, log, "o", "A")); diff != "" {
		t.Error(diff)
	}
}

// countingLog counts the messages that are read one after the other.
type countingLog struct {
	eventstore.Log
	read atomic.Int64
}

func (l *countingLog) Range(ctx context.Context, subject string, after uint64) iter.Seq2[eventstore.Message, error] {
	return func(yield func(eventstore.Message, error) bool) {
		for m, err := range l.Log.Range(ctx, subject, after) {
			if l.read.Add(1); !yield(m, err) {
				return
			}
		}
	}
}

// TestGivingBackDoesNotReadTheWholeHistory: a SKU that sells well has a history of
// millions of messages.
func TestGivingBackDoesNotReadTheWholeHistory(t *testing.T) {
	t.Parallel()
	log := &countingLog{Log: eventstore.NewMemoryLog()}
	stocked(t, log, map[string]int64{"A": 10})
	for range 20 {
		forget(t, log, "A")
	}
	w := newWarehouse(log, Config{})
	for _, s := range []step{reserveLines("o", line.Line{SKU: "A", Quantity: 4}), commitOrder("o")} {
		if err := s(t.Context(), w); err != nil {
			t.Fatal(err)
		}
	}
	forget(t, log, "A")
	before := log.read.Load()
	if err := releaseOrder("o")(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	if n := log.read.Load() - before; n > 4*(domain.MaxClosed+1) {
		t.Errorf("%d messages were read", n)
	}
	want := end{map[string][2]int64{"A": {10, 0}}, inventory.Returned}
	if diff := cmp.Diff(want, endOf(t, log, "o", "A")); diff != "" {
		t.Error(diff)
	}
}

// TestALateHoldIsGivenBack lets a slow process go on holding after another process
// has taken the order to its end and the stock has forgotten it.
func TestALateHoldIsGivenBack(t *testing.T) {
	t.Parallel()
	a, b := line.Line{SKU: "A", Quantity: 2}, line.Line{SKU: "B", Quantity: 3}
	for name, c := range map[string]struct {
		meanwhile []step
		want      end
	}{
		"released":  {[]step{releaseOrder("o")}, end{map[string][2]int64{"A": {10, 0}, "B": {10, 0}}, inventory.Released}},
		"committed": {[]step{reserveLines("o", a, b), commitOrder("o")}, end{map[string][2]int64{"A": {8, 0}, "B": {7, 0}}, inventory.Committed}},
		"returned": {
			[]step{reserveLines("o", a, b), commitOrder("o"), releaseOrder("o")},
			end{map[string][2]int64{"A": {10, 0}, "B": {10, 0}}, inventory.Returned},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log := eventstore.NewMemoryLog()
			stocked(t, log, map[string]int64{"A": 10, "B": 10})
			slow, fast := newWarehouse(log, Config{}), newWarehouse(log, Config{})
			opened, _, err := slow.reservations.Do(t.Context(), "o", "", domain.Open{Lines: []line.Line{a, b}})
			if err != nil {
				t.Fatal(err)
			}
			for i, s := range c.meanwhile {
				if err := s(t.Context(), fast); err != nil {
					t.Fatalf("step %d: %v", i, err)
				}
			}
			forget(t, log, "A")
			forget(t, log, "B")
			if _, _, err := slow.hold(t.Context(), "o", opened); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, endOf(t, log, "o", "A", "B")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestCallersThatRaceAgree lets processes reserve, release and commit the same orders
// at the same time, and then counts.
func TestCallersThatRaceAgree(t *testing.T) {
	t.Parallel()
	log := eventstore.NewMemoryLog()
	stocked(t, log, map[string]int64{"A": 60, "B": 60})
	const orders = 30
	var wg sync.WaitGroup
	for process := range 3 {
		w := newWarehouse(log, Config{})
		for i := range orders {
			wg.Go(func() {
				order := fmt.Sprintf("o%d", i)
				steps := []step{
					reserveLines(order, line.Line{SKU: "B", Quantity: 3}, line.Line{SKU: "A", Quantity: 3}),
					commitOrder(order), releaseOrder(order),
				}
				for n := range steps {
					if i%3 == 0 && (n+process)%3 == 2 {
						continue // not everything is given back
					}
					_ = steps[(n+process)%3](t.Context(), w) // refusals are part of the game
				}
			})
		}
	}
	wg.Wait()
	w := newWarehouse(log, Config{})
	var bought int64
	for i := range orders {
		order := fmt.Sprintf("o%d", i)
		r, _, err := w.reservations.Get(t.Context(), order)
		if err != nil {
			t.Fatal(err)
		}
		if !r.Closed() {
			if err := releaseOrder(order)(t.Context(), w); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := w.settle(t.Context(), order, r); err != nil {
			t.Fatal(err)
		}
		if r.Status == inventory.Committed {
			bought += 3
		}
	}
	want := map[string][2]int64{"A": {60 - bought, 0}, "B": {60 - bought, 0}}
	if diff := cmp.Diff(want, endOf(t, log, "o0", "A", "B").Stock); diff != "" {
		t.Errorf("%d bought: %s", bought, diff)
	}
}
