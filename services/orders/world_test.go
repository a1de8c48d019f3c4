package orders_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/eventstore"
	"github.com/ordermesh/ordermesh/bus/rpc"
	"github.com/ordermesh/ordermesh/bus/telemetry"
	"github.com/ordermesh/ordermesh/contracts/catalog"
	"github.com/ordermesh/ordermesh/contracts/inventory"
	"github.com/ordermesh/ordermesh/contracts/line"
	"github.com/ordermesh/ordermesh/contracts/money"
	wire "github.com/ordermesh/ordermesh/contracts/orders"
	"github.com/ordermesh/ordermesh/contracts/payments"
	"github.com/ordermesh/ordermesh/contracts/postal"
	"github.com/ordermesh/ordermesh/contracts/sealed"
	"github.com/ordermesh/ordermesh/contracts/shipping"
	"github.com/ordermesh/ordermesh/services/orders"
)

func TestMain(m *testing.M) { bustest.Main(m) }

const patience = 20 * time.Second

// world is everything around the orders service, played by the test: what the other
// services would remember, and a hook before each of their answers.
type world struct {
	broker *bustest.Broker
	client *rpc.Client
	conn   *bus.Conn
	key    *sealed.PrivateKey

	mu       sync.Mutex
	products map[string]catalog.Product
	stock    map[string]inventory.Status // by order
	money    map[string]payments.Payment // by order
	refunds  map[string]bool             // made, by order and refund id
	parcels  map[string]int              // shipments created, by order
	shipped  map[string]bool             // commands that created one: a repeated call is the same command
	tokens   map[string]string           // opened, by order
	hooks    map[string]func(ctx context.Context, order string) error
}

// newWorld plays the surroundings and runs so many instances of the orders service.
func newWorld(t *testing.T, instances int) *world {
	t.Helper()
	return newWorldWith(t, instances, orders.Config{})
}

func newWorldWith(t *testing.T, instances int, cfg orders.Config) *world {
	t.Helper()
	key, err := sealed.NewPrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		broker: bustest.Server(t, bustest.WithServices(wire.Descriptor, shipping.Descriptor)), key: key,
		products: map[string]catalog.Product{
			"TEA-001": {SKU: "TEA-001", Name: "Assam", Price: money.New(1299, "EUR"), Active: true, Version: 1},
			"POT-001": {SKU: "POT-001", Name: "Pot", Price: money.New(4500, "EUR"), Active: true, Version: 1},
			"OLD-001": {SKU: "OLD-001", Name: "Old", Price: money.New(1, "EUR"), Version: 2},
			"USD-001": {SKU: "USD-001", Name: "Dime", Price: money.New(10, "USD"), Active: true, Version: 1},
			"MAX-001": {SKU: "MAX-001", Name: "Moon", Price: money.New(1<<62, "EUR"), Active: true, Version: 1},
		},
		stock: map[string]inventory.Status{}, money: map[string]payments.Payment{}, parcels: map[string]int{}, shipped: map[string]bool{},
		refunds: map[string]bool{}, tokens: map[string]string{}, hooks: map[string]func(context.Context, string) error{},
	}
	w.conn = w.broker.Dial(t)
	w.client = rpc.NewClient(w.conn)
	bustest.Run(t, w.outside(t)...)
	for range instances {
		s, err := orders.New(w.broker.Dial(t, bustest.WithService("orders")), cfg)
		if err != nil {
			t.Fatal(err)
		}
		bustest.Run(t, s)
	}
	return w
}

// before sets what happens before a service answers a method, such as
// "payments.capture".
func (w *world) before(method string, hook func(ctx context.Context, order string) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hooks[method] = hook
}

// enter runs the hook of a method and then holds the world's memory.
func (w *world) enter(ctx context.Context, m contract.MethodInfo, order string) (leave func(), err error) {
	w.mu.Lock()
	hook := w.hooks[m.FullName()]
	w.mu.Unlock()
	if hook != nil {
		if err := hook(ctx, order); err != nil {
			return nil, err
		}
	}
	w.mu.Lock()
	return w.mu.Unlock, nil
}

