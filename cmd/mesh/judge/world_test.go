package judge

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/contracts/catalog"
	"github.com/ordermesh/ordermesh/contracts/inventory"
	"github.com/ordermesh/ordermesh/contracts/line"
	"github.com/ordermesh/ordermesh/contracts/money"
	"github.com/ordermesh/ordermesh/contracts/orders"
	"github.com/ordermesh/ordermesh/contracts/payments"
	"github.com/ordermesh/ordermesh/contracts/sandbox"
	"github.com/ordermesh/ordermesh/contracts/shipping"
)

// act is one thing that was stored. A history is a list of acts in the order in
// which they happened; only when it is told do they become messages with sequences,
// versions and headers, so that a test can change the list first.
type act struct {
	stream, subject string
	events          []contract.Record // of a commit
	state           bool              // the commit carries folded state
	body            []byte            // of anything else
	header          nats.Header
}

// world is a history made by hand.
type world struct {
	t      testing.TB
	acts   []act
	tamper func([]message) // changes the messages of all streams just before they are told
	n      int
}

// do adds one commit of one command.
func do[E any](w *world, events contract.Events[E], id string, list ...E) {
	w.t.Helper()
	info := events.Info()
	subject, err := info.Subject(id)
	if err != nil {
		w.t.Fatal(err)
	}
	w.n++
	a := act{stream: info.Stream, subject: subject, state: w.n%2 == 0}
	for i, e := range list {
		name, err := events.TypeName(e)
		if err != nil {
			w.t.Fatal(err)
		}
		data, err := contract.Marshal(e)
		if err != nil {
			w.t.Fatal(err)
		}
		a.events = append(a.events, contract.Record{
			ID: fmt.Sprintf("e%d-%d", w.n, i), Type: name, Command: fmt.Sprintf("c%d", w.n), At: time.Unix(int64(w.n), 0).UTC(), Data: data,
		})
	}
	w.acts = append(w.acts, a)
}

// write adds a record to a book.
func (w *world) write(bucket, key string, record any) {
	w.t.Helper()
	w.add("KV_"+bucket, "$KV."+bucket+"."+key, record)
}

// add adds a message that is no commit.
func (w *world) add(stream, subject string, body any) {
	w.t.Helper()
	data, err := json.Marshal(body)
	if err != nil {
		w.t.Fatal(err)
	}
	w.acts = append(w.acts, act{stream: stream, subject: subject, body: data})
}

// index finds the act of a subject, for an entity the one that has the event type.
func (w *world) index(subject, eventType string) int {
	w.t.Helper()
	i := slices.IndexFunc(w.acts, func(a act) bool {
		return a.subject == subject && (eventType == "" ||
			slices.ContainsFunc(a.events, func(r contract.Record) bool { return r.Type == eventType }))
	})
	if i < 0 {
		w.t.Fatalf("the history has no %s with %s", subject, eventType)
	}
	return i
}

func (w *world) cut(subject, eventType string) {
	w.t.Helper()
	i := w.index(subject, eventType)
	w.acts = slices.Delete(w.acts, i, i+1)
}

// edit changes the first event, or the body, of an act as text.
func (w *world) edit(subject, eventType, from, to string) {
	w.t.Helper()
	a := &w.acts[w.index(subject, eventType)]
	text := &a.body
	if len(a.events) > 0 {
		a.events = slices.Clone(a.events)
		text = (*[]byte)(&a.events[0].Data)
	}
	changed := strings.Replace(string(*text), from, to, 1)
	if changed == string(*text) {
		w.t.Fatalf("%s has no %q: %s", subject, from, *text)
	}
	*text = []byte(changed)
}

// tell makes messages of the first n acts, by stream.
func (w *world) tell(n int) told {
	type place struct{ version, last, snap uint64 }
	sequences, places := map[string]uint64{}, map[string]*place{}
	var all []message
	for _, a := range w.acts[:n] {
		sequences[a.stream]++
		m := message{Stream: a.stream, Subject: a.subject, Sequence: sequences[a.stream], Header: nats.Header{}, Data: a.body}
		maps.Copy(m.Header, a.header)
		p := places[a.stream+a.subject]
		if p == nil {
			p = &place{}
			places[a.stream+a.subject] = p
		}
		if len(a.events) > 0 {
			c := contract.Commit{Events: a.events}
			snap := p.snap
			if a.state {
				c.State = &contract.Snapshot{Schema: 1, Data: contract.Raw("{}")}
				snap, p.snap = contract.SnapSelf, m.Sequence
			}
			body, err := contract.EncodeCommit(c)
			if err != nil {
				w.t.Fatal(err)
			}
			m.Data = body
			last := p.version + uint64(len(a.events))
			contract.CommitHeader{First: p.version + 1, Last: last, Prev: p.last, Snap: snap}.SetTo(m.Header.Set)
			p.version = last
		}
		p.last = m.Sequence
		all = append(all, m)
	}
	if w.tamper != nil {
		w.tamper(all)
	}
	return told(all)
}

