package chaos

import (
	"context"
	"fmt"
	"os"
	"sync"
)

// Entry is what a client was told about one of its orders.
type Entry struct {
	OrderID   string
	Key       string // its Idempotency-Key
	Token     string
	Asked     bool // the customer asked to cancel
	Cancelled bool // and that was acknowledged
	Scarce    bool // there may not be enough stock for it
}

// Ledger remembers every acknowledgement, and the order ids also in a file, one a
// line, as the judge wants it.
type Ledger struct {
	Path string

	mu      sync.Mutex
	file    *os.File
	entries map[string]*Entry
	grown   chan struct{} // closed and replaced at each new entry
}

// NewLedger writes to path.
func NewLedger(path string) (*Ledger, error) {
	file, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("open the ledger: %w", err)
	}
	return &Ledger{Path: path, file: file, entries: map[string]*Entry{}, grown: make(chan struct{})}, nil
}

// Placed records an acknowledged order. Two keys with one order are an error: an
// acknowledgement would be lost.
func (l *Ledger) Placed(e Entry) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if old := l.entries[e.OrderID]; old != nil {
		return fmt.Errorf("order %s was given to key %s and to key %s", e.OrderID, old.Key, e.Key)
	}
	l.entries[e.OrderID] = &e
	close(l.grown)
	l.grown = make(chan struct{})
	if _, err := l.file.WriteString(e.OrderID + "\n"); err != nil {
		return fmt.Errorf("write the ledger: %w", err)
	}
	return nil
}

// Cancel records that a cancellation is asked for, and later that it was
// acknowledged.
func (l *Ledger) Cancel(orderID string, acknowledged bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.entries[orderID]
	if e == nil {
		return fmt.Errorf("order %s is cancelled but was never acknowledged", orderID)
	}
	e.Asked, e.Cancelled = true, acknowledged
	return nil
}

// Len counts the acknowledged orders.
func (l *Ledger) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.entries)
}

// Reach waits until n orders are acknowledged.
func (l *Ledger) Reach(ctx context.Context, n int) error {
	for {
		l.mu.Lock()
		count, grown := len(l.entries), l.grown
		l.mu.Unlock()
		if count >= n {
			return nil
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return fmt.Errorf("only %d of %d orders were acknowledged: %w", count, n, ctx.Err())
		}
	}
}

// Entries returns a copy of everything.
func (l *Ledger) Entries() []Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make([]Entry, 0, len(l.entries))
	for _, e := range l.entries {
		all = append(all, *e)
	}
	return all
}

// Close closes the file.
func (l *Ledger) Close() error { return l.file.Close() }