// outside builds the other services.
func (w *world) outside(t *testing.T) []*rpc.Server {
	t.Helper()
	server := func(service string, methods ...contract.MethodInfo) *rpc.Server {
		s, err := rpc.NewServer(w.broker.Dial(t, bustest.WithService(service)), contract.Service{Name: service, Serves: methods})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	shop := server("catalog", catalog.Find.Info())
	rpc.Handle(shop, catalog.Find, w.findProducts)
	shelf := server("inventory", inventory.Reserve.Info(), inventory.Release.Info(), inventory.Commit.Info())
	rpc.Handle(shelf, inventory.Reserve, func(ctx context.Context, r inventory.ReserveLines) (inventory.Reservation, error) {
		return w.shelf(ctx, inventory.Reserve.Info(), r.OrderID, map[inventory.Status]inventory.Status{"": inventory.Held})
	})
	rpc.Handle(shelf, inventory.Release, func(ctx context.Context, r inventory.ReservationRef) (inventory.Reservation, error) {
		return w.shelf(ctx, inventory.Release.Info(), r.OrderID, map[inventory.Status]inventory.Status{
			"": inventory.Released, inventory.Held: inventory.Released, inventory.Committed: inventory.Returned,
		})
	})
	rpc.Handle(shelf, inventory.Commit, func(ctx context.Context, r inventory.ReservationRef) (inventory.Reservation, error) {
		return w.shelf(ctx, inventory.Commit.Info(), r.OrderID, map[inventory.Status]inventory.Status{inventory.Held: inventory.Committed})
	})
	bank := server("payments", payments.Key.Info(), payments.Authorize.Info(), payments.Capture.Info(), payments.Void.Info(), payments.Refund.Info())
	rpc.Handle(bank, payments.Key, func(context.Context, payments.GetKey) (payments.PublicKey, error) {
		return payments.PublicKey{KeyID: w.key.Public().ID, Key: w.key.Public().Key}, nil
	})
	rpc.Handle(bank, payments.Authorize, w.authorize)
	rpc.Handle(bank, payments.Capture, w.capture)
	rpc.Handle(bank, payments.Void, w.void)
	rpc.Handle(bank, payments.Refund, w.refund)
	post := server("shipping", shipping.Create.Info())
	rpc.Handle(post, shipping.Create, w.createShipment)
	return []*rpc.Server{shop, shelf, bank, post}
}

func (w *world) findProducts(ctx context.Context, r catalog.FindProducts) (catalog.FoundProducts, error) {
	leave, err := w.enter(ctx, catalog.Find.Info(), "")
	if err != nil {
		return catalog.FoundProducts{}, err
	}
	defer leave()
	var found catalog.FoundProducts
	for _, sku := range r.SKUs {
		if p, ok := w.products[sku]; ok {
			found.Products = append(found.Products, p)
		}
	}
	return found, nil
}

// shelf moves an order's reservation where moves says, or leaves it.
func (w *world) shelf(ctx context.Context, m contract.MethodInfo, order string, moves map[inventory.Status]inventory.Status) (inventory.Reservation, error) {
	leave, err := w.enter(ctx, m, order)
	if err != nil {
		return inventory.Reservation{}, err
	}
	defer leave()
	if next, ok := moves[w.stock[order]]; ok {
		w.stock[order] = next
	}
	return inventory.Reservation{OrderID: order, Status: w.stock[order]}, nil
}

func (w *world) authorize(ctx context.Context, r payments.AuthorizePayment) (payments.Payment, error) {
	leave, err := w.enter(ctx, payments.Authorize.Info(), r.OrderID)
	if err != nil {
		return payments.Payment{}, err
	}
	defer leave()
	token, err := w.key.Open(r.Reference, r.OrderID)
	if err != nil {
		return payments.Payment{}, payments.ErrReference
	}
	w.tokens[r.OrderID] = token
	p := w.money[r.OrderID]
	switch {
	case p.Status == payments.Voided:
		return payments.Payment{}, payments.ErrVoided
	case p.Status == "" && token == "tok_declined":
		p = payments.Payment{OrderID: r.OrderID, Status: payments.Declined}
	case p.Status == "":
		p = payments.Payment{OrderID: r.OrderID, PaymentID: "ch_" + r.OrderID, Status: payments.Authorized, Amount: r.Amount}
	}
	w.money[r.OrderID] = p
	return p, nil
}

func (w *world) capture(ctx context.Context, r payments.PaymentRef) (payments.Payment, error) {
	return w.pay(ctx, payments.Capture.Info(), r.OrderID, func(p *payments.Payment) error {
		if p.Status == payments.Authorized {
			p.Status, p.Captured = payments.Captured, p.Amount
		}
		return nil
	})
}

func (w *world) void(ctx context.Context, r payments.PaymentRef) (payments.Payment, error) {
	return w.pay(ctx, payments.Void.Info(), r.OrderID, func(p *payments.Payment) error {
		switch p.Status {
		case payments.Captured:
			return payments.ErrCaptured
		case "", payments.Authorized:
			p.Status = payments.Voided
		case payments.Declined, payments.Voided, payments.Refunded:
		}
		return nil
	})
}

func (w *world) refund(ctx context.Context, r payments.RefundPayment) (payments.Payment, error) {
	return w.pay(ctx, payments.Refund.Info(), r.OrderID, func(p *payments.Payment) error {
		amount := p.Captured
		if r.Amount != nil {
			amount = r.Amount.Amount()
		}
		key := r.OrderID + " " + r.RefundID
		if p.Status != payments.Captured || w.refunds[key] {
			return nil
		}
		w.refunds[key] = true
		if p.Refunded, _ = p.Refunded.Add(amount); p.Refunded == p.Captured {
			p.Status = payments.Refunded
		}
		return nil
	})
}

func (w *world) pay(ctx context.Context, m contract.MethodInfo, order string, change func(*payments.Payment) error) (payments.Payment, error) {
	leave, err := w.enter(ctx, m, order)
	if err != nil {
		return payments.Payment{}, err
	}
	defer leave()
	p := w.money[order]
	p.OrderID = order
	if err := change(&p); err != nil {
		return payments.Payment{}, err
	}
	w.money[order] = p
	return p, nil
}

func (w *world) createShipment(ctx context.Context, r shipping.CreateShipment) (shipping.Shipment, error) {
	leave, err := w.enter(ctx, shipping.Create.Info(), r.OrderID)
	if err != nil {
		return shipping.Shipment{}, err
	}
	defer leave()
	if command := telemetry.CommandFrom(ctx); command == "" || !w.shipped[command] {
		w.shipped[command] = true
		w.parcels[r.OrderID]++
	}
	return shipping.Shipment{OrderID: r.OrderID, ShipmentID: "tr_" + r.OrderID, Status: shipping.Created, Version: 1}, nil
}

// deliver appends what the shipping service says when the carrier has delivered.
func (w *world) deliver(t *testing.T, order string) {
	t.Helper()
	shipments := eventstore.NewEntity(eventstore.NewJetStreamLog(w.conn, shipping.Events.Info().Stream), shipping.Events,
		func(_ struct{}, e shipping.Event) ([]shipping.Event, error) { return []shipping.Event{e}, nil },
		func(s struct{}, _ shipping.Event) struct{} { return s })
	for _, e := range []shipping.Event{shipping.ShipmentCreated{ShipmentID: "tr_" + order}, shipping.ShipmentDelivered{ShipmentID: "tr_" + order}} {
		if _, _, err := shipments.Do(t.Context(), order, "", e); err != nil {
			t.Fatal(err)
		}
	}
}

// at is what the world remembers of an order.
func (w *world) at(order string) (inventory.Status, payments.Status, int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stock[order], w.money[order].Status, w.parcels[order]
}

func request(customer, token string, lines ...line.Line) wire.PlaceOrder {
	if len(lines) == 0 {
		lines = []line.Line{{SKU: "TEA-001", Quantity: 2}}
	}
	return wire.PlaceOrder{
		CustomerID: customer, Lines: lines, Payment: wire.PaymentMethod{Token: token},
		ShipTo: postal.Address{Name: "Ada", Line1: "1 Main St", City: "Berlin", PostalCode: "10115", Country: "DE"},
	}
}

func (w *world) place(t *testing.T, req wire.PlaceOrder, opts ...rpc.CallOption) wire.Order {
	t.Helper()
	o, err := rpc.Call(t.Context(), w.client, wire.Place, req, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func (w *world) get(t *testing.T, order string) wire.Order {
	t.Helper()
	o, err := rpc.Call(t.Context(), w.client, wire.Get, wire.GetOrder{OrderID: order})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// reaches waits until the order has a status.
func (w *world) reaches(t *testing.T, order string, status wire.Status) wire.Order {
	t.Helper()
	var o wire.Order
	bustest.Eventually(t, patience, func() bool { o = w.get(t, order); return o.Status == status }, order, " to be ", status)
	return o
}

func types(o wire.Order) []string {
	var names []string
	for _, c := range o.History {
		names = append(names, c.Type)
	}
	return names
}