// told is a source of messages.
type told []message

func (h told) last(_ context.Context, stream string) (uint64, bool, error) {
	last := uint64(0)
	for _, m := range h {
		if m.Stream == stream {
			last = max(last, m.Sequence)
		}
	}
	return last, true, nil
}

func (h told) each(_ context.Context, stream string, upTo uint64, hear func(message)) error {
	for _, m := range h {
		if m.Stream == stream && m.Sequence <= upTo {
			hear(m)
		}
	}
	return nil
}

var (
	teaPrice = money.New(500, "EUR")
	potPrice = money.New(2000, "EUR")
	total    = money.New(3000, "EUR")
	lines    = []line.Line{{SKU: "POT", Quantity: 1}, {SKU: "TEA", Quantity: 2}}
)

const capacity = 100

// good is a history in which everything happened that may happen: "del" is
// delivered, "ref" cancelled after it was paid, "voi" after it was authorized, "ear"
// before it was; "dec" is declined, "oos" out of stock; "app" was held and approved, is
// delivered and refunded in part; "rej" was rejected, "hel" is still held.
// The rules rejected "bad" and held "odd".
func good(t testing.TB) *world {
	t.Helper()
	w := &world{t: t}
	do(w, catalog.Events, "TEA", catalog.Event(catalog.ProductPut{Name: "Tea", Price: teaPrice, Active: true}))
	do(w, catalog.Events, "POT", catalog.Event(catalog.ProductPut{Name: "Pot", Price: potPrice, Active: true}))
	w.seed("POT")
	w.short("oos") // of TEA, which arrives only now
	w.seed("TEA")
	w.deliver("del")
	w.refund("ref")
	w.void("voi")
	w.cancelEarly("ear")
	w.decline("dec")
	w.approve("app")
	w.giveBack("app")
	w.reject("rej")
	w.hold("hel")
	w.refuse("bad")
	w.approveRuled("odd")
	return w
}

// said is a decision of rules.
func said(outcome orders.Outcome) *orders.Acceptance {
	return &orders.Acceptance{Outcome: outcome, Rule: "r", Reason: "because", Revision: 3}
}

// refuse is an order that the rules reject.
func (w *world) refuse(id string) {
	do(w, orders.Events, id, []orders.Event{placedWith(said(orders.OutcomeReject)), orders.OrderCancelled{Reason: "because"}}...)
}

// approveRuled is an order that the rules hold; it is approved and delivered.
func (w *world) approveRuled(id string) {
	w.approve(id)
	i := w.index("evt.order."+id, "order.placed.v1")
	data, err := contract.Marshal(placedWith(said(orders.OutcomeHold)))
	if err != nil {
		w.t.Fatal(err)
	}
	w.acts[i].events[0].Data = data
}

func (w *world) seed(sku string) {
	do(w, inventory.StockEvents, sku, inventory.StockEvent(inventory.StockAdjusted{Delta: capacity, Reason: "seed"}))
}

func (w *world) place(id string) {
	do(w, orders.Events, id, orders.Event(placedWith(nil)))
	w.add(contract.FlowStream, contract.FlowInput("orders", 3, "checkout", id), map[string]any{"order_id": id})
	w.journal(id, 1, "running")
}

func placedWith(said *orders.Acceptance) orders.OrderPlaced {
	return orders.OrderPlaced{
		CustomerID: "c1", Total: total, PaymentReference: "sealed", RequestHash: "h", PlacedAt: time.Unix(1, 0).UTC(), Acceptance: said,
		Lines: []orders.Line{{SKU: "TEA", Name: "Tea", Quantity: 2, UnitPrice: teaPrice}, {SKU: "POT", Name: "Pot", Quantity: 1, UnitPrice: potPrice}},
	}
}

// journal writes the checkout's journal with so many records.
func (w *world) journal(id string, records int, status string) {
	var list []map[string]any
	for i := range records {
		list = append(list, map[string]any{"i": i, "kind": "step", "name": fmt.Sprintf("s%d", i), "out": map[string]any{"n": i}})
	}
	w.page(id, map[string]any{"status": status, "records": list})
}

