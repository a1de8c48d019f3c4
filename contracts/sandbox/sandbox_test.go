package sandbox_test

import (
	"errors"
	"testing"
	"time"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/contracts/golden"
	"github.com/ordermesh/ordermesh/contracts/line"
	"github.com/ordermesh/ordermesh/contracts/money"
	"github.com/ordermesh/ordermesh/contracts/postal"
	"github.com/ordermesh/ordermesh/contracts/sandbox"
)

const order = "k3v5w2q7a4m6x2c3z5y7b2d4f6"

var at = time.Date(2026, 11, 24, 9, 30, 0, 0, time.UTC)

func parcel() sandbox.ShipParcel {
	return sandbox.ShipParcel{
		OrderID: order, To: postal.Address{Name: "Ada", Line1: "1 Main St", City: "Berlin", PostalCode: "10115", Country: "DE"},
		Lines: []line.Line{{SKU: "TEA-001", Quantity: 2}}, TransitMS: 1000,
	}
}

func TestContract(t *testing.T) {
	t.Parallel()
	amount := money.New(2598, "EUR")
	charge := sandbox.Charge{ChargeID: "ch_7", Status: sandbox.ChargeDeclined, Amount: amount, Reason: "card_declined",
		Refunds: []sandbox.ChargeRefund{{Key: "refund-1", Amount: amount}}}
	s := golden.New(t)
	golden.Method(s, sandbox.Authorize, sandbox.AuthorizeCharge{Key: "authorize-1", OrderID: order, Amount: amount, Token: sandbox.TokenOK}, charge)
	golden.Method(s, sandbox.Capture, sandbox.ChargeRef{ChargeID: "ch_7"}, charge)
	golden.Method(s, sandbox.Void, sandbox.ChargeKey{Key: "authorize-1"}, charge)
	golden.Method(s, sandbox.Refund, sandbox.RefundCharge{ChargeID: "ch_7", Key: "refund-1", Amount: amount}, charge)
	golden.Method(s, sandbox.QueryCharge, sandbox.ChargeKey{Key: "authorize-1"}, charge)
	taken := sandbox.Parcel{TrackingID: "tr_7", Status: sandbox.ParcelInTransit, Due: at}
	golden.Method(s, sandbox.Ship, parcel(), taken)
	golden.Method(s, sandbox.CancelParcel, sandbox.ParcelRef{OrderID: order}, taken)
	golden.Method(s, sandbox.QueryParcel, sandbox.ParcelRef{OrderID: order}, taken)
	golden.Method(s, sandbox.Deliver, sandbox.ParcelDelivered{OrderID: order, TrackingID: "tr_7"}, sandbox.Receipt{OrderID: order, Version: 2})
	golden.Method(s, sandbox.ListCharges, sandbox.BookPage{After: 7, Limit: 20},
		sandbox.ChargeList{Charges: []sandbox.OrderCharge{{OrderID: order, Charge: charge}}, Next: 8})
	golden.Method(s, sandbox.ListParcels, sandbox.BookPage{After: 7, Limit: 20},
		sandbox.ParcelList{Parcels: []sandbox.OrderParcel{{OrderID: order, Parcel: taken}}, Next: 8})
	golden.Value(s, "book.charge", sandbox.ChargeRecord{
		ChargeID: "ch_7", Key: "authorize-1", OrderID: order, Amount: amount,
		Status: sandbox.ChargeDeclined, Reason: "card_declined", At: at,
	})
	golden.Value(s, "book.settle", sandbox.SettleRecord{ChargeID: "ch_7", Status: sandbox.ChargeCaptured, At: at})
	golden.Value(s, "book.refund", sandbox.RefundRecord{ChargeID: "ch_7", Key: "refund-1", Amount: amount, At: at})
	golden.Value(s, "book.parcel", sandbox.ParcelRecord{TrackingID: "tr_7", OrderID: order, Lines: parcel().Lines, Due: at, At: at})
	golden.Value(s, "book.end", sandbox.EndRecord{TrackingID: "tr_7", Status: sandbox.ParcelDone, At: at})
	s.Complete(sandbox.Provider)
	s.Complete(sandbox.Carrier)
}

func TestBookKeys(t *testing.T) {
	t.Parallel()
	for got, want := range map[string]string{
		sandbox.ChargeKeyIn("k"): "charge.k", sandbox.SettleKeyIn("c"): "settle.c", sandbox.RefundKeyIn("c", 1): "refund.c", sandbox.RefundKeyIn("c", 2): "refund.c.2",
		sandbox.ParcelKeyIn("o"): "parcel.o", sandbox.EndKeyIn("o"): "end.o",
	} {
		if got != want {
			t.Errorf("key %s, want %s: books that exist use it", got, want)
		}
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	charge := sandbox.AuthorizeCharge{Key: "k", OrderID: order, Amount: money.New(1, "EUR"), Token: "tok_ok"}
	negative, spaced := charge, charge
	negative.Amount.Minor = -1
	spaced.Token = "tok ok"
	late, nowhere := parcel(), parcel()
	late.TransitMS = -1
	nowhere.To.Country = "XX"
	for name, c := range map[string]struct {
		request contract.Validator
		code    contract.Code
		field   string
	}{
		"negative amount":  {negative, contract.Unprocessable, "/amount/amount"},
		"token with space": {spaced, contract.Invalid, "/token"},
		"no charge":        {sandbox.ChargeRef{}, contract.Invalid, "/charge_id"},
		"no key":           {sandbox.ChargeKey{}, contract.Invalid, "/key"},
		"negative transit": {late, contract.Invalid, "/transit_ms"},
		"unknown country":  {nowhere, contract.Unprocessable, "/to/country"},
		"no order":         {sandbox.ParcelRef{}, contract.Invalid, "/order_id"},
		"no tracking id":   {sandbox.ParcelDelivered{OrderID: order}, contract.Invalid, "/tracking_id"},
	} {
		var e *contract.Error
		if err := c.request.Validate(); !errors.As(err, &e) || e.Code != c.code || e.Field != c.field {
			t.Errorf("%s: %v, want %v at %s", name, err, c.code, c.field)
		}
	}
}
