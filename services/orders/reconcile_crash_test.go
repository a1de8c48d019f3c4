package orders

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ordermesh/ordermesh/bus/flow"
	"github.com/ordermesh/ordermesh/bus/flow/flowtest"
)

// shelves are lists of so many pages with two orders each. The order "bad" always
// differs, "late" only before the second look.
type shelves struct {
	pages map[reconcilePhase]int
	began time.Time

	mu      sync.Mutex
	lost    map[string]bool
	reports []reconciled
}

func newShelves(charges, parcels, own int) *shelves {
	return &shelves{
		pages: map[reconcilePhase]int{phaseCharges: charges, phaseParcels: parcels, phaseOrders: own},
		began: time.Now(), lost: map[string]bool{},
	}
}

// page loses each answer once.
func (s *shelves) page(_ context.Context, phase reconcilePhase, cursor string) (bookPage, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, _ := strconv.Atoi(cursor)
	key := fmt.Sprint(phase, n)
	if !s.lost[key] {
		s.lost[key] = true
		return bookPage{}, errLost
	}
	p := bookPage{entries: []entry{{OrderID: fmt.Sprint(phase, n)}, {OrderID: "late"}}}
	if phase == phaseParcels && n == 0 {
		p.entries[0].OrderID = "bad"
	}
	if n+1 < s.pages[phase] {
		p.next = strconv.Itoa(n + 1)
	}
	return p, nil
}

func (s *shelves) compare(_ context.Context, e entry) ([]difference, error) {
	if id := e.OrderID; id == "bad" || id == "late" && time.Since(s.began) < time.Minute {
		return []difference{{OrderID: id, Book: "carrier", Text: "differs"}}, nil
	}
	return nil, nil
}

func (s *shelves) reconciled(_ context.Context, r reconciled) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reports = append(s.reports, r)
}

func TestAReconciliationEndsTheSameWhereverItCrashes(t *testing.T) {
	t.Parallel()
	var s *shelves
	define := func() flow.Definition[reconcileInput, reconciled] {
		s = newShelves(2, 2, 1)
		return (&reconcile{books: s, report: s}).definition()
	}
	want := reconciled{Compared: 10, Differences: []difference{{OrderID: "bad", Book: "carrier", Text: "differs"}}}
	flowtest.CrashEverywhere(t, define, reconcileInput{}, func(t *testing.T, o flowtest.Outcome[reconciled]) {
		t.Helper()
		if diff := cmp.Diff(want, o.Out); diff != "" || o.Status != flow.Completed {
			t.Errorf("%s: %s", o.Status, diff)
		}
		if len(s.reports) == 0 || !cmp.Equal(want, s.reports[0]) {
			t.Errorf("reported %+v", s.reports)
		}
	})
}

// TestALongReconciliationContinuesAsNew goes through more pages than one run takes.
func TestALongReconciliationContinuesAsNew(t *testing.T) {
	t.Parallel()
	s := newShelves(150, 60, 40)
	for _, phase := range reconcilePhases {
		for n := range s.pages[phase] {
			s.lost[fmt.Sprint(phase, n)] = true
		}
	}
	s.began = time.Time{} // nothing is late
	o := flowtest.Run(t, (&reconcile{books: s, report: s}).definition(), reconcileInput{})
	if o.Status != flow.Completed || o.Out.Compared != 500 || len(o.Out.Differences) != 1 {
		t.Errorf("%s: %+v", o.Status, o.Out)
	}
	if len(o.Steps) > pagesPerRun {
		t.Errorf("the journal has %d records", len(o.Steps))
	}
}

func TestSuspectsAreBounded(t *testing.T) {
	t.Parallel()
	var in reconcileInput
	for i := range keptSuspects + 7 {
		in = in.after(pageSeen{Next: "x", Compared: 1, Suspects: []entry{{OrderID: fmt.Sprint("o", i)}}})
	}
	if len(in.Suspects) != keptSuspects || in.More != 7 || in.Compared != keptSuspects+7 {
		t.Errorf("%d suspects kept, %d more of %d", len(in.Suspects), in.More, in.Compared)
	}
}