func (w *world) page(id string, members map[string]any) {
	page := map[string]any{"v": 1, "flow": "checkout", "id": id, "version": 1, "start": 1, "writer": "w", "n": 1}
	maps.Copy(page, members)
	w.add(contract.FlowStream, contract.FlowLog("orders", "checkout", id), page)
}

func (w *world) open(id string) {
	do(w, inventory.ReservationEvents, id, inventory.ReservationEvent(inventory.ReservationOpened{Lines: lines}))
}

func (w *world) stock(event func(quantity int64) inventory.StockEvent, which ...line.Line) {
	for _, l := range which {
		do(w, inventory.StockEvents, l.SKU, event(l.Quantity))
	}
}

func (w *world) reserve(id string) {
	w.open(id)
	w.stock(func(q int64) inventory.StockEvent { return inventory.StockHeld{OrderID: id, Quantity: q} }, lines...)
	do(w, inventory.ReservationEvents, id, inventory.ReservationEvent(inventory.ReservationHeld{}))
}

func (w *world) release(id string) {
	do(w, inventory.ReservationEvents, id, inventory.ReservationEvent(inventory.ReservationReleased{}))
	w.stock(func(q int64) inventory.StockEvent { return inventory.StockHoldReleased{OrderID: id, Quantity: q} }, lines...)
}

func (w *world) sell(id string) {
	do(w, inventory.ReservationEvents, id, inventory.ReservationEvent(inventory.ReservationCommitted{}))
	w.stock(func(q int64) inventory.StockEvent { return inventory.StockSold{OrderID: id, Quantity: q} }, lines...)
}

func (w *world) charge(id string, status sandbox.ChargeStatus) {
	w.write(sandbox.ProviderBook, sandbox.ChargeKeyIn("k-"+id), sandbox.ChargeRecord{
		ChargeID: "ch-" + id, Key: "k-" + id, OrderID: id, Amount: total, Status: status,
	})
}

func (w *world) settle(id string, status sandbox.ChargeStatus) {
	w.write(sandbox.ProviderBook, sandbox.SettleKeyIn("ch-"+id), sandbox.SettleRecord{ChargeID: "ch-" + id, Status: status})
}

func (w *world) authorize(id string) {
	w.charge(id, sandbox.ChargeAuthorized)
	do(w, payments.Events, id, payments.Event(payments.PaymentAuthorized{PaymentID: "ch-" + id, Amount: total}))
	do(w, orders.Events, id, orders.Event(orders.OrderConfirmed{PaymentID: "ch-" + id}))
}

func (w *world) capture(id string) {
	w.settle(id, sandbox.ChargeCaptured)
	do(w, payments.Events, id, payments.Event(payments.PaymentCaptured{Amount: total}))
}

func (w *world) cancel(id, reason string) {
	do(w, orders.Events, id, orders.Event(orders.OrderCancelled{Reason: reason}))
}

func (w *world) hold(id string) {
	w.place(id)
	do(w, orders.Events, id, orders.Event(orders.OrderHeld{Reason: orders.HoldOverLimit, Until: time.Unix(9, 0).UTC()}))
	w.journal(id, 1, "waiting")
}

func (w *world) approve(id string) {
	w.hold(id)
	do(w, orders.Events, id, orders.Event(orders.OrderApproved{}))
	w.carryOut(id)
}

func (w *world) reject(id string) {
	w.hold(id)
	do(w, orders.Events, id, []orders.Event{orders.OrderRejected{}, orders.OrderCancelled{Reason: orders.ReasonRejected}}...)
	w.journal(id, 1, "failed")
}

// giveBack refunds a delivered order: r1 is refused, r2 and r3 are made.
func (w *world) giveBack(id string) {
	euros := func(minor int64) money.Amount { return money.New(minor, "EUR") }
	ask := func(refund string, minor int64) {
		do(w, orders.Events, id, orders.Event(orders.OrderRefundRequested{RefundID: refund, Amount: euros(minor), Reason: "late"}))
	}
	ask("r1", 3000)
	do(w, orders.Events, id, orders.Event(orders.OrderRefundFailed{RefundID: "r1", Reason: "no"}))
	ask("r2", 1000)
	ask("r3", 500)
	for n, r := range []sandbox.RefundRecord{{ChargeID: "ch-" + id, Key: "k3", Amount: euros(500)}, {ChargeID: "ch-" + id, Key: "k2", Amount: euros(1000)}} {
		refund := "r" + r.Key[1:]
		w.write(sandbox.ProviderBook, sandbox.RefundKeyIn("ch-"+id, n+1), r)
		do(w, payments.Events, id, payments.Event(payments.PaymentRefunded{RefundID: refund, Amount: r.Amount}))
		sum := euros(500 + int64(n)*1000)
		do(w, orders.Events, id, orders.Event(orders.OrderRefunded{RefundID: refund, Amount: r.Amount, Refunded: sum}))
	}
}

