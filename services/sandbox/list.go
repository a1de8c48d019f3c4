package sandbox

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/contracts/sandbox"
)

// list answers a page of charges. What became of each is read after it, so that a page
// is not of one moment.
func (p *Provider) list(ctx context.Context, req sandbox.BookPage) (sandbox.ChargeList, error) {
	var records []sandbox.ChargeRecord
	next, err := page(ctx, p.book, sandbox.ChargeKeyIn("*"), req, &records)
	if err != nil {
		return sandbox.ChargeList{}, err
	}
	list := sandbox.ChargeList{Next: next}
	for _, r := range records {
		charge, err := p.state(ctx, r)
		if err != nil {
			return sandbox.ChargeList{}, err
		}
		list.Charges = append(list.Charges, sandbox.OrderCharge{OrderID: r.OrderID, Charge: charge})
	}
	return list, nil
}

// list answers a page of parcels; see [Provider.list].
func (c *Carrier) list(ctx context.Context, req sandbox.BookPage) (sandbox.ParcelList, error) {
	var records []sandbox.ParcelRecord
	next, err := page(ctx, c.book, sandbox.ParcelKeyIn("*"), req, &records)
	if err != nil {
		return sandbox.ParcelList{}, err
	}
	list := sandbox.ParcelList{Next: next}
	for _, r := range records {
		parcel, err := c.state(ctx, r)
		if err != nil {
			return sandbox.ParcelList{}, err
		}
		list.Parcels = append(list.Parcels, sandbox.OrderParcel{OrderID: r.OrderID, Parcel: parcel})
	}
	return list, nil
}

// page reads records of one kind in the order in which they were written. next is where
// the page after it begins, 0 if this is the last one.
func page[R any](ctx context.Context, b *book, keys string, req sandbox.BookPage, records *[]R) (next uint64, err error) {
	kv, err := b.store(ctx)
	if err != nil {
		return 0, unavailable("list", keys, err)
	}
	watcher, err := kv.Watch(ctx, keys, jetstream.IgnoreDeletes(), jetstream.ResumeFromRevision(req.After+1))
	if err != nil {
		return 0, unavailable("list", keys, err)
	}
	defer func() { _ = watcher.Stop() }()
	last := req.After
	for {
		select {
		case entry, open := <-watcher.Updates():
			switch {
			case !open:
				return 0, unavailable("list", keys, errors.New("the watcher has ended"))
			case entry == nil: // everything that was there
				return 0, nil
			case len(*records) == req.Limit:
				return last, nil
			}
			var r R
			if err := contract.UnmarshalLenient(entry.Value(), &r); err != nil {
				return 0, err
			}
			*records, last = append(*records, r), entry.Revision()
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}
