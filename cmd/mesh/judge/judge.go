// Package judge checks what a mesh has stored against what it promises: that every
// history is whole, that stock and money add up, that nobody was charged twice and,
// at rest, that nothing was left half done.
//
// It shares nothing with the code it judges but the contracts: it imports no service,
// not the event store, not the flow engine. It reads the raw streams and the outside
// firms' books, folds them itself and changes nothing. It does not watch a mesh; it
// looks once.
//
// It promises to look at every message that was stored when it began, and that each
// finding names the entity, the subject, the stream sequence, what was expected and
// what is. While the mesh works it holds only what must be true at every moment: an
// effect is stored before the order that speaks of it, so orders are read up to an
// earlier moment than everything else. With Options.AtRest it also holds what must be
// true once all work is done.
package judge

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"golang.org/x/sync/errgroup"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/contracts/catalog"
	"github.com/ordermesh/ordermesh/contracts/inventory"
	"github.com/ordermesh/ordermesh/contracts/orders"
	"github.com/ordermesh/ordermesh/contracts/payments"
	"github.com/ordermesh/ordermesh/contracts/sandbox"
	"github.com/ordermesh/ordermesh/contracts/shipping"
)

// Options says what to hold the mesh to.
type Options struct {
	// AtRest says that no work is going on: no client, no flow, no parcel on its way.
	AtRest bool
	// AckedFile names a file of order ids, one a line, that a client was told are
	// placed. Each must be stored. "" for none.
	AckedFile string
}

// ErrNoMesh reports a server without a single stream of the mesh: a wrong address
// must not look like a clean mesh.
var ErrNoMesh = errors.New("the server has none of the mesh's streams")

// source is where messages come from: a server, or a history made by hand.
type source interface {
	// last returns the sequence of the stream's last message. A stream that does not
	// exist gives false.
	last(ctx context.Context, stream string) (sequence uint64, exists bool, err error)
	// each calls hear for every message of the stream, in order, up to the sequence
	// upTo, which exists.
	each(ctx context.Context, stream string, upTo uint64, hear func(message)) error
}

// message is one stored message.
type message struct {
	Stream, Subject string
	Sequence        uint64
	Header          nats.Header
	Data            []byte
}

// Run reads everything that is stored and returns what it found. An error means that
// the judge could not look, not that it found something.
func Run(ctx context.Context, nc *nats.Conn, opts Options) (Report, error) {
	src, err := newServer(nc)
	if err != nil {
		return Report{}, err
	}
	return judge(ctx, src, opts)
}

// testimony is one stream's part: what to read and who folds it.
type testimony struct {
	stream string
	hear   func(message)
	upTo   uint64
	exists bool
	heard  int
}

func judge(ctx context.Context, src source, opts Options) (Report, error) {
	acked, err := readAcked(opts.AckedFile)
	if err != nil {
		return Report{}, err
	}
	begin := time.Now()
	c := newCourt(opts.AtRest)
	all := c.testimonies()
	known := 0
	for _, t := range all { // in this order: see the package comment
		if t.upTo, t.exists, err = src.last(ctx, t.stream); err != nil {
			return Report{}, fmt.Errorf("look at stream %s: %w", t.stream, err)
		}
		if t.exists {
			known++
		}
	}
	if known == 0 {
		return Report{}, ErrNoMesh
	}
	if err := read(ctx, src, all); err != nil {
		return Report{}, err
	}
	c.conclude(acked)
	return c.report(all, opts, time.Since(begin)), nil
}

// read hears every testimony. Two at a time: folding costs as much as reading.
func read(ctx context.Context, src source, all []*testimony) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(2)
	for _, t := range all {
		if t.upTo == 0 {
			continue
		}
		group.Go(func() error {
			hear := func(m message) {
				t.heard++
				t.hear(m)
			}
			if err := src.each(ctx, t.stream, t.upTo, hear); err != nil {
				return fmt.Errorf("read stream %s: %w", t.stream, err)
			}
			return nil
		})
	}
	return group.Wait()
}

// testimonies lists what is read, effects after the orders that speak of them and
// books after the events that speak of those.
func (c *court) testimonies() []*testimony {
	return []*testimony{
		{stream: orders.Events.Info().Stream, hear: c.orders.hear},
		{stream: shipping.Events.Info().Stream, hear: c.shipments.hear},
		{stream: payments.Events.Info().Stream, hear: c.payments.hear},
		{stream: inventory.StockEvents.Info().Stream, hear: c.inventory.hear},
		{stream: catalog.Events.Info().Stream, hear: c.products.hear},
		{stream: "KV_" + sandbox.CarrierBook, hear: c.carrier.hear},
		{stream: "KV_" + sandbox.ProviderBook, hear: c.provider.hear},
		{stream: contract.FlowStream, hear: c.flows.hear},
		{stream: contract.DLQStream, hear: c.letters.hear},
	}
}