func (w *world) deliver(id string) {
	w.place(id)
	w.carryOut(id)
}

func (w *world) carryOut(id string) {
	w.reserve(id)
	w.authorize(id)
	w.journal(id, 2, "running")
	w.capture(id)
	w.sell(id)
	do(w, orders.Events, id, orders.Event(orders.OrderDispatched{}))
	w.write(sandbox.CarrierBook, sandbox.ParcelKeyIn(id), sandbox.ParcelRecord{TrackingID: "tr-" + id, OrderID: id, Lines: slices.Clone(lines)})
	do(w, shipping.Events, id, shipping.Event(shipping.ShipmentCreated{ShipmentID: "tr-" + id}))
	do(w, orders.Events, id, orders.Event(orders.OrderShipped{ShipmentID: "tr-" + id}))
	w.page(id, map[string]any{"status": "running", "pages": []uint64{w.sequence(contract.FlowStream)}})
	w.page(id, map[string]any{"status": "completed", "pages": []uint64{w.sequence(contract.FlowStream) - 1}})
	do(w, shipping.Events, id, shipping.Event(shipping.ShipmentDelivered{ShipmentID: "tr-" + id}))
	w.write(sandbox.CarrierBook, sandbox.EndKeyIn(id), sandbox.EndRecord{TrackingID: "tr-" + id, Status: sandbox.ParcelDone})
	do(w, orders.Events, id, orders.Event(orders.OrderDelivered{}))
}

// sequence is the last one of a stream so far.
func (w *world) sequence(stream string) uint64 {
	n := uint64(0)
	for _, a := range w.acts {
		if a.stream == stream {
			n++
		}
	}
	return n
}

func (w *world) refund(id string) {
	w.place(id)
	w.reserve(id)
	w.authorize(id)
	w.capture(id)
	w.sell(id)
	w.cancel(id, "changed_mind")
	w.write(sandbox.ProviderBook, sandbox.RefundKeyIn("ch-"+id, 1), sandbox.RefundRecord{ChargeID: "ch-" + id})
	do(w, payments.Events, id, payments.Event(payments.PaymentRefunded{Amount: total}))
	do(w, inventory.ReservationEvents, id, inventory.ReservationEvent(inventory.ReservationReturned{}))
	w.stock(func(q int64) inventory.StockEvent { return inventory.StockRestocked{OrderID: id, Quantity: q} }, lines...)
	w.journal(id, 3, "cancelled")
}

func (w *world) void(id string) {
	w.place(id)
	w.reserve(id)
	w.authorize(id)
	w.cancel(id, "changed_mind")
	w.settle(id, sandbox.ChargeVoided)
	do(w, payments.Events, id, payments.Event(payments.PaymentVoided{}))
	w.release(id)
	w.journal(id, 1, "failed")
}

func (w *world) cancelEarly(id string) {
	w.place(id)
	w.cancel(id, "changed_mind")
	do(w, payments.Events, id, payments.Event(payments.PaymentVoided{}))
	do(w, inventory.ReservationEvents, id, inventory.ReservationEvent(inventory.ReservationReleased{}))
	w.journal(id, 1, "completed")
}

func (w *world) decline(id string) {
	w.place(id)
	w.reserve(id)
	w.charge(id, sandbox.ChargeDeclined)
	do(w, payments.Events, id, payments.Event(payments.PaymentDeclined{PaymentID: "ch-" + id, Reason: "card_declined"}))
	w.cancel(id, orders.ReasonPaymentDeclined)
	w.release(id)
	w.journal(id, 1, "completed")
}

func (w *world) short(id string) {
	w.place(id)
	w.open(id)
	w.stock(func(q int64) inventory.StockEvent { return inventory.StockHeld{OrderID: id, Quantity: q} }, lines[0])
	do(w, inventory.ReservationEvents, id, inventory.ReservationEvent(inventory.ReservationRefused{Short: "TEA"}))
	w.stock(func(q int64) inventory.StockEvent { return inventory.StockHoldReleased{OrderID: id, Quantity: q} }, lines[0])
	w.cancel(id, orders.ReasonOutOfStock)
	w.journal(id, 1, "completed")
}
