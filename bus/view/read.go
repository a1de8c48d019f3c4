package view

import (
	"context"
	"errors"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

// Page is one page of a list.
type Page[R any] struct {
	Entries []Entry[R]
	Next    string // cursor of the next page, "" on the last one
	Behind  uint64 // messages that the view had not seen
	Halted  string // why the view stands still, and the remedy; "" while it goes on
}

var (
	// errStarting is answered before the view knows how far behind it is.
	errStarting = contract.ErrUnavailable.Sayf("the list is not ready yet; try again")
	// errUnreadable is answered while the store does not answer.
	errUnreadable = contract.ErrUnavailable.Sayf("the list cannot be read now; try again")
)

// Page returns a page of a list; cursor is the Next of the page before, "" for the
// first. q.After is ignored. It answers while the view is catching up and says how far
// behind it is, and while it stands still and says why; before the stream was looked at
// once, and while the store does not answer, the error is unavailable.
func (p *Projection[E, R]) Page(ctx context.Context, q Query, cursor string) (Page[R], error) {
	select {
	case <-p.looked:
	default:
		return Page[R]{}, errStarting
	}
	var err error
	if q.After, err = ParseCursor(q.within(), cursor); err != nil {
		return Page[R]{}, err
	}
	at, _ := p.state()
	page := Page[R]{Behind: at.Behind, Halted: at.Halted}
	limit := q.Limit
	q.Limit++ // one more tells whether another page follows
	placed, err := p.store.Page(ctx, q)
	if err != nil {
		return Page[R]{}, p.unreadable(ctx, err)
	}
	if len(placed) > limit {
		placed = placed[:limit]
		last := placed[limit-1]
		page.Next = Cursor(q.within(), Position{last.Order, last.Key})
	}
	for _, e := range placed {
		page.Entries = append(page.Entries, e.Entry)
	}
	return page, nil
}

// Accepts refuses, with ErrCursor, a cursor that no page of this query has given out.
func (q Query) Accepts(cursor string) error {
	_, err := ParseCursor(q.within(), cursor)
	return err
}

// within names what a cursor is bound to: the list and the part of it that is asked for.
func (q Query) within() string {
	if q.From == "" && q.Until == "" {
		return q.List
	}
	return q.List + "\x00" + q.From + "\x00" + q.Until
}

// Row returns one row; ok is false when the view has none.
func (p *Projection[E, R]) Row(ctx context.Context, key string) (entry Entry[R], ok bool, err error) {
	rows, err := p.store.Rows(ctx, key)
	if err != nil {
		return Entry[R]{}, false, p.unreadable(ctx, err)
	}
	entry, ok = rows[key]
	return entry, ok, nil
}

// unreadable is what a caller learns of an error of the store.
func (p *Projection[E, R]) unreadable(ctx context.Context, err error) error {
	if _, said := errors.AsType[*contract.Error](err); said {
		return err
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	p.logger().WarnContext(ctx, "a view cannot be read", telemetry.KeyError, err.Error())
	return errUnreadable
}

// Behind is how many messages of the stream the view has not folded in, by the
// server's last word; known is false before the stream was looked at.
func (p *Projection[E, R]) Behind() (messages uint64, known bool) {
	select {
	case <-p.looked:
		at, _ := p.state()
		return at.Behind, true
	default:
		return 0, false
	}
}

// Wait returns once the view has folded in the message with this stream sequence. The
// message must be one of the view's entity.
func (p *Projection[E, R]) Wait(ctx context.Context, sequence uint64) error {
	return p.until(ctx, func(at Checkpoint) (bool, error) { return at.Sequence >= sequence, nil })
}

// WaitVersion returns once the row of an entity reflects at least this version.
func (p *Projection[E, R]) WaitVersion(ctx context.Context, key string, version uint64) error {
	return p.until(ctx, func(Checkpoint) (bool, error) {
		entry, _, err := p.Row(ctx, key)
		return entry.Version >= version, err
	})
}

// until waits for cond, which is looked at whenever the checkpoint has moved. Before the
// stream was looked at once the store may have no table yet.
func (p *Projection[E, R]) until(ctx context.Context, cond func(Checkpoint) (bool, error)) error {
	select {
	case <-p.looked:
	case <-ctx.Done():
		return ctx.Err()
	}
	for {
		at, moved := p.state()
		if ok, err := cond(at); ok || err != nil {
			return err
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
