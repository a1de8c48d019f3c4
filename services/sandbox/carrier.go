package sandbox

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nuid"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/config"
	"github.com/ordermesh/ordermesh/bus/failpoint"
	"github.com/ordermesh/ordermesh/bus/rpc"
	"github.com/ordermesh/ordermesh/contracts/sandbox"
)

const trackingPrefix = "tr_"

// CarrierConfig of a Carrier. The zero value works.
type CarrierConfig struct {
	Settings func() sandbox.CarrierSettings // asked for each call; nil are the defaults
}

// Carrier is the carrier. A parcel is delivered when it is due, whoever knows of it; a
// cancellation counts if it is written before.
type Carrier struct {
	cfg    CarrierConfig
	book   *book
	server *rpc.Server
	round  *round
	end    chan struct{} // closed when Run is asked to end
}

// NewCarrier builds the carrier on a connection and starts nothing.
func NewCarrier(conn *bus.Conn, cfg CarrierConfig) (*Carrier, error) {
	if cfg.Settings == nil {
		cfg.Settings = config.Fixed(config.Defaults[sandbox.CarrierSettings]())
	}
	server, err := rpc.NewServer(conn, sandbox.Carrier)
	if err != nil {
		return nil, err
	}
	b, end := newBook(conn, sandbox.CarrierBook), make(chan struct{})
	now := func() mood {
		s := cfg.Settings()
		return mood{s.Latency, s.Trouble, end}
	}
	c := &Carrier{cfg: cfg, book: b, server: server, round: newRound(conn, b), end: end}
	rpc.Handle(server, sandbox.Ship, behave(now, c.ship))
	rpc.Handle(server, sandbox.CancelParcel, behave(now, c.cancel))
	rpc.Handle(server, sandbox.QueryParcel, behave(now, c.query))
	rpc.Handle(server, sandbox.ListParcels, behave(now, c.list))
	return c, nil
}

// Run waits for the book, serves and delivers until ctx ends, then drains.
func (c *Carrier) Run(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() { close(c.end) })()
	if err := c.book.open(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	var rounds sync.WaitGroup
	rounds.Go(func() { c.round.run(ctx) })
	defer rounds.Wait()
	return c.server.Run(ctx)
}

// Ready is closed once the carrier answers.
func (c *Carrier) Ready() <-chan struct{} { return c.server.Ready() }

func (c *Carrier) ship(ctx context.Context, req sandbox.ShipParcel) (sandbox.Parcel, error) {
	now := time.Now().UTC()
	parcel := sandbox.ParcelRecord{
		TrackingID: trackingPrefix + nuid.Next(), OrderID: req.OrderID, Lines: req.Lines,
		Due: now.Add(time.Duration(req.TransitMS) * time.Millisecond), At: now,
	}
	created, err := c.book.create(ctx, sandbox.ParcelKeyIn(req.OrderID), parcel)
	if err != nil {
		return sandbox.Parcel{}, err
	}
	failpoint.Hit("carrier.shipped")
	if !created {
		parcel = sandbox.ParcelRecord{}
		if found, err := c.book.read(ctx, sandbox.ParcelKeyIn(req.OrderID), &parcel); err != nil || !found {
			return sandbox.Parcel{}, orUnavailable(err)
		}
		if !slices.Equal(parcel.Lines, req.Lines) {
			return sandbox.Parcel{}, sandbox.ErrDiffers
		}
	}
	state, err := c.state(ctx, parcel)
	switch {
	case err != nil:
		return sandbox.Parcel{}, err
	case state.Status == sandbox.ParcelCancelled:
		return sandbox.Parcel{}, sandbox.ErrCancelled
	}
	c.round.take(parcel)
	return state, nil
}

// cancel also makes a parcel impossible that was not taken on yet.
func (c *Carrier) cancel(ctx context.Context, req sandbox.ParcelRef) (sandbox.Parcel, error) {
	parcel := sandbox.ParcelRecord{OrderID: req.OrderID}
	found, err := c.book.read(ctx, sandbox.ParcelKeyIn(req.OrderID), &parcel)
	if err != nil {
		return sandbox.Parcel{}, err
	}
	if found && !time.Now().Before(parcel.Due) {
		return c.late(ctx, parcel)
	}
	end := sandbox.EndRecord{TrackingID: parcel.TrackingID, Status: sandbox.ParcelCancelled, At: time.Now().UTC()}
	created, err := c.book.create(ctx, sandbox.EndKeyIn(req.OrderID), end)
	switch {
	case err != nil:
		return sandbox.Parcel{}, err
	case created:
		failpoint.Hit("carrier.cancelled")
		return sandbox.Parcel{TrackingID: parcel.TrackingID, Status: sandbox.ParcelCancelled}, nil
	}
	return c.late(ctx, parcel)
}

// late answers a cancellation that finds the parcel due or ended.
func (c *Carrier) late(ctx context.Context, parcel sandbox.ParcelRecord) (sandbox.Parcel, error) {
	state, err := c.state(ctx, parcel)
	switch {
	case err != nil:
		return sandbox.Parcel{}, err
	case state.Status != sandbox.ParcelCancelled:
		return sandbox.Parcel{}, sandbox.ErrDelivered
	}
	return state, nil
}

func (c *Carrier) query(ctx context.Context, req sandbox.ParcelRef) (sandbox.Parcel, error) {
	var parcel sandbox.ParcelRecord
	found, err := c.book.read(ctx, sandbox.ParcelKeyIn(req.OrderID), &parcel)
	switch {
	case err != nil:
		return sandbox.Parcel{}, err
	case !found:
		return sandbox.Parcel{}, sandbox.ErrNoParcel
	}
	return c.state(ctx, parcel)
}

// state says where a parcel is now.
func (c *Carrier) state(ctx context.Context, parcel sandbox.ParcelRecord) (sandbox.Parcel, error) {
	p := sandbox.Parcel{TrackingID: parcel.TrackingID, Due: parcel.Due, Status: sandbox.ParcelInTransit}
	var end sandbox.EndRecord
	found, err := c.book.ask(ctx, sandbox.EndKeyIn(parcel.OrderID), &end)
	switch {
	case err != nil:
		return sandbox.Parcel{}, err
	case found:
		p.Status = end.Status
	case !time.Now().Before(parcel.Due):
		p.Status = sandbox.ParcelDone
	}
	return p, nil
}
