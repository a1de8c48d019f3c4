// Package view folds the events of an entity into rows that can be listed: what a
// log cannot answer, such as "the newest orders of this customer".
//
//	orders, err := view.New(conn, orders.Events, view.NewMemory[Row](), view.Fold[orders.Event, Row]{
//		Apply: func(r Row, e event.Event[orders.Event]) Row { … },
//		Lists: func(r Row) []view.Place { return []view.Place{{List: "customer/" + r.Customer, Order: view.Ascending(r.First)}} },
//	})
//	page, err := orders.Page(ctx, view.Query{List: "customer/c1", Newest: true, Limit: 50})
//
// A view can be thrown away and rebuilt at any time; it decides nothing. Whoever needs
// the truth about one entity asks the event store.
//
// It promises that rows and checkpoint move together, so that a row reflects exactly
// the events up to the checkpoint, each once, whatever dies in between; that a page
// says how many messages the view has not seen; and that rows can be read while the
// view is catching up. A list is ordered by the places of its rows, and its cursor
// continues after the last row even if rows came or went meanwhile.
//
// Events of a type that this build does not know are left out, and messages that are
// not ours or damaged are reported and left out: a view never stops for them. It stands
// still where going on would hide a loss: when versions of an entity are missing
// ([ErrGap]), when the checkpoint is beyond the end of the stream ([ErrAhead]) or another
// message is there ([ErrReplaced]), and when its store refuses a row ([ErrRefused]). It
// says so with the remedy in its pages, its [Status] and a metric, and looks again now
// and then; its service goes on. Memory begins again over another history by itself.
//
// Instances of a service can share a store ([Shared]), such as a table of
// bus/view/postgres. [Rebuild] fills one anew beside the one that is read, [Verify]
// compares one with a fold of the stream.
package view

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"strings"
	"time"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// ErrMoved reports that a store's checkpoint is not where the writer believed: another
// writer was there. The writer starts again from the checkpoint.
var ErrMoved = errors.New("the view's checkpoint has moved")

// ErrCursor refuses a cursor that this list has not given out.
var ErrCursor = contract.NewError(contract.Invalid, "bad_cursor", "the cursor is not one that this list has given out")

// Place says that a row is in a list and where; a row has one place in a list at
// most. Rows of a list are ordered by Order,
// byte by byte, then by key. A list's name is free, such as "customer/c1".
type Place struct{ List, Order string }

// Ascending encodes a number so that the order of the texts is that of the numbers.
func Ascending(n uint64) string { return fmt.Sprintf("%020d", n) }

// Moment encodes a time so that the order of the texts is that of the times, to the
// microsecond. Times before 1970 are all the first.
func Moment(t time.Time) string { return Ascending(uint64(max(t.UnixMicro(), 0))) }

// Entry is one row with its key, which is the entity's id, and the entity's version
// that it reflects.
type Entry[R any] struct {
	Key     string
	Version uint64
	Row     R
}

// Change is a row's new content and all its places.
type Change[R any] struct {
	Entry[R]
	Places []Place
}

// Checkpoint is how far a store has followed its stream.
type Checkpoint struct {
	Sequence   uint64 // of the last message that is folded in, 0 for none
	Hash       string // of that message: another one in its place is another history
	Stream     string // the stream's name and when it was made
	Generation uint64 // how often the store was emptied or rebuilt
	Behind     uint64 // messages that were waiting when the checkpoint was stored
	Halted     string // why nothing is folded in any more, and the remedy; "" while it goes on
}

// same reports whether two checkpoints are the same place.
func (c Checkpoint) same(other Checkpoint) bool {
	return c.Sequence == other.Sequence && c.Generation == other.Generation
}

// Store keeps rows, their places and the checkpoint. Implementations pass the suite in
// viewtest. It is safe for concurrent use.
type Store[R any] interface {
	// Checkpoint is how far the rows are; its sequence is 0 in an empty store.
	Checkpoint(ctx context.Context) (Checkpoint, error)
	// Rows returns the entries with these keys; a missing key is left out.
	Rows(ctx context.Context, keys ...string) (map[string]Entry[R], error)
	// Apply replaces entries with their places and moves the checkpoint to a later
	// sequence: all of it or, with an error, nothing. The error is ErrMoved when the
	// store is not at the sequence and generation of from. The generation stays.
	Apply(ctx context.Context, from, to Checkpoint, changes []Change[R]) error
	// Page returns up to q.Limit entries of a list after q.After in its order, with
	// their places in this list.
	Page(ctx context.Context, q Query) ([]Placed[R], error)
	// Reset removes everything, sets the sequence to 0 and begins a generation.
	Reset(ctx context.Context) error
}

// Placed is an entry of a list and its order there.
type Placed[R any] struct {
	Entry[R]
	Order string
}

// Query asks for a page of a list, or of that part of it whose order is in
// From <= order < Until; "" is no bound.
type Query struct {
	List        string
	Newest      bool // from the end of the list to its beginning
	Limit       int
	After       Position // where the page before ended; zero for the first page
	From, Until string
}

// HasPrefix bounds the query to orders that begin with this text.
func (q Query) HasPrefix(prefix string) Query {
	q.From, q.Until = prefix, ""
	for i := len(prefix) - 1; i >= 0; i-- { // the first text behind all that begin so
		if prefix[i] < math.MaxUint8 {
			q.Until = prefix[:i] + string([]byte{prefix[i] + 1})
			break
		}
	}
	return q
}

// Position is a row's position in a list.
type Position struct{ Order, Key string }

// IsZero reports whether the position is the beginning.
func (p Position) IsZero() bool { return p == Position{} }

// Cursor turns a position in a list into text for a client.
func Cursor(list string, p Position) string {
	if p.IsZero() {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%08x%s\x00%s", crc32.ChecksumIEEE([]byte(list)), p.Order, p.Key))
}

// ParseCursor is the inverse of Cursor; a cursor of another list is ErrCursor.
func ParseCursor(list, cursor string) (Position, error) {
	if cursor == "" {
		return Position{}, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(cursor)
	rest, ok := strings.CutPrefix(string(raw), fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(list))))
	order, key, found := strings.Cut(rest, "\x00")
	if err != nil || !ok || !found || key == "" {
		return Position{}, ErrCursor.At("/cursor")
	}
	return Position{order, key}, nil
}
