package sandbox

import (
	"time"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/contracts/line"
	"github.com/ordermesh/ordermesh/contracts/postal"
)

// The methods of the carrier. There is one parcel per order.
var (
	Ship = contract.NewMethod[ShipParcel, Parcel]("carrier", "ship", contract.Idempotent(),
		contract.Doc("takes a parcel on and says when it is due"))
	CancelParcel = contract.NewMethod[ParcelRef, Parcel]("carrier", "cancel", contract.Idempotent(), contract.Urgent(),
		contract.Doc("stops a parcel that is not delivered; also one that is not taken on yet"))
	QueryParcel = contract.NewMethod[ParcelRef, Parcel]("carrier", "query", contract.Read(),
		contract.Doc("answers where a parcel is; not_found if there is none"))
)

// Deliver is the carrier's callback: the carrier says what it looks like, the
// merchant's shipping service answers it. It is repeated until it is answered.
var Deliver = contract.NewMethod[ParcelDelivered, Receipt]("shipping", "deliver", contract.Idempotent(),
	contract.Doc("the carrier's callback: the parcel was delivered"))

// MaxTransit is the longest time that a parcel may be asked to take.
const MaxTransit = 90 * 24 * time.Hour

// ShipParcel hands a parcel over.
type ShipParcel struct {
	OrderID   string         `json:"order_id"`
	To        postal.Address `json:"to"`
	Lines     []line.Line    `json:"lines"`
	TransitMS int64          `json:"transit_ms"` // how long the chosen service takes
}

// Validate refuses malformed parcels.
func (r ShipParcel) Validate() error {
	if err := contract.CheckID("/order_id", r.OrderID); err != nil {
		return err
	}
	if err := r.To.Check("/to"); err != nil {
		return err
	}
	if r.TransitMS < 0 || r.TransitMS > MaxTransit.Milliseconds() {
		return contract.ErrInvalid.At("/transit_ms").Sayf("transit_ms must be 0 to %d", MaxTransit.Milliseconds())
	}
	return line.Check("/lines", r.Lines)
}

// ParcelRef names the parcel of an order.
type ParcelRef struct {
	OrderID string `json:"order_id"`
}

// Validate refuses a malformed id.
func (r ParcelRef) Validate() error { return contract.CheckID("/order_id", r.OrderID) }

// ParcelStatus is where a parcel is.
type ParcelStatus string

// The states of a parcel.
const (
	ParcelInTransit ParcelStatus = "in_transit"
	ParcelDone      ParcelStatus = "delivered"
	ParcelCancelled ParcelStatus = "cancelled"
)

// Parcel is a parcel as it is now.
type Parcel struct {
	TrackingID string       `json:"tracking_id"`
	Status     ParcelStatus `json:"status"`
	Due        time.Time    `json:"due,omitzero"`
}

// ParcelDelivered is what the carrier reports.
type ParcelDelivered struct {
	OrderID    string `json:"order_id"`
	TrackingID string `json:"tracking_id"`
}

// Validate refuses malformed ids.
func (r ParcelDelivered) Validate() error {
	if err := contract.CheckID("/order_id", r.OrderID); err != nil {
		return err
	}
	return contract.CheckID("/tracking_id", r.TrackingID)
}

// Receipt is the merchant's answer to a callback.
type Receipt struct {
	OrderID string `json:"order_id"`
	Version uint64 `json:"version"` // of the shipment
}

// Refusals of the carrier.
var (
	ErrNoParcel  = contract.NewError(contract.NotFound, "parcel_not_found", "there is no parcel for this order")
	ErrDiffers   = contract.NewError(contract.Conflict, "parcel_differs", "the order has a parcel with other contents")
	ErrCancelled = contract.NewError(contract.FailedPrecondition, "parcel_cancelled", "the parcel is cancelled")
	ErrDelivered = contract.NewError(contract.FailedPrecondition, "parcel_delivered", "the parcel is delivered")
)

// Carrier is what the carrier says about itself.
var Carrier = contract.Service{
	Name: "carrier", Version: "1.0.0",
	Doc:      "Sandbox of a carrier: an outside firm with its own book.",
	Serves:   []contract.MethodInfo{Ship.Info(), CancelParcel.Info(), QueryParcel.Info(), ListParcels.Info()},
	Calls:    []contract.MethodInfo{Deliver.Info()},
	Books:    []string{CarrierBook},
	Settings: contract.SettingsOf[CarrierSettings](),
}
