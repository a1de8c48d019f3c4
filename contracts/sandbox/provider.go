// Package sandbox is what the payment provider and the carrier say: the two outside
// firms that ordermesh talks to, played by sandboxes that answer over the wire like
// the real ones.
//
// Their books are plain records in key-value buckets under keys that are created
// once and never changed. They share nothing with the mesh's own event log, so that
// a judge can compare the two. Both sandboxes can be slow, fail, or do their work
// and never answer; whoever calls them has to cope.
package sandbox

import (
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/contracts/money"
	"github.com/ordermesh/ordermesh/contracts/text"
)

// The methods of the payment provider. A charge is made under the merchant's key:
// the same key never charges twice. A charge is settled once, by capture or void.
var (
	Authorize = contract.NewMethod[AuthorizeCharge, Charge]("provider", "authorize", contract.Idempotent(),
		contract.Doc("reserves money under the merchant's key, or declines"))
	Capture = contract.NewMethod[ChargeRef, Charge]("provider", "capture", contract.Idempotent(),
		contract.Doc("takes the reserved money"))
	Void = contract.NewMethod[ChargeKey, Charge]("provider", "void", contract.Idempotent(), contract.Urgent(),
		contract.Doc("gives the reserved money back; makes a later charge under the key impossible, also if there is none yet"))
	Refund = contract.NewMethod[RefundCharge, Charge]("provider", "refund", contract.Idempotent(),
		contract.Doc("gives captured money back, once per key and never more than was captured"))
	QueryCharge = contract.NewMethod[ChargeKey, Charge]("provider", "query", contract.Read(),
		contract.Doc("answers what was made of a key; not_found if nothing was"))
)

// Tokens that the provider's sandbox knows. Any other token is declined.
const (
	TokenOK       = "tok_ok"       // works
	TokenDeclined = "tok_declined" // is declined
	TokenFlaky    = "tok_flaky"    // fails twice, then works
	TokenTimeout  = "tok_timeout"  // charges, then never answers; a query finds it
)

// AuthorizeCharge asks for money.
type AuthorizeCharge struct {
	Key     string       `json:"key"`      // the merchant's; the same key is the same charge
	OrderID string       `json:"order_id"` // the merchant's reference, kept in the book
	Amount  money.Amount `json:"amount"`
	Token   string       `json:"token"`
}

// Validate refuses malformed keys, amounts and tokens.
func (r AuthorizeCharge) Validate() error {
	if err := contract.CheckID("/key", r.Key); err != nil {
		return err
	}
	if err := contract.CheckID("/order_id", r.OrderID); err != nil {
		return err
	}
	if err := r.Amount.Check("/amount"); err != nil {
		return err
	}
	return text.Visible("/token", r.Token, text.MaxLine)
}

// ChargeRef names a charge by the provider's id.
type ChargeRef struct {
	ChargeID string `json:"charge_id"`
}

// Validate refuses a malformed id.
func (r ChargeRef) Validate() error { return contract.CheckID("/charge_id", r.ChargeID) }

// ChargeKey names a charge by the merchant's key.
type ChargeKey struct {
	Key string `json:"key"`
}

// Validate refuses a malformed key.
func (r ChargeKey) Validate() error { return contract.CheckID("/key", r.Key) }

// RefundCharge gives captured money back under the merchant's key: the same key is the
// same refund of the charge. Without an amount it is all that is left; without a key it
// is the one refund that has none.
type RefundCharge struct {
	ChargeID string       `json:"charge_id"`
	Key      string       `json:"key,omitzero"`
	Amount   money.Amount `json:"amount,omitzero"`
}

// Validate refuses malformed ids and amounts.
func (r RefundCharge) Validate() error {
	if err := contract.CheckID("/charge_id", r.ChargeID); err != nil {
		return err
	}
	if r.Key != "" {
		if err := contract.CheckID("/key", r.Key); err != nil {
			return err
		}
	}
	if r.Amount.IsZero() {
		return nil
	}
	return r.Amount.Check("/amount")
}

// ChargeStatus is where a charge stands.
type ChargeStatus string

// The states of a charge.
const (
	ChargeAuthorized ChargeStatus = "authorized"
	ChargeDeclined   ChargeStatus = "declined"
	ChargeCaptured   ChargeStatus = "captured"
	ChargeVoided     ChargeStatus = "voided"
	ChargeRefunded   ChargeStatus = "refunded" // all of it; while a part is left it is captured
)

// Charge is a charge as it is now.
type Charge struct {
	ChargeID string         `json:"charge_id"`
	Status   ChargeStatus   `json:"status"`
	Amount   money.Amount   `json:"amount"`
	Reason   string         `json:"reason,omitzero"`  // why it was declined
	Refunds  []ChargeRefund `json:"refunds,omitzero"` // in their order
}

// ChargeRefund is one refund of a charge.
type ChargeRefund struct {
	Key    string       `json:"key,omitzero"`
	Amount money.Amount `json:"amount"`
}

// Refund finds the refund that was made under a key.
func (c Charge) Refund(key string) (refund ChargeRefund, made bool) {
	for _, r := range c.Refunds {
		if r.Key == key {
			return r, true
		}
	}
	return ChargeRefund{}, false
}

// Refusals of the provider.
var (
	ErrNoCharge   = contract.NewError(contract.NotFound, "charge_not_found", "there is no such charge")
	ErrChargeKey  = contract.NewError(contract.Conflict, "charge_key_reused", "the key was used for another charge")
	ErrNotCapture = contract.NewError(contract.FailedPrecondition, "charge_not_capturable", "the charge is declined or void")
	ErrNotVoid    = contract.NewError(contract.FailedPrecondition, "charge_not_voidable", "the charge is captured: refund it")
	ErrNotRefund  = contract.NewError(contract.FailedPrecondition, "charge_not_refundable", "the charge is not captured")
	ErrRefundKey  = contract.NewError(contract.Conflict, "refund_key_reused", "the key was used for another refund")
	ErrRefundMuch = contract.NewError(contract.Unprocessable, "refund_too_large", "the amount is more than what is left of the charge")
)

// Provider is what the payment provider says about itself.
var Provider = contract.Service{
	Name: "provider", Version: "1.0.0",
	Doc:      "Sandbox of a payment provider: an outside firm with its own book.",
	Serves:   []contract.MethodInfo{Authorize.Info(), Capture.Info(), Void.Info(), Refund.Info(), QueryCharge.Info(), ListCharges.Info()},
	Books:    []string{ProviderBook},
	Settings: contract.SettingsOf[ProviderSettings](),
}
