package shipping

import (
	"context"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/policy"
	"github.com/ordermesh/ordermesh/bus/rpc"
	"github.com/ordermesh/ordermesh/contracts/sandbox"
)

// Carrier is a carrier; there is one parcel per order. Its errors are those of
// contracts/sandbox. It reports deliveries to the method shipping.deliver.
type Carrier interface {
	// Ship hands a parcel over, or answers the one that it has.
	Ship(ctx context.Context, r sandbox.ShipParcel) (sandbox.Parcel, error)
	// Cancel stops a parcel that is not delivered, also one that is not taken on yet.
	Cancel(ctx context.Context, orderID string) (sandbox.Parcel, error)
	// Query says where the parcel of an order is; sandbox.ErrNoParcel if there is none.
	Query(ctx context.Context, orderID string) (sandbox.Parcel, error)
	// List lists parcels, the oldest first.
	List(ctx context.Context, r sandbox.BookPage) (sandbox.ParcelList, error)
}

// sandboxCarrier reaches the sandbox over the wire.
type sandboxCarrier struct{ client *rpc.Client }

func newSandboxCarrier(conn *bus.Conn, policies *policy.Set) sandboxCarrier {
	return sandboxCarrier{rpc.NewClient(conn, rpc.WithPolicies(policies))}
}

// Ship implements Carrier.
func (c sandboxCarrier) Ship(ctx context.Context, r sandbox.ShipParcel) (sandbox.Parcel, error) {
	return rpc.Call(ctx, c.client, sandbox.Ship, r)
}

// Cancel implements Carrier.
func (c sandboxCarrier) Cancel(ctx context.Context, orderID string) (sandbox.Parcel, error) {
	return rpc.Call(ctx, c.client, sandbox.CancelParcel, sandbox.ParcelRef{OrderID: orderID})
}

// Query implements Carrier.
func (c sandboxCarrier) Query(ctx context.Context, orderID string) (sandbox.Parcel, error) {
	return rpc.Call(ctx, c.client, sandbox.QueryParcel, sandbox.ParcelRef{OrderID: orderID})
}

// List implements Carrier.
func (c sandboxCarrier) List(ctx context.Context, r sandbox.BookPage) (sandbox.ParcelList, error) {
	return rpc.Call(ctx, c.client, sandbox.ListParcels, r)
}
