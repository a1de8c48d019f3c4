package payments

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nuid"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/failpoint"
	"github.com/ordermesh/ordermesh/bus/policy"
	"github.com/ordermesh/ordermesh/bus/rpc"
	"github.com/ordermesh/ordermesh/contracts/sandbox"
)

// Provider is a payment provider. Its errors are those of contracts/sandbox; a time-out
// leaves open whether it has done what it was asked for.
type Provider interface {
	// Authorize reserves money under a key, once per key, or declines.
	Authorize(ctx context.Context, r sandbox.AuthorizeCharge) (sandbox.Charge, error)
	// Capture takes the money of a charge.
	Capture(ctx context.Context, chargeID string) (sandbox.Charge, error)
	// Void gives back what is reserved under a key and makes a later charge impossible.
	Void(ctx context.Context, key string) (sandbox.Charge, error)
	// Refund gives captured money back, once per key and never more than was captured.
	Refund(ctx context.Context, r sandbox.RefundCharge) (sandbox.Charge, error)
	Book
}

// Book is what a payment provider says it has.
type Book interface {
	// Query says what became of a key; sandbox.ErrNoCharge if nothing did.
	Query(ctx context.Context, key string) (sandbox.Charge, error)
	// List lists charges, the oldest first.
	List(ctx context.Context, r sandbox.BookPage) (sandbox.ChargeList, error)
}

// sandboxProvider reaches the sandbox over the wire.
type sandboxProvider struct{ client *rpc.Client }

func newSandboxProvider(conn *bus.Conn, policies *policy.Set) sandboxProvider {
	return sandboxProvider{rpc.NewClient(conn, rpc.WithPolicies(policies))}
}

// Authorize implements Provider.
func (p sandboxProvider) Authorize(ctx context.Context, r sandbox.AuthorizeCharge) (sandbox.Charge, error) {
	return rpc.Call(ctx, p.client, sandbox.Authorize, r)
}

// Capture implements Provider.
func (p sandboxProvider) Capture(ctx context.Context, chargeID string) (sandbox.Charge, error) {
	return rpc.Call(ctx, p.client, sandbox.Capture, sandbox.ChargeRef{ChargeID: chargeID})
}

// Void implements Provider.
func (p sandboxProvider) Void(ctx context.Context, key string) (sandbox.Charge, error) {
	return rpc.Call(ctx, p.client, sandbox.Void, sandbox.ChargeKey{Key: key})
}

// Refund implements Provider.
func (p sandboxProvider) Refund(ctx context.Context, r sandbox.RefundCharge) (sandbox.Charge, error) {
	return rpc.Call(ctx, p.client, sandbox.Refund, r)
}

// List implements Provider.
func (p sandboxProvider) List(ctx context.Context, r sandbox.BookPage) (sandbox.ChargeList, error) {
	return rpc.Call(ctx, p.client, sandbox.ListCharges, r)
}

// Query implements Provider.
func (p sandboxProvider) Query(ctx context.Context, key string) (sandbox.Charge, error) {
	return rpc.Call(ctx, p.client, sandbox.QueryCharge, sandbox.ChargeKey{Key: key})
}

// chargeKey is the key under which an order is charged: always the same for an order,
// so that no repetition, here or after a crash, can charge twice.
func chargeKey(orderID string) string {
	if failpoint.RandomProviderKey {
		return nuid.Next()
	}
	return providerKey("ordermesh authorize " + orderID)
}

// refundKey is the key under which one refund of an order is made. A refund of
// everything has none: there is one.
func refundKey(orderID, refundID string) string {
	if refundID == "" {
		return ""
	}
	return providerKey("ordermesh refund " + orderID + " " + refundID)
}

func providerKey(what string) string {
	sum := sha256.Sum256([]byte(what))
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:]))[:26]
}

// ask bounds a call to the provider; when it times out, the provider is asked what
// became of the key. settled says whether the charge shows that it was done. If it
// does not, the outcome is unavailable: the caller repeats all of it under the same key.
func (d *desk) ask(ctx context.Context, key string, call func(context.Context) (sandbox.Charge, error), settled func(sandbox.Charge) bool) (sandbox.Charge, error) {
	charge, err := d.bounded(ctx, call)
	if !timedOut(err) {
		return charge, err
	}
	failpoint.Hit("payments.timed_out")
	charge, err = d.bounded(ctx, func(ctx context.Context) (sandbox.Charge, error) { return d.provider.Query(ctx, key) })
	switch {
	case errors.Is(err, sandbox.ErrNoCharge), timedOut(err):
		return sandbox.Charge{}, errSilent
	case err != nil:
		return sandbox.Charge{}, err
	}
	if !settled(charge) {
		return sandbox.Charge{}, errSilent
	}
	return charge, nil
}

// isNow tells charges in one of the states from others.
func isNow(states ...sandbox.ChargeStatus) func(sandbox.Charge) bool {
	return func(c sandbox.Charge) bool { return slices.Contains(states, c.Status) }
}

var errSilent = contract.ErrUnavailable.Sayf("the payment provider does not answer; try again")

// bounded leaves half of the remaining time for a query, should this call time out.
func (d *desk) bounded(ctx context.Context, call func(context.Context) (sandbox.Charge, error)) (sandbox.Charge, error) {
	patience := d.settings().Patience
	if deadline, ok := ctx.Deadline(); ok {
		patience = min(patience, time.Until(deadline)/2)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return call(ctx)
}

func timedOut(err error) bool {
	return errors.Is(err, contract.ErrDeadline) || errors.Is(err, context.DeadlineExceeded)
}
