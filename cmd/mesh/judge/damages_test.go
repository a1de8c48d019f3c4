package judge

import (
	"slices"
	"strings"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/contracts/inventory"
	"github.com/ordermesh/ordermesh/contracts/money"
	"github.com/ordermesh/ordermesh/contracts/orders"
	"github.com/ordermesh/ordermesh/contracts/payments"
	"github.com/ordermesh/ordermesh/contracts/sandbox"
	"github.com/ordermesh/ordermesh/contracts/shipping"
)

// header changes a header of one message of a subject.
func header(subject string, nth int, key, value string) func(*world) {
	return func(w *world) {
		w.tamper = func(all []message) {
			n := 0
			for _, m := range all {
				if m.Subject == subject {
					if n++; n == nth {
						m.Header.Set(key, value)
					}
				}
			}
		}
	}
}

var damages = []struct {
	name, check, says string
	damage            func(*world)
	flying            bool // must be found while the mesh works, too
}{
	{"an event of an unknown type", checkReadable, "knows", func(w *world) { w.acts[w.index("evt.order.del", "order.shipped.v1")].events[0].Type = "order.lost.v9" }, true},
	{"an event that cannot be decoded", checkReadable, "data of", func(w *world) { w.edit("evt.payment.del", "payment.captured.v1", `{"amount":3000`, `{"amount":"3000"`) }, true},
	{"a commit format of the future", checkReadable, "format", func(w *world) {
		w.tamper = func(all []message) {
			i := slices.IndexFunc(all, func(m message) bool { return m.Subject == "evt.order.del" })
			all[i].Data = []byte(strings.Replace(string(all[i].Data), `{"v":1`, `{"v":2`, 1))
		}
	}, true},

	{"a version is left out", checkVersions, "a gap", header("evt.order.del", 2, contract.HeaderVersion, "3-3"), true},
	{"a version is there twice", checkVersions, "a fork", header("evt.order.del", 3, contract.HeaderVersion, "2-2"), true},
	{"a history does not begin with 1", checkVersions, "a gap", header("evt.stock.TEA", 1, contract.HeaderVersion, "2-2"), true},
	{"a message names another predecessor", checkVersions, contract.HeaderPrev, header("evt.order.del", 3, contract.HeaderPrev, "1"), true},
	{"a first message names a predecessor", checkVersions, contract.HeaderPrev, header("evt.order.voi", 1, contract.HeaderPrev, "1"), true},
	{"a message names another folded state", checkVersions, contract.HeaderSnap, header("evt.order.del", 3, contract.HeaderSnap, "77"), true},
	{"a history's middle is gone", checkVersions, "a gap", func(w *world) {
		w.tamper = func(all []message) {
			for i := range all {
				if all[i].Subject == "evt.order.del" && all[i].Header.Get(contract.HeaderVersion) == "2-2" {
					all[i].Subject, all[i].Header = "evt.order.other", nil
				}
			}
		}
	}, true},

	{"an event id is used by two entities", checkEventIDs, "evt.order.del", func(w *world) {
		w.acts[w.index("evt.order.voi", "")].events[0].ID = w.acts[w.index("evt.order.del", "")].events[0].ID
	}, true},
	{"an event id is used twice in one commit", checkEventIDs, "new", func(w *world) {
		a := &w.acts[w.index("evt.order.del", "order.placed.v1")]
		next := w.acts[w.index("evt.order.del", "order.confirmed.v1")].events[0]
		next.ID = a.events[0].ID
		a.events = append(a.events, next)
		w.cut2("evt.order.del", "order.confirmed.v1")
	}, true},
	{"an event has no id", checkEventIDs, "an event id", func(w *world) { w.acts[w.index("evt.order.del", "")].events[0].ID = "" }, true},
	{"a command is applied twice", checkCommands, "message", func(w *world) {
		w.acts[w.index("evt.stock.TEA", "stock.held.v1")].events[0].Command = w.acts[w.index("evt.stock.TEA", "stock.adjusted.v1")].events[0].Command
	}, true},
	{"a command's events are torn apart", checkCommands, "two places", func(w *world) {
		a := &w.acts[w.index("evt.stock.TEA", "stock.adjusted.v1")]
		first := a.events[0]
		second, third := first, first
		second.ID, second.Command, third.ID = "e2", "between", "e3"
		a.events = append(a.events, second, third)
	}, true},

	{"more is held than there is", checkStock, "of 1 on hand", func(w *world) { w.edit("evt.stock.TEA", "stock.adjusted.v1", "100", "1") }, true},
	{"stock is taken that is reserved", checkStock, "reserved", func(w *world) {
		i := w.index("evt.reservation.del", "reservation.held.v1")
		do(w, inventory.StockEvents, "TEA", inventory.StockEvent(inventory.StockAdjusted{Delta: -99, Reason: "broken"}))
		w.lastTo(i)
	}, true},
	{"more is released than was held", checkStock, "-", func(w *world) { w.edit("evt.stock.POT", "stock.hold_released.v1", `"quantity":1`, `"quantity":9`) }, true},

	{"another quantity is held than reserved", checkHolds, "the reserved 2", func(w *world) { w.edit("evt.stock.TEA", "stock.held.v1", `"quantity":2`, `"quantity":1`) }, true},
	{"a SKU is held that was not reserved", checkHolds, "the reserved 0", func(w *world) {
		i := w.index("evt.reservation.del", "reservation.held.v1")
		do(w, inventory.StockEvents, "CUP", inventory.StockEvent(inventory.StockAdjusted{Delta: 9, Reason: "seed"}), inventory.StockEvent(inventory.StockHeld{OrderID: "del", Quantity: 1}))
		w.lastTo(i)
	}, true},
	{"another quantity is sold than held", checkHolds, "the held 2", func(w *world) { w.edit("evt.stock.TEA", "stock.sold.v1", `"quantity":2`, `"quantity":3`) }, true},
	{"something is held twice", checkHolds, "one hold", func(w *world) {
		i := w.index("evt.reservation.del", "reservation.held.v1")
		do(w, inventory.StockEvents, "TEA", inventory.StockEvent(inventory.StockHeld{OrderID: "del", Quantity: 2}))
		w.lastTo(i)
	}, true},
	{"something is sold twice", checkHolds, "one sale", func(w *world) {
		do(w, inventory.StockEvents, "TEA", inventory.StockEvent(inventory.StockHeld{OrderID: "del", Quantity: 2}), inventory.StockEvent(inventory.StockSold{OrderID: "del", Quantity: 2}))
	}, true},
	{"something is returned twice", checkHolds, "one return", func(w *world) {
		do(w, inventory.StockEvents, "TEA", inventory.StockEvent(inventory.StockRestocked{OrderID: "ref", Quantity: 2}))
	}, true},
	{"something is restocked that was not sold", checkHolds, "the sold 0", func(w *world) {
		do(w, inventory.StockEvents, "TEA", inventory.StockEvent(inventory.StockRestocked{OrderID: "voi", Quantity: 2}))
	}, true},
	{"something is released that was sold", checkHolds, "the held 0", func(w *world) {
		do(w, inventory.StockEvents, "TEA", inventory.StockEvent(inventory.StockHoldReleased{OrderID: "del", Quantity: 2}))
	}, true},

	{"a committed reservation is released", checkReservations, "released.v1 after committed", func(w *world) {
		do(w, inventory.ReservationEvents, "del", inventory.ReservationEvent(inventory.ReservationReleased{}))
	}, true},
	{"a refused reservation is held", checkReservations, "held.v1 after refused", func(w *world) {
		do(w, inventory.ReservationEvents, "oos", inventory.ReservationEvent(inventory.ReservationHeld{}))
	}, true},
	{"a reservation is held without its stock", checkReservations, "0 held", func(w *world) { w.cut("evt.stock.TEA", "stock.held.v1") }, true},
	{"a reservation stays open", checkReservations, "a closed reservation", func(w *world) { w.cut("evt.reservation.oos", "reservation.refused.v1") }, false},
	{"a reservation of a cancelled order stays held", checkReservations, "the order is cancelled", func(w *world) { w.cut("evt.reservation.voi", "reservation.released.v1") }, false},
	{"a released line is still held", checkReservations, "TEA released", func(w *world) { w.cut("evt.stock.TEA", "stock.hold_released.v1") }, false},
	{"something is held after its release", checkReservations, "2 held", func(w *world) {
		do(w, inventory.StockEvents, "TEA", inventory.StockEvent(inventory.StockHeld{OrderID: "voi", Quantity: 2}))
	}, false},
	{"a line of a returned order is still sold", checkReservations, "restocked or released", func(w *world) { w.cut("evt.stock.POT", "stock.restocked.v1") }, false},
	{"a line of a refused order is still held", checkReservations, "not held, not sold", func(w *world) {
		w.acts = slices.DeleteFunc(w.acts, func(a act) bool {
			return len(a.events) > 0 && a.events[0].Type == "stock.hold_released.v1" && strings.Contains(string(a.events[0].Data), "oos")
		})
	}, false},
	{"a committed line was not sold", checkReservations, "POT sold", func(w *world) { w.cut("evt.stock.POT", "stock.sold.v1") }, false},
	{"stock is held for nobody", checkReservations, "a reservation of order xxx", func(w *world) {
		do(w, inventory.StockEvents, "TEA", inventory.StockEvent(inventory.StockHeld{OrderID: "xxx", Quantity: 2}))
	}, false},
	{"stock is sold to nobody", checkReservations, "an order for what was sold", func(w *world) { w.reserve("xxx"); w.sell("xxx") }, false},

	{"a reservation is refused though there is enough", checkRefusals, "never less than 100", func(w *world) {
		i := w.index("evt.stock.TEA", "stock.adjusted.v1")
		seed := w.acts[i]
		w.acts = slices.Insert(slices.Delete(w.acts, i, i+1), 0, seed)
	}, true},
	{"a reservation is refused for a SKU that it does not want", checkRefusals, "that is reserved", func(w *world) {
		w.edit("evt.reservation.oos", "reservation.refused.v1", "TEA", "CUP")
	}, true},

	{"a sale is missing on the shelf", checkConserved, "less 3 in committed", func(w *world) { w.cut("evt.stock.POT", "stock.sold.v1") }, false},
	{"a return is missing on the shelf", checkConserved, "on hand", func(w *world) { w.cut("evt.stock.POT", "stock.restocked.v1") }, false},
	{"a SKU's stock is gone", checkConserved, "no event", func(w *world) {
		w.acts = slices.DeleteFunc(w.acts, func(a act) bool { return a.subject == "evt.stock.POT" })
	}, false},

	{"more is captured than authorized", checkPayments, "at most 30.00 EUR", func(w *world) { w.edit("evt.payment.del", "payment.captured.v1", "3000", "3001") }, true},
	{"another currency is captured", checkPayments, "at most 30.00 EUR", func(w *world) { w.edit("evt.payment.del", "payment.captured.v1", "EUR", "USD") }, true},
	{"it is captured twice", checkPayments, "no capture of a payment that is captured", func(w *world) {
		do(w, payments.Events, "del", payments.Event(payments.PaymentCaptured{Amount: money.New(0, "EUR")}))
	}, true},
	{"it is captured without authorization", checkPayments, "not authorized", func(w *world) { w.cut("evt.payment.del", "payment.authorized.v1") }, true},
	{"it is captured after the void", checkPayments, "voided", func(w *world) {
		do(w, payments.Events, "voi", payments.Event(payments.PaymentCaptured{Amount: total}))
	}, true},
	{"it is voided after the capture", checkPayments, "no voiding", func(w *world) {
		do(w, payments.Events, "del", payments.Event(payments.PaymentVoided{}))
	}, true},
	{"more is refunded than captured", checkPayments, "refunds of at most", func(w *world) { w.edit("evt.payment.ref", "payment.refunded.v1", "3000", "3001") }, true},
	{"one refund is made twice", checkPayments, "a refund id that is new", func(w *world) {
		do(w, payments.Events, "app", payments.Event(payments.PaymentRefunded{RefundID: "r2", Amount: money.New(1, "EUR")}))
	}, true},
	{"it is refunded twice", checkPayments, "a refund id that is new", func(w *world) {
		do(w, payments.Events, "ref", payments.Event(payments.PaymentRefunded{Amount: money.New(1, "EUR")}))
	}, true},
	{"it is authorized after the decline", checkPayments, "first event", func(w *world) {
		do(w, payments.Events, "dec", payments.Event(payments.PaymentAuthorized{PaymentID: "ch-dec", Amount: total}))
	}, true},
	{"another amount is authorized than the order's", checkPayments, "the order's 30.00 EUR", func(w *world) { w.edit("evt.payment.voi", "payment.authorized.v1", "3000", "2999") }, true},
	{"somebody pays for no order", checkPayments, "an order for this payment", func(w *world) {
		w.charge("xxx", sandbox.ChargeAuthorized)
		do(w, payments.Events, "xxx", payments.Event(payments.PaymentAuthorized{PaymentID: "ch-xxx", Amount: total}))
		w.capture("xxx")
	}, false},

	{"a dispatched order is cancelled", checkOrders, "cancelled.v1 after delivered", func(w *world) { w.cancel("del", "late") }, true},
	{"a cancelled order goes on", checkOrders, "confirmed.v1 after cancelled", func(w *world) {
		do(w, orders.Events, "ear", orders.Event(orders.OrderConfirmed{PaymentID: "ch-ear"}))
	}, true},
	{"an order leaps over a status", checkOrders, "shipped.v1 after confirmed", func(w *world) { w.cut("evt.order.del", "order.dispatched.v1") }, true},
	{"an order was never placed", checkOrders, "after nothing", func(w *world) { w.cut("evt.order.dec", "order.placed.v1") }, true},
	{"the total is not the sum", checkOrders, "total 30.00 EUR", func(w *world) {
		w.edit("evt.order.del", "order.placed.v1", `"total":{"amount":3000`, `"total":{"amount":2999`)
	}, true},
	{"a line has a negative quantity", checkOrders, "added up", func(w *world) { w.edit("evt.order.del", "order.placed.v1", `"quantity":2`, `"quantity":-2`) }, true},
	{"a line's price overflows", checkOrders, "added up", func(w *world) {
		w.edit("evt.order.del", "order.placed.v1", `"amount":500`, `"amount":9223372036854775807`)
	}, true},

	{"a confirmed order is held", checkOrders, "held.v1 after confirmed", func(w *world) {
		do(w, orders.Events, "voi", orders.Event(orders.OrderHeld{}))
		w.lastTo(w.index("evt.order.voi", "order.cancelled.v1"))
	}, true},
	{"an order is held twice", checkOrders, "held once", func(w *world) {
		do(w, orders.Events, "app", orders.Event(orders.OrderHeld{}))
		w.lastTo(w.index("evt.order.app", "order.confirmed.v1"))
	}, true},
	{"an order that is not held is approved", checkOrders, "on hold when it is approved", func(w *world) { w.cut("evt.order.app", "order.held.v1") }, true},
	{"an order that is not held is rejected", checkOrders, "on hold when it is rejected", func(w *world) { w.cut("evt.order.rej", "order.held.v1") }, true},
	{"a held order goes on by itself", checkOrders, "confirmed.v1 after on_hold", func(w *world) { w.cut("evt.order.app", "order.approved.v1") }, true},
	{"a rejected order is cancelled as something else", checkOrders, "cancelled as rejected", func(w *world) {
		w.acts[w.index("evt.order.rej", "order.cancelled.v1")].events[1].Data = []byte(`{"reason":"bored"}`)
	}, true},

	{"an order that the rules reject goes on", checkAcceptance, "cancelled as it was placed: because", func(w *world) {
		a := &w.acts[w.index("evt.order.bad", "order.placed.v1")]
		a.events = a.events[:1]
	}, true},
	{"it is cancelled for another reason", checkAcceptance, "cancelled as it was placed: because", func(w *world) {
		w.acts[w.index("evt.order.bad", "order.placed.v1")].events[1].Data = []byte(`{"reason":"bored"}`)
	}, true},
	{"it is cancelled later", checkAcceptance, "cancelled as it was placed: because", func(w *world) {
		a := &w.acts[w.index("evt.order.bad", "order.placed.v1")]
		a.events = a.events[:1]
		w.cancel("bad", "because")
	}, true},
	{"stock is held for it", checkAcceptance, "no reservation of a rejected order", func(w *world) { w.reserve("bad"); w.release("bad") }, true},
	{"it is charged", checkAcceptance, "no charge of a rejected order", func(w *world) { w.charge("bad", sandbox.ChargeDeclined) }, true},
	{"it is paid", checkAcceptance, "no payment of a rejected order", func(w *world) {
		do(w, payments.Events, "bad", payments.Event(payments.PaymentDeclined{}))
	}, true},
	{"it is shipped", checkAcceptance, "no shipment of a rejected order", func(w *world) {
		do(w, shipping.Events, "bad", shipping.Event(shipping.ShipmentCreated{ShipmentID: "tr-bad"}))
	}, true},
	{"an order that the rules hold goes on by itself", checkAcceptance, "held before it is confirmed", func(w *world) {
		w.cut("evt.order.odd", "order.held.v1")
		w.cut("evt.order.odd", "order.approved.v1")
	}, true},
	{"rules of no revision decide", checkAcceptance, "the revision of the rules", func(w *world) { w.edit("evt.order.odd", "order.placed.v1", `"revision":3`, `"revision":0`) }, true},
	{"rules say something else", checkAcceptance, "accept, hold or reject", func(w *world) { w.edit("evt.order.odd", "order.placed.v1", `"hold"`, `"shrug"`) }, true},
	{"a rule that fails accepts", checkAcceptance, "on hold when a rule fails", func(w *world) {
		w.edit("evt.order.odd", "order.placed.v1", `"hold"`, `"accept"`)
		w.edit("evt.order.odd", "order.placed.v1", `"revision":3`, `"revision":3,"error":"no"`)
	}, true},

	{"a refund of an order that is not delivered", checkRefunds, "a delivered order", func(w *world) {
		do(w, orders.Events, "ref", orders.Event(orders.OrderRefundRequested{RefundID: "r1", Amount: total}))
	}, true},
	{"a refund id is used twice", checkRefunds, "a refund id that is new", func(w *world) { w.edit("evt.order.app", "order.refund_requested.v1", `"r1"`, `"r2"`) }, true},
	{"more is promised than was paid", checkRefunds, "refunds of at most 30.00 EUR", func(w *world) {
		do(w, orders.Events, "app", orders.Event(orders.OrderRefundRequested{RefundID: "r4", Amount: money.New(1501, "EUR")}))
	}, true},
	{"a refund of another currency", checkRefunds, "refunds of at most 30.00 EUR", func(w *world) { w.edit("evt.order.app", "order.refund_requested.v1", "EUR", "USD") }, true},
	{"another amount is refunded than was asked for", checkRefunds, "as it was asked for", func(w *world) { w.edit("evt.order.app", "order.refunded.v1", `"amount":500`, `"amount":501`) }, true},
	{"a refund is noted for which nobody asked", checkRefunds, "as it was asked for", func(w *world) { w.edit("evt.order.app", "order.refunded.v1", `"r3"`, `"r9"`) }, true},
	{"a refund is refused for which nobody asked", checkRefunds, "the refusal of a refund", func(w *world) { w.edit("evt.order.app", "order.refund_failed.v1", `"r1"`, `"r9"`) }, true},
	{"the running total is wrong", checkRefunds, "5.00 EUR refunded in all", func(w *world) {
		w.edit("evt.order.app", "order.refunded.v1", `"refunded":{"amount":500`, `"refunded":{"amount":400`)
	}, true},
	{"a refund is noted that payments has not made", checkRefunds, "refunded by payments as r3", func(w *world) { w.cut("evt.payment.app", "payment.refunded.v1") }, true},
	{"payments has refunded what no order asked for", checkSettled, "refunded of a delivered order", func(w *world) {
		w.write(sandbox.ProviderBook, sandbox.RefundKeyIn("ch-del", 1), sandbox.RefundRecord{ChargeID: "ch-del", Key: "k9", Amount: money.New(1, "EUR")})
		do(w, payments.Events, "del", payments.Event(payments.PaymentRefunded{RefundID: "r9", Amount: money.New(1, "EUR")}))
	}, false},

	{"a price that the catalog never had", checkPrices, "POT", func(w *world) { w.edit("evt.product.POT", "", "2000", "1999") }, true},
	{"a product that the catalog never had", checkPrices, "TEA", func(w *world) { w.cut("evt.product.TEA", "") }, true},

	{"a shipment is created twice", checkShipments, "first event", func(w *world) {
		do(w, shipping.Events, "del", shipping.Event(shipping.ShipmentCreated{ShipmentID: "tr-2"}))
	}, true},
	{"another shipment is delivered", checkShipments, "created shipment tr-del", func(w *world) { w.edit("evt.shipment.del", "shipment.delivered.v1", "tr-del", "tr-x") }, true},
	{"a delivered shipment is cancelled", checkShipments, "no cancellation", func(w *world) {
		do(w, shipping.Events, "del", shipping.Event(shipping.ShipmentCancelled{}))
	}, true},
	{"a shipment of an order that is not dispatched", checkShipments, "a dispatched order", func(w *world) {
		do(w, shipping.Events, "voi", shipping.Event(shipping.ShipmentCreated{ShipmentID: "tr-voi"}))
	}, false},

	{"confirmed without an authorization", checkBackedUp, "authorized as ch-voi", func(w *world) { w.cut("evt.payment.voi", "payment.authorized.v1") }, true},
	{"confirmed under another payment id", checkBackedUp, "authorized as ch-other", func(w *world) { w.edit("evt.order.voi", "order.confirmed.v1", "ch-voi", "ch-other") }, true},
	{"confirmed without stock", checkBackedUp, "lines held", func(w *world) { w.cut("evt.reservation.voi", "reservation.held.v1") }, true},
	{"authorized without stock", checkBackedUp, "held before the money", func(w *world) { w.cut("evt.reservation.dec", "reservation.held.v1") }, true},
	{"captured without a confirmation", checkBackedUp, "a confirmed order", func(w *world) { w.cut("evt.order.ref", "order.confirmed.v1") }, false},
	{"sold without a confirmation", checkBackedUp, "confirmed order", func(w *world) {
		w.cut("evt.order.ref", "order.confirmed.v1")
		w.cut("evt.payment.ref", "payment.captured.v1")
	}, false},
	{"dispatched without the money", checkBackedUp, "captured before", func(w *world) { w.cut("evt.payment.del", "payment.captured.v1") }, true},
	{"dispatched without the goods", checkBackedUp, "sold before", func(w *world) { w.cut("evt.reservation.del", "reservation.committed.v1") }, true},
	{"shipped without a shipment", checkBackedUp, "shipment tr-del created", func(w *world) {
		w.cut("evt.shipment.del", "shipment.created.v1")
	}, true},
	{"delivered without a delivery", checkBackedUp, "a delivered shipment", func(w *world) { w.cut("evt.shipment.del", "shipment.delivered.v1") }, true},

	{"a delivered order was not paid", checkSettled, "captured of a delivered order", func(w *world) { w.cut("evt.payment.del", "payment.captured.v1") }, false},
	{"a delivered order was returned to the shelf", checkSettled, "its lines sold", func(w *world) {
		do(w, inventory.ReservationEvents, "del", inventory.ReservationEvent(inventory.ReservationReturned{}))
	}, false},
	{"a delivered order was not paid at the provider", checkSettled, "in the provider's book", func(w *world) { w.cut("$KV.provider_book.settle.ch-del", "") }, false},
	{"a cancelled order was not refunded", checkSettled, "nothing paid in the end", func(w *world) { w.cut("evt.payment.ref", "payment.refunded.v1") }, false},
	{"a cancelled order was refunded in part", checkSettled, "nothing paid in the end", func(w *world) { w.edit("evt.payment.ref", "payment.refunded.v1", "3000", "2999") }, false},
	{"a cancelled order has an open authorization", checkSettled, "no open authorization", func(w *world) { w.cut("evt.payment.voi", "payment.voided.v1") }, false},
	{"a cancelled order holds stock", checkSettled, "nothing held or sold", func(w *world) { w.cut("evt.reservation.voi", "reservation.released.v1") }, false},
	{"a cancelled order keeps what was sold", checkSettled, "nothing held or sold", func(w *world) { w.cut("evt.reservation.ref", "reservation.returned.v1") }, false},
	{"a cancelled order is on its way", checkSettled, "no shipment", func(w *world) {
		do(w, shipping.Events, "voi", shipping.Event(shipping.ShipmentCreated{ShipmentID: "tr-voi"}))
	}, false},
	{"a cancelled order has an open charge", checkSettled, "is open", func(w *world) { w.cut("$KV.provider_book.settle.ch-voi", "") }, false},
	{"a cancelled order's charge was not refunded", checkSettled, "is captured", func(w *world) { w.cut("$KV.provider_book.refund.ch-ref", "") }, false},

	{"an order is charged twice", checkProvider, "one charge for order del", func(w *world) {
		w.write(sandbox.ProviderBook, sandbox.ChargeKeyIn("again"), sandbox.ChargeRecord{ChargeID: "ch-2", Key: "again", OrderID: "del", Amount: total, Status: sandbox.ChargeAuthorized})
	}, true},
	{"another amount is charged than the order's", checkProvider, "the order's 30.00 EUR", func(w *world) { w.edit("$KV.provider_book.charge.k-del", "", "3000", "3001") }, true},
	{"an authorization without a charge", checkProvider, "charge ch-voi", func(w *world) { w.cut("$KV.provider_book.charge.k-voi", "") }, true},
	{"an authorization of a declined charge", checkProvider, "an authorized charge", func(w *world) { w.edit("$KV.provider_book.charge.k-voi", "", "authorized", "declined") }, true},
	{"a decline without a refused charge", checkProvider, "declined charge ch-dec", func(w *world) { w.edit("$KV.provider_book.charge.k-dec", "", "declined", "authorized") }, true},
	{"another order's charge", checkProvider, "for order voi", func(w *world) { w.edit("$KV.provider_book.charge.k-voi", "", `"order_id":"voi"`, `"order_id":"del"`) }, true},
	{"a capture without one at the provider", checkProvider, "a capture in the provider's book", func(w *world) { w.cut("$KV.provider_book.settle.ch-del", "") }, true},
	{"a void that is a capture at the provider", checkProvider, "a void in the provider's book", func(w *world) { w.edit("$KV.provider_book.settle.ch-voi", "", "voided", "captured") }, true},
	{"a part is refunded without the provider", checkProvider, "2 refunds in the provider's book", func(w *world) { w.cut("$KV.provider_book.refund.ch-app.2", "") }, true},
	{"the provider refunds more than it captured", checkProvider, "refunds of at most 30.00 EUR", func(w *world) { w.edit("$KV.provider_book.refund.ch-app", "", "500", "2501") }, true},
	{"the provider refunds twice under a key", checkProvider, "a refund under a new key", func(w *world) { w.edit("$KV.provider_book.refund.ch-app", "", "k3", "k2") }, true},
	{"a refund's number is left out", checkProvider, "the record refund.ch-app of a refund", func(w *world) { w.cut("$KV.provider_book.refund.ch-app", "") }, true},
	{"a refund that payments does not know", checkProvider, "of which 1500 was refunded", func(w *world) { w.cut("evt.payment.app", "payment.refunded.v1") }, false},
	{"a refund without one at the provider", checkProvider, "1 refunds in the provider's book", func(w *world) { w.cut("$KV.provider_book.refund.ch-ref", "") }, true},
	{"the provider refunds what it did not capture", checkProvider, "a refund of a captured charge", func(w *world) {
		w.write(sandbox.ProviderBook, sandbox.RefundKeyIn("ch-voi", 1), sandbox.RefundRecord{ChargeID: "ch-voi"})
	}, true},
	{"a charge record changes", checkProvider, "written once", func(w *world) { w.charge("del", sandbox.ChargeDeclined) }, true},
	{"a charge record is removed", checkProvider, "never removed", func(w *world) {
		w.charge("zzz", sandbox.ChargeDeclined)
		w.acts[len(w.acts)-1].header = map[string][]string{"KV-Operation": {"DEL"}}
	}, true},
	{"a charge id is used twice", checkProvider, "a charge id that is new", func(w *world) { w.edit("$KV.provider_book.charge.k-voi", "", "ch-voi", "ch-del") }, true},
	{"a record under another key", checkProvider, "under the key k-del", func(w *world) { w.edit("$KV.provider_book.charge.k-del", "", `"key":"k-del"`, `"key":"k"`) }, true},
	{"a settlement of another charge", checkProvider, "a capture or void of ch-del", func(w *world) { w.edit("$KV.provider_book.settle.ch-del", "", "ch-del", "ch-x") }, true},
	{"an unknown record", checkProvider, "a charge, settle or refund", func(w *world) { w.write(sandbox.ProviderBook, "gift.x", struct{}{}) }, true},
	{"a record without a name", checkProvider, "a known record", func(w *world) { w.write(sandbox.ProviderBook, "gift", struct{}{}) }, true},
	{"a record that is none", checkProvider, "a record", func(w *world) { w.write(sandbox.ProviderBook, "charge.x", []int{1}) }, true},
	{"a charge is still open", checkProvider, "no open charge", func(w *world) { w.charge("xxx", sandbox.ChargeAuthorized) }, false},
	{"a captured charge that payments does not know", checkProvider, "captured, too", func(w *world) { w.cut("evt.payment.del", "payment.captured.v1") }, false},
	{"a refunded charge that payments does not know", checkProvider, "refunded, too", func(w *world) { w.cut("evt.payment.ref", "payment.refunded.v1") }, false},
	{"a voided charge that payments does not know", checkProvider, "voided, too", func(w *world) { w.cut("evt.payment.voi", "payment.voided.v1") }, false},
	{"a declined charge that payments does not know", checkProvider, "declined, too", func(w *world) { w.cut("evt.payment.dec", "payment.declined.v1") }, false},
	{"money taken for no order", checkProvider, "an order for the money", func(w *world) {
		w.charge("xxx", sandbox.ChargeAuthorized)
		do(w, payments.Events, "xxx", payments.Event(payments.PaymentAuthorized{PaymentID: "ch-xxx", Amount: total}))
		w.capture("xxx")
	}, false},

	{"a shipment without a parcel", checkCarrier, "parcel tr-del", func(w *world) { w.cut("$KV.carrier_book.parcel.del", "") }, true},
	{"a parcel of another shipment", checkCarrier, "parcel tr-del", func(w *world) { w.edit("$KV.carrier_book.parcel.del", "", "tr-del", "tr-x") }, true},
	{"a parcel with other contents", checkCarrier, "the order's lines", func(w *world) { w.edit("$KV.carrier_book.parcel.del", "", `"quantity":2`, `"quantity":3`) }, true},
	{"a parcel under another order", checkCarrier, "a parcel of order del", func(w *world) { w.edit("$KV.carrier_book.parcel.del", "", `"order_id":"del"`, `"order_id":"x"`) }, true},
	{"a parcel is still on its way", checkCarrier, "on its way", func(w *world) { w.cut("$KV.carrier_book.end.del", "") }, false},
	{"a parcel ended otherwise than the shipment", checkCarrier, "cancelled, too", func(w *world) { w.edit("$KV.carrier_book.end.del", "", "delivered", "cancelled") }, false},
	{"a delivery that shipping does not know", checkCarrier, "delivered, too", func(w *world) { w.cut("evt.shipment.del", "shipment.delivered.v1") }, false},
	{"a parcel with an unknown end", checkCarrier, "a delivery or cancellation", func(w *world) { w.edit("$KV.carrier_book.end.del", "", "delivered", "lost") }, true},
	{"an unknown carrier record", checkCarrier, "a parcel or end", func(w *world) { w.write(sandbox.CarrierBook, "van.x", struct{}{}) }, true},

	{"a flow is stuck", checkFlows, "stuck: no_way", func(w *world) {
		w.place("stk")
		w.page("stk", map[string]any{"status": "stuck", "reason": "no_way", "records": []any{map[string]any{"i": 0, "kind": "step", "name": "s0", "out": map[string]any{"n": 0}}}})
	}, true},
	{"a flow has not ended", checkFlows, "running", func(w *world) { w.place("run") }, false},
	{"a flow was never taken up", checkFlows, "never taken up", func(w *world) {
		w.add(contract.FlowStream, contract.FlowInput("orders", 0, "checkout", "new"), struct{}{})
	}, false},
	{"a journal loses a record", checkFlows, "perhaps more", func(w *world) { w.journal("two", 2, "running"); w.journal("two", 1, "completed") }, true},
	{"a journal changes a record", checkFlows, "perhaps more", func(w *world) {
		w.journal("two", 2, "running")
		w.journal("two", 2, "completed")
		w.acts[len(w.acts)-1].body = []byte(strings.Replace(string(w.acts[len(w.acts)-1].body), `{"n":1}`, `{"n":7}`, 1))
	}, true},
	{"a journal forgets its first page", checkFlows, "the pages of", func(w *world) {
		w.journal("two", 2, "running")
		w.page("two", map[string]any{"status": "running", "pages": []uint64{w.sequence(contract.FlowStream)}})
		w.page("two", map[string]any{"status": "completed"})
	}, true},
	{"a journal's new page leaves messages out", checkFlows, "a new page after", func(w *world) {
		w.journal("two", 2, "running")
		w.page("two", map[string]any{"status": "completed", "pages": []uint64{1}})
	}, true},
	{"a journal leaves a generation out", checkFlows, "generation 0", func(w *world) {
		w.journal("two", 2, "running")
		w.page("two", map[string]any{"status": "completed", "gen": 2})
	}, true},
	{"an ended flow goes on", checkFlows, "nothing after completed", func(w *world) { w.journal("del", 9, "running") }, true},
	{"an unknown status", checkFlows, "a known status", func(w *world) { w.journal("two", 1, "happy") }, true},
	{"a journal without a start", checkFlows, "the sequence of the start", func(w *world) { w.page("two", map[string]any{"status": "completed", "start": 0}) }, true},
	{"another flow's journal", checkFlows, "something else", func(w *world) { w.page("two", map[string]any{"status": "completed", "id": "three"}) }, true},

	{"an order is left in the middle", checkFinished, "delivered or cancelled", func(w *world) { w.place("mid") }, false},
	{"a held order's checkout does not wait", checkFinished, "a checkout that waits", func(w *world) { w.journal("hel", 1, "failed") }, false},
	{"a refund is left in the middle", checkFinished, "an end of the refund r4", func(w *world) {
		do(w, orders.Events, "app", orders.Event(orders.OrderRefundRequested{RefundID: "r4", Amount: money.New(1, "EUR")}))
	}, false},
	{"a flow waits for nobody", checkFlows, "waiting", func(w *world) { w.place("wai"); w.journal("wai", 1, "waiting") }, false},
}
