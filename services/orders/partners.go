package orders

import (
	"context"

	"github.com/ordermesh/ordermesh/bus/rpc"
	"github.com/ordermesh/ordermesh/contracts/inventory"
	"github.com/ordermesh/ordermesh/contracts/payments"
	"github.com/ordermesh/ordermesh/contracts/shipping"
)

// The services that the flows of orders work with, as they see them. The key of each call is
// its command id.
type (
	shelf interface {
		reserve(ctx context.Context, key string, r inventory.ReserveLines) (inventory.Status, error)
		release(ctx context.Context, key, orderID string) error
		commit(ctx context.Context, key, orderID string) error
	}
	bank interface {
		authorize(ctx context.Context, key string, r payments.AuthorizePayment) (payments.Payment, error)
		capture(ctx context.Context, key, orderID string) error
		void(ctx context.Context, key, orderID string) error
		refund(ctx context.Context, key string, r payments.RefundPayment) error
	}
	post interface {
		create(ctx context.Context, key string, r shipping.CreateShipment) (shipping.Shipment, error)
	}
)

// partners are the real ones, reached over the wire.
type partners struct{ client *rpc.Client }

func (p partners) reserve(ctx context.Context, key string, r inventory.ReserveLines) (inventory.Status, error) {
	reservation, err := rpc.Call(ctx, p.client, inventory.Reserve, r, rpc.WithCommandID(key))
	return reservation.Status, err
}

func (p partners) release(ctx context.Context, key, orderID string) error {
	_, err := rpc.Call(ctx, p.client, inventory.Release, inventory.ReservationRef{OrderID: orderID}, rpc.WithCommandID(key))
	return err
}

func (p partners) commit(ctx context.Context, key, orderID string) error {
	_, err := rpc.Call(ctx, p.client, inventory.Commit, inventory.ReservationRef{OrderID: orderID}, rpc.WithCommandID(key))
	return err
}

func (p partners) authorize(ctx context.Context, key string, r payments.AuthorizePayment) (payments.Payment, error) {
	return rpc.Call(ctx, p.client, payments.Authorize, r, rpc.WithCommandID(key))
}

func (p partners) capture(ctx context.Context, key, orderID string) error {
	_, err := rpc.Call(ctx, p.client, payments.Capture, payments.PaymentRef{OrderID: orderID}, rpc.WithCommandID(key))
	return err
}

func (p partners) void(ctx context.Context, key, orderID string) error {
	_, err := rpc.Call(ctx, p.client, payments.Void, payments.PaymentRef{OrderID: orderID}, rpc.WithCommandID(key))
	return err
}

func (p partners) refund(ctx context.Context, key string, r payments.RefundPayment) error {
	_, err := rpc.Call(ctx, p.client, payments.Refund, r, rpc.WithCommandID(key))
	return err
}

func (p partners) track(ctx context.Context, key, orderID string) (shipping.Shipment, error) {
	return rpc.Call(ctx, p.client, shipping.Track, shipping.ShipmentRef{OrderID: orderID}, rpc.WithCommandID(key))
}

func (p partners) create(ctx context.Context, key string, r shipping.CreateShipment) (shipping.Shipment, error) {
	return rpc.Call(ctx, p.client, shipping.Create, r, rpc.WithCommandID(key))
}
