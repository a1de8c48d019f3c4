package domain

import (
	"fmt"

	"github.com/ordermesh/ordermesh/contracts/money"
	"github.com/ordermesh/ordermesh/contracts/orders"
)

// Booked is what an outside firm's book has about an order. The zero value is nothing.
type Booked struct {
	Status   BookedStatus
	Amount   money.Amount // of a charge
	Refunded int64        // of a charge, in the amount's currency
}

// BookedStatus is what became of a charge or a parcel.
type BookedStatus string

// The states of charges, and those of parcels.
const (
	NotBooked BookedStatus = ""
	Dropped   BookedStatus = "dropped"  // a charge declined or voided, a parcel cancelled: nothing came of it
	Open      BookedStatus = "open"     // money reserved, a parcel on its way
	Complete  BookedStatus = "complete" // money taken, a parcel delivered
)

// ChargeDiffers says how the provider's charge is not what the order says, "" if it is.
// While an order is under way its charge may be anything but of another amount.
func (o Order) ChargeDiffers(charge Booked) string {
	paid := charge.Status == Complete && charge.Refunded < charge.Amount.Minor
	switch {
	case charge.Status != NotBooked && o.Status != "" && charge.Amount != o.Total:
		return fmt.Sprintf("charged %s, the order's total is %s", charge.Amount, o.Total)
	case o.Status == "" || o.Status == orders.Cancelled:
		if paid {
			return fmt.Sprintf("%s paid for %s", money.New(charge.Amount.Minor-charge.Refunded, charge.Amount.Currency), o.gone())
		}
		if charge.Status == Open {
			return fmt.Sprintf("%s reserved for %s", charge.Amount, o.gone())
		}
	case rank(o.Status) < rank(orders.Dispatched):
	case charge.Status != Complete:
		return "a dispatched order that is not paid"
	case charge.Refunded < o.Refunded || charge.Refunded > o.Total.Minor-o.Left():
		return fmt.Sprintf("%s refunded, the order says %s", money.New(charge.Refunded, o.Total.Currency), money.New(o.Refunded, o.Total.Currency))
	}
	return ""
}

// ParcelDiffers says how the carrier's parcel is not what the order says, "" if it is.
func (o Order) ParcelDiffers(parcel Booked) string {
	exists := parcel.Status == Open || parcel.Status == Complete
	switch o.Status {
	case orders.Shipped:
		if parcel.Status == Complete {
			return "a parcel that was delivered, of which the order was not told"
		}
		if !exists {
			return "a shipped order without a parcel"
		}
	case orders.Delivered:
		if parcel.Status != Complete {
			return "a delivered order whose parcel was not delivered"
		}
	case orders.Dispatched: // the carrier may have it and the order not know yet
	case "", orders.Placed, orders.OnHold, orders.Confirmed, orders.Cancelled:
		if exists {
			return "a parcel of " + o.gone()
		}
	}
	return ""
}

// gone names an order for which nothing should be done.
func (o Order) gone() string {
	switch o.Status {
	case "":
		return "no order"
	case orders.Cancelled:
		return "a cancelled order"
	case orders.Placed, orders.OnHold, orders.Confirmed, orders.Dispatched, orders.Shipped, orders.Delivered:
	}
	return "an order that is not dispatched"
}
