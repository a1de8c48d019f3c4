package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// The payment tokens of the sandbox.
const (
	tokOK       = "tok_ok"
	tokDeclined = "tok_declined"
	tokFlaky    = "tok_flaky"
	tokTimeout  = "tok_timeout"
)

// Mix says in how many of a hundred orders something other than the smooth way
// happens. The rest pays with tok_ok.
type Mix struct {
	Declined, Flaky, Timeout int
	Cancel                   int // cancelled by the customer, whatever the token
}

// Load is a number of customers who place orders and insist on an answer.
type Load struct {
	Name        string // distinguishes the keys of several loads on one mesh
	Orders      int
	Clients     int
	SKUs        []string
	Mix         Mix
	CancelDelay time.Duration // a cancellation comes between 0 and this after the acknowledgement
	Seed        uint64
	Gate        *Gate // nil lets all orders through at once
}

// plan is one order as it will be placed.
type plan struct {
	key    string
	order  placement
	cancel time.Duration // < 0 for never
}

// plan depends on the seed and the number alone, not on timing.
func (l Load) plan(i int) plan {
	r := rand.New(rand.NewPCG(l.Seed, uint64(i))) //nolint:gosec // repeatable, not secret
	token := tokOK
	switch d := r.IntN(100); {
	case d < l.Mix.Declined:
		token = tokDeclined
	case d < l.Mix.Declined+l.Mix.Flaky:
		token = tokFlaky
	case d < l.Mix.Declined+l.Mix.Flaky+l.Mix.Timeout:
		token = tokTimeout
	}
	var lines []line
	for _, s := range r.Perm(len(l.SKUs))[:1+r.IntN(min(3, len(l.SKUs)))] {
		lines = append(lines, line{SKU: l.SKUs[s], Quantity: 1 + r.Int64N(3)})
	}
	p := plan{key: l.Name + "-" + strconv.Itoa(i), order: placeOrder(token, lines...), cancel: -1}
	if r.IntN(100) < l.Mix.Cancel {
		p.cancel = time.Duration(r.Int64N(int64(l.CancelDelay) + 1))
	}
	return p
}

// Run places all orders and returns when each has its answer. An order that is
// refused is an error: the load asks for nothing that may be refused.
func (l Load) Run(ctx context.Context, client *Client, ledger *Ledger) error {
	group, ctx := errgroup.WithContext(ctx)
	var next atomic.Int64
	for range l.Clients {
		group.Go(func() error {
			for i := int(next.Add(1)) - 1; i < l.Orders; i = int(next.Add(1)) - 1 {
				if err := l.Gate.pass(ctx, i); errors.Is(err, errClosed) {
					return nil
				} else if err != nil {
					return err
				}
				if err := place(ctx, client, ledger, l.plan(i)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}

func place(ctx context.Context, client *Client, ledger *Ledger, p plan) error {
	var answer placed
	if err := client.Insist(ctx, "svc.orders.place", p.key, p.order, &answer); err != nil {
		return fmt.Errorf("place order %s: %w", p.key, err)
	}
	if err := ledger.Placed(Entry{OrderID: answer.OrderID, Key: p.key, Token: p.order.Payment.Token}); err != nil {
		return err
	}
	if p.cancel < 0 {
		return nil
	}
	select {
	case <-time.After(p.cancel):
	case <-ctx.Done():
		return ctx.Err()
	}
	return cancelOrder(ctx, client, ledger, answer.OrderID)
}

// cancelOrder insists on an answer; that it is too late is a good one.
func cancelOrder(ctx context.Context, client *Client, ledger *Ledger, id string) error {
	if err := ledger.Cancel(id, false); err != nil {
		return err
	}
	err := client.Insist(ctx, "svc.orders.cancel", "cancel-"+id, cancellation{OrderID: id, Reason: "changed my mind"}, nil)
	var refused *contract.Error
	switch {
	case err == nil:
		return ledger.Cancel(id, true)
	case errors.As(err, &refused) && refused.Code == contract.FailedPrecondition:
		return nil
	}
	return fmt.Errorf("cancel order %s: %w", id, err)
}
