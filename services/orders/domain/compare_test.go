package domain_test

import (
	"strings"
	"testing"

	"github.com/ordermesh/ordermesh/contracts/money"
	"github.com/ordermesh/ordermesh/contracts/orders"
	"github.com/ordermesh/ordermesh/services/orders/domain"
)

// order10 is an order of 10.00 EUR of which 4.00 are given back and 2.00 asked for.
func order10(s orders.Status) domain.Order {
	o := domain.Order{Status: s, Total: money.New(1000, "EUR")}
	if s == orders.Delivered {
		o.Refunded, o.Pending = 400, []domain.Claim{{ID: "r1", Minor: 200}}
	}
	return o
}

func TestChargesAreCompared(t *testing.T) {
	t.Parallel()
	charge := func(s domain.BookedStatus, cents, refunded int64) domain.Booked {
		return domain.Booked{Status: s, Amount: money.New(cents, "EUR"), Refunded: refunded}
	}
	none := domain.Booked{}
	for name, c := range map[string]struct {
		status orders.Status
		charge domain.Booked
		says   string // "" for no difference
	}{
		"no order, no charge":                 {"", none, ""},
		"no order, declined":                  {"", charge(domain.Dropped, 1000, 0), ""},
		"no order, reserved":                  {"", charge(domain.Open, 1000, 0), "reserved for no order"},
		"no order, paid":                      {"", charge(domain.Complete, 1000, 0), "10.00 EUR paid for no order"},
		"no order, paid back":                 {"", charge(domain.Complete, 1000, 1000), ""},
		"placed, nothing yet":                 {orders.Placed, none, ""},
		"confirmed, reserved":                 {orders.Confirmed, charge(domain.Open, 1000, 0), ""},
		"confirmed, taken":                    {orders.Confirmed, charge(domain.Complete, 1000, 0), ""},
		"confirmed, another amount":           {orders.Confirmed, charge(domain.Open, 999, 0), "charged 9.99 EUR, the order's total is 10.00 EUR"},
		"cancelled, nothing":                  {orders.Cancelled, none, ""},
		"cancelled, voided":                   {orders.Cancelled, charge(domain.Dropped, 1000, 0), ""},
		"cancelled, reserved":                 {orders.Cancelled, charge(domain.Open, 1000, 0), "reserved for a cancelled order"},
		"cancelled, taken":                    {orders.Cancelled, charge(domain.Complete, 1000, 0), "10.00 EUR paid for a cancelled order"},
		"cancelled, given back":               {orders.Cancelled, charge(domain.Complete, 1000, 1000), ""},
		"cancelled, given back in part":       {orders.Cancelled, charge(domain.Complete, 1000, 999), "0.01 EUR paid"},
		"dispatched, paid":                    {orders.Dispatched, charge(domain.Complete, 1000, 0), ""},
		"dispatched, nothing":                 {orders.Dispatched, none, "not paid"},
		"shipped, reserved":                   {orders.Shipped, charge(domain.Open, 1000, 0), "not paid"},
		"shipped, given back":                 {orders.Shipped, charge(domain.Complete, 1000, 1), "0.01 EUR refunded, the order says 0.00 EUR"},
		"delivered, as the order says":        {orders.Delivered, charge(domain.Complete, 1000, 400), ""},
		"delivered, a refund ahead":           {orders.Delivered, charge(domain.Complete, 1000, 600), ""},
		"delivered, more than was asked for":  {orders.Delivered, charge(domain.Complete, 1000, 601), "6.01 EUR refunded"},
		"delivered, less than the order says": {orders.Delivered, charge(domain.Complete, 1000, 399), "3.99 EUR refunded, the order says 4.00 EUR"},
	} {
		compared(t, name, order10(c.status).ChargeDiffers(c.charge), c.says)
	}
}

func TestParcelsAreCompared(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status orders.Status
		parcel domain.BookedStatus
		says   string
	}{
		"no order, no parcel":         {"", domain.NotBooked, ""},
		"no order, a parcel":          {"", domain.Open, "a parcel of no order"},
		"confirmed, a parcel":         {orders.Confirmed, domain.Open, "not dispatched"},
		"cancelled, stopped":          {orders.Cancelled, domain.Dropped, ""},
		"cancelled, delivered":        {orders.Cancelled, domain.Complete, "a parcel of a cancelled order"},
		"dispatched, nothing yet":     {orders.Dispatched, domain.NotBooked, ""},
		"dispatched, on its way":      {orders.Dispatched, domain.Open, ""},
		"shipped, on its way":         {orders.Shipped, domain.Open, ""},
		"shipped, no parcel":          {orders.Shipped, domain.NotBooked, "without a parcel"},
		"shipped, stopped":            {orders.Shipped, domain.Dropped, "without a parcel"},
		"shipped, delivered long ago": {orders.Shipped, domain.Complete, "was not told"},
		"delivered":                   {orders.Delivered, domain.Complete, ""},
		"delivered, on its way":       {orders.Delivered, domain.Open, "was not delivered"},
	} {
		compared(t, name, order10(c.status).ParcelDiffers(domain.Booked{Status: c.parcel}), c.says)
	}
}

func compared(t *testing.T, name, got, says string) {
	t.Helper()
	if (says == "") != (got == "") || !strings.Contains(got, says) {
		t.Errorf("%s: %q, want %q", name, got, says)
	}
}
