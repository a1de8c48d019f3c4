package orders

import (
	"context"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ordermesh/ordermesh/bus/flow"
	"github.com/ordermesh/ordermesh/contracts/orders"
)

// reconcile compares every order with the books of the payment provider and the carrier,
// both ways: each charge and each parcel with its order, and each order with what should
// be booked for it. Orders are at work meanwhile, so what differs is looked at a second
// time, when whatever was on its way has arrived: what still differs is reported.
//
// It changes nothing. A difference is a defect, here or there, that a person must judge.
type reconcile struct {
	books  books
	report reporter
}

// books shows what is to be compared. Pages name orders; compare says what differs.
type books interface {
	page(ctx context.Context, phase reconcilePhase, cursor string) (page bookPage, err error)
	compare(ctx context.Context, e entry) ([]difference, error)
}

// reporter tells people what was found.
type reporter interface {
	reconciled(ctx context.Context, r reconciled)
}

// reconcilePhase is whose list is gone through.
type reconcilePhase string

// The phases, in their order.
const (
	phaseCharges reconcilePhase = "charges"
	phaseParcels reconcilePhase = "parcels"
	phaseOrders  reconcilePhase = "orders"
)

var reconcilePhases = []reconcilePhase{phaseCharges, phaseParcels, phaseOrders}

// bookPage is one page of a list.
type bookPage struct {
	entries []entry
	next    string // cursor of the page after, "" for none
}

// entry is what a list has about an order.
type entry struct {
	OrderID   string `json:"order_id"`
	PaymentID string `json:"payment_id,omitzero"` // of a charge by which money is reserved or taken
}

// difference is one thing that an outside firm has otherwise.
type difference struct {
	OrderID string `json:"order_id"`
	Book    string `json:"book"` // provider or carrier
	Text    string `json:"text"`
}

// reconcileInput is where a reconciliation stands; the zero value begins one.
type reconcileInput struct {
	SettleMS int64 `json:"settle_ms,omitzero"` // between the two looks; 0 is a minute

	Phase    int     `json:"phase,omitzero"` // index of the phase
	Cursor   string  `json:"cursor,omitzero"`
	Compared int     `json:"compared,omitzero"` // entries of all lists
	Suspects []entry `json:"suspects,omitzero"`
	More     int     `json:"more,omitzero"` // suspects that were not kept
}

// reconciled is what a reconciliation found.
type reconciled struct {
	Compared    int          `json:"compared"` // entries of all lists
	Differences []difference `json:"differences"`
	Unchecked   int          `json:"unchecked,omitzero"` // orders that differed at first and were too many to look at again
}

const (
	pagesPerRun    = 100 // then the flow continues as new: its journal stays small
	keptSuspects   = 1000
	comparedAtOnce = 16 // orders compared at a time
	defaultSettle  = time.Minute
)

func (f *reconcile) definition() flow.Definition[reconcileInput, reconciled] {
	return flow.Define(orders.ReconcileFlow, 1, f.run)
}

func (f *reconcile) run(run *flow.Run, in reconcileInput) (reconciled, error) {
	for page := 1; in.Phase < len(reconcilePhases); page++ {
		if page > pagesPerRun {
			return flow.ContinueAsNew[reconciled](run, in)
		}
		phase, cursor := reconcilePhases[in.Phase], in.Cursor
		seen, err := flow.Step(run, fmt.Sprintf("%s_%d", phase, page), func(ctx context.Context) (pageSeen, error) {
			return f.look(ctx, phase, cursor)
		})
		if err != nil {
			return reconciled{}, err
		}
		in = in.after(seen)
		run.Report(in.progress())
	}
	found := reconciled{Compared: in.Compared, Differences: []difference{}, Unchecked: in.More}
	if len(in.Suspects) > 0 {
		settle := time.Duration(in.SettleMS) * time.Millisecond
		if settle <= 0 {
			settle = defaultSettle
		}
		if err := run.Sleep("settle", settle); err != nil {
			return reconciled{}, err
		}
		var err error
		found.Differences, err = flow.Step(run, "again", func(ctx context.Context) ([]difference, error) { return f.lookAgain(ctx, in.Suspects) })
		if err != nil {
			return reconciled{}, err
		}
	}
	return found, effect(run, "report", run.ID(), func(ctx context.Context, _, _ string) error {
		f.report.reconciled(ctx, found)
		return nil
	})
}

// pageSeen is the result of the step that goes through one page.
type pageSeen struct {
	Next     string  `json:"next,omitzero"`
	Compared int     `json:"compared"`
	Suspects []entry `json:"suspects,omitzero"`
}

func (f *reconcile) look(ctx context.Context, phase reconcilePhase, cursor string) (pageSeen, error) {
	page, err := f.books.page(ctx, phase, cursor)
	if err != nil {
		return pageSeen{}, err
	}
	found, err := f.compareEach(ctx, page.entries)
	seen := pageSeen{Next: page.next, Compared: len(page.entries)}
	for i, differ := range found {
		if len(differ) > 0 {
			seen.Suspects = append(seen.Suspects, page.entries[i])
		}
	}
	return seen, err
}

func (f *reconcile) lookAgain(ctx context.Context, suspects []entry) ([]difference, error) {
	found, err := f.compareEach(ctx, suspects)
	list := []difference{}
	for _, d := range slices.Concat(found...) {
		if !slices.Contains(list, d) {
			list = append(list, d)
		}
	}
	return list, err
}

// compareEach compares several at a time.
func (f *reconcile) compareEach(ctx context.Context, entries []entry) ([][]difference, error) {
	found := make([][]difference, len(entries))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(comparedAtOnce)
	for i, e := range entries {
		group.Go(func() (err error) {
			found[i], err = f.books.compare(ctx, e)
			return err
		})
	}
	return found, group.Wait()
}

// after is where a reconciliation stands after a page.
func (in reconcileInput) after(seen pageSeen) reconcileInput {
	in.Compared += seen.Compared
	if in.Cursor = seen.Next; in.Cursor == "" {
		in.Phase++
	}
	in.Suspects = slices.Clone(in.Suspects)
	for _, e := range seen.Suspects {
		switch {
		case slices.Contains(in.Suspects, e):
		case len(in.Suspects) < keptSuspects:
			in.Suspects = append(in.Suspects, e)
		default:
			in.More++
		}
	}
	return in
}

// progress is what people see of a reconciliation under way.
func (in reconcileInput) progress() any {
	phase := reconcilePhase("second look")
	if in.Phase < len(reconcilePhases) {
		phase = reconcilePhases[in.Phase]
	}
	return struct {
		Phase    reconcilePhase `json:"phase"`
		Compared int            `json:"compared"`
		Suspects int            `json:"suspects"`
	}{phase, in.Compared, len(in.Suspects) + in.More}
}
