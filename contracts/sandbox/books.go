package sandbox

import (
	"strconv"
	"time"

	"github.com/ordermesh/ordermesh/contracts/line"
	"github.com/ordermesh/ordermesh/contracts/money"
)

// ProviderBook is the bucket of the payment provider. Its keys, each created once
// and never changed:
//
//	charge.<merchant's key>   ChargeRecord  authorized or declined
//	settle.<charge id>        SettleRecord  captured or voided, whichever came first
//	refund.<charge id>        RefundRecord  the first refund
//	refund.<charge id>.<n>    RefundRecord  the n-th one, from 2 on
//
// A settle record without a charge record is a void that came before its charge.
// A charge is open while it is authorized and has no settle record. The refunds of a
// charge are numbered without a gap: who writes the next one has seen all before it.
const ProviderBook = "provider_book"

// CarrierBook is the bucket of the carrier. Its keys, each created once and never
// changed:
//
//	parcel.<order id>         ParcelRecord  taken on
//	end.<order id>            EndRecord     delivered or cancelled, whichever came first
//
// An end record without a parcel record is a cancellation that came before its
// parcel. A parcel without an end record is on its way, or was delivered and the
// merchant does not know yet.
const CarrierBook = "carrier_book"

// ChargeKeyIn is the key of a charge in the provider's book.
func ChargeKeyIn(key string) string { return "charge." + key }

// SettleKeyIn is the key of a settlement in the provider's book.
func SettleKeyIn(chargeID string) string { return "settle." + chargeID }

// RefundKeyIn is the key of the n-th refund of a charge in the provider's book, counted
// from 1.
func RefundKeyIn(chargeID string, n int) string {
	if n == 1 {
		return "refund." + chargeID
	}
	return "refund." + chargeID + "." + strconv.Itoa(n)
}

// ParcelKeyIn is the key of a parcel in the carrier's book.
func ParcelKeyIn(orderID string) string { return "parcel." + orderID }

// EndKeyIn is the key of a parcel's end in the carrier's book.
func EndKeyIn(orderID string) string { return "end." + orderID }

// ChargeRecord is one charge in the provider's book.
type ChargeRecord struct {
	ChargeID string       `json:"charge_id"`
	Key      string       `json:"key"`
	OrderID  string       `json:"order_id"`
	Amount   money.Amount `json:"amount"`
	Status   ChargeStatus `json:"status"` // authorized or declined
	Reason   string       `json:"reason,omitzero"`
	At       time.Time    `json:"at"`
}

// SettleRecord says how a charge was settled.
type SettleRecord struct {
	ChargeID string       `json:"charge_id"`
	Status   ChargeStatus `json:"status"` // captured or voided
	At       time.Time    `json:"at"`
}

// RefundRecord says that captured money was given back. A record without an amount, as
// older books have it, is of the whole charge.
type RefundRecord struct {
	ChargeID string       `json:"charge_id"`
	Key      string       `json:"key,omitzero"` // the merchant's
	Amount   money.Amount `json:"amount,omitzero"`
	At       time.Time    `json:"at"`
}

// Of is what was given back of a charge of the given amount.
func (r RefundRecord) Of(charged money.Amount) money.Amount {
	if r.Amount.IsZero() {
		return charged
	}
	return r.Amount
}

// ParcelRecord is one parcel in the carrier's book.
type ParcelRecord struct {
	TrackingID string      `json:"tracking_id"`
	OrderID    string      `json:"order_id"`
	Lines      []line.Line `json:"lines"`
	Due        time.Time   `json:"due"` // when it will be delivered
	At         time.Time   `json:"at"`
}

// EndRecord says how a parcel ended.
type EndRecord struct {
	TrackingID string       `json:"tracking_id"`
	Status     ParcelStatus `json:"status"` // delivered or cancelled
	At         time.Time    `json:"at"`
}
