package payments

import (
	"context"
	"errors"
	"strconv"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/telemetry"
	"github.com/ordermesh/ordermesh/contracts/money"
	"github.com/ordermesh/ordermesh/contracts/page"
	"github.com/ordermesh/ordermesh/contracts/payments"
	"github.com/ordermesh/ordermesh/contracts/sandbox"
)

// charges answers from the provider's book alone.
func (d *desk) charges(ctx context.Context, r payments.ListCharges) (payments.ChargePage, error) {
	if telemetry.ActorFrom(ctx).For != "" {
		return payments.ChargePage{}, nil
	}
	if r.OrderID != "" {
		return d.chargeOf(ctx, r.OrderID)
	}
	after, err := placeOf(r.Cursor)
	if err != nil {
		return payments.ChargePage{}, err
	}
	list, err := d.provider.List(ctx, sandbox.BookPage{After: after, Limit: page.Size(r.Limit)})
	if err != nil {
		return payments.ChargePage{}, foreign(err)
	}
	answer := payments.ChargePage{NextCursor: cursorOf(list.Next)}
	for _, c := range list.Charges {
		answer.Charges = append(answer.Charges, booked(c.OrderID, c.Charge))
	}
	return answer, nil
}

// chargeOf is the page of the one charge that an order can have.
func (d *desk) chargeOf(ctx context.Context, orderID string) (payments.ChargePage, error) {
	charge, err := d.provider.Query(ctx, chargeKey(orderID))
	switch {
	case errors.Is(err, sandbox.ErrNoCharge):
		return payments.ChargePage{}, nil
	case err != nil:
		return payments.ChargePage{}, foreign(err)
	}
	return payments.ChargePage{Charges: []payments.Charge{booked(orderID, charge)}}, nil
}

// booked is a charge of the provider in this service's words.
func booked(orderID string, c sandbox.Charge) payments.Charge {
	charge := payments.Charge{OrderID: orderID, PaymentID: c.ChargeID, Status: payments.Status(c.Status), Amount: c.Amount}
	for _, r := range c.Refunds {
		charge.Refunded = money.New(charge.Refunded.Minor+r.Amount.Minor, c.Amount.Currency)
	}
	return charge
}

// placeBits is how large a place in a book may be: what JSON carries everywhere.
const placeBits = 53

// placeOf and cursorOf turn a cursor into a place in the book and back.
func placeOf(cursor string) (uint64, error) {
	if cursor == "" {
		return 0, nil
	}
	place, err := strconv.ParseUint(cursor, 10, placeBits)
	if err != nil {
		return 0, contract.ErrInvalid.At("/cursor").Sayf("the cursor is none that this list has given")
	}
	return place, nil
}

func cursorOf(place uint64) string {
	if place == 0 {
		return ""
	}
	return strconv.FormatUint(place, 10)
}
