package orders

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/failpoint"
	"github.com/ordermesh/ordermesh/bus/rpc"
	"github.com/ordermesh/ordermesh/bus/telemetry"
	"github.com/ordermesh/ordermesh/contracts/catalog"
	"github.com/ordermesh/ordermesh/contracts/idem"
	"github.com/ordermesh/ordermesh/contracts/line"
	"github.com/ordermesh/ordermesh/contracts/orders"
	"github.com/ordermesh/ordermesh/services/orders/domain"
)

// place places an order, or finds the one that the same request placed before. That
// one is looked for before the catalog is asked, so that a retry succeeds also after
// a price has changed or a product is gone.
func (s *Service) place(ctx context.Context, req orders.PlaceOrder) (orders.Order, error) {
	actor := telemetry.ActorFrom(ctx)
	if actor.For != "" && actor.For != req.CustomerID {
		return orders.Order{}, orders.ErrCustomer.At("/customer_id")
	}
	hash, err := requestHash(req)
	if err != nil {
		return orders.Order{}, err
	}
	id, repeatable := orderID(ctx, actor, req)
	if repeatable { // a first look, which may miss a very new order: storing finds it
		order, found, err := s.placedBefore(ctx, id, hash, s.orders.Peek)
		if found || err != nil {
			return order, err
		}
	}
	lines, err := s.priced(ctx, req.Lines)
	if err != nil {
		return s.otherwise(ctx, id, hash, err)
	}
	reference, err := s.sealer.seal(ctx, req.Payment.Token, id)
	if err != nil {
		return orders.Order{}, err
	}
	command := domain.Place{
		CustomerID: req.CustomerID, Lines: lines, Reference: reference, ShipTo: req.ShipTo,
		Hash: hash, At: time.Now().UTC().Truncate(time.Microsecond), // as exact as every view
	}
	if err := s.rules.decide(ctx, &command); err != nil {
		return orders.Order{}, err
	}
	return s.store(ctx, id, command)
}

// otherwise answers an order that the first look has missed, or why the catalog
// refuses it.
func (s *Service) otherwise(ctx context.Context, id, hash string, refusal error) (orders.Order, error) {
	order, found, err := s.placedBefore(ctx, id, hash, s.orders.Get)
	if found || err != nil {
		return order, err
	}
	return orders.Order{}, refusal
}

// placePrefix begins the ids of the commands that place orders.
const placePrefix = "place."

// store appends the order and answers what was stored. Each attempt has a command
// id of its own: who comes second finds the order placed and answers the first one's.
func (s *Service) store(ctx context.Context, id string, c domain.Place) (orders.Order, error) {
	_, _, err := s.orders.Do(ctx, id, placePrefix+idem.Fresh(), c)
	failpoint.Hit("orders.placed")
	if errors.Is(err, orders.ErrPlaced) {
		order, found, err := s.placedBefore(ctx, id, c.Hash, s.orders.Get)
		if err == nil && !found {
			err = contract.ErrUnavailable
		}
		return order, err
	}
	if err != nil {
		return orders.Order{}, err
	}
	events, err := domain.Decide(domain.Order{}, c)
	if err != nil {
		return orders.Order{}, err
	}
	return forCaller(ctx, placedView(id, events[0])), refusal(id, c.Acceptance)
}

// orderID is the id of the order to be placed, and whether the same request would
// find it again.
func orderID(ctx context.Context, actor contract.Actor, req orders.PlaceOrder) (id string, repeatable bool) {
	if req.OrderID != "" {
		return req.OrderID, true
	}
	if key := telemetry.CommandFrom(ctx); key != "" {
		return orders.DeriveID(actor, key), true
	}
	return orders.NewID(), false
}

// requestHash recognises a request. Equal requests have equal encodings, because the
// encoding is of the decoded request.
func requestHash(req orders.PlaceOrder) (string, error) {
	body, err := contract.Marshal(req)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(body)
	return base64.RawURLEncoding.EncodeToString(sum[:]), nil
}

// placedBefore answers the order that is there as it was when it was placed, if the
// same request placed it. What it compares never changes, so any read does that finds
// the order.
func (s *Service) placedBefore(
	ctx context.Context, id, hash string, read func(context.Context, string) (domain.Order, uint64, error),
) (order orders.Order, found bool, err error) {
	o, version, err := read(ctx, id)
	switch {
	case err != nil || version == 0:
		return orders.Order{}, false, err
	case o.RequestHash != hash:
		return orders.Order{}, true, orders.ErrKeyReused
	}
	history, err := s.orders.History(ctx, id)
	if err != nil || len(history) == 0 {
		return orders.Order{}, false, err
	}
	order = placedView(id, history[0].Data)
	return forCaller(ctx, order), true, refusal(id, order.Acceptance)
}

// priced looks up every line in the catalog, with one call.
func (s *Service) priced(ctx context.Context, lines []line.Line) ([]orders.Line, error) {
	skus := make([]string, len(lines))
	for i, l := range lines {
		skus[i] = l.SKU
	}
	found, err := rpc.Call(ctx, s.client, catalog.Find, catalog.FindProducts{SKUs: skus})
	if err != nil {
		return nil, err
	}
	priced := make([]orders.Line, len(lines))
	for i, l := range lines {
		if priced[i], err = price(i, l, found.Products); err != nil {
			return nil, err
		}
	}
	return priced, nil
}

// price is a line at the price that the catalog has found.
func price(i int, l line.Line, found []catalog.Product) (orders.Line, error) {
	field := "/lines/" + strconv.Itoa(i) + "/sku"
	at := slices.IndexFunc(found, func(p catalog.Product) bool { return p.SKU == l.SKU })
	switch {
	case at < 0:
		return orders.Line{}, orders.ErrProduct.At(field).Sayf("the catalog has no product %s", l.SKU)
	case !found[at].Active:
		return orders.Line{}, orders.ErrInactive.At(field).Sayf("product %s is not sold now", l.SKU)
	}
	return orders.Line{SKU: l.SKU, Name: found[at].Name, Quantity: l.Quantity, UnitPrice: found[at].Price}, nil
}
