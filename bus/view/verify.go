package view

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/contract"
)

// Verifiable is a store whose rows can be compared with a fold of the stream.
type Verifiable[R any] interface {
	Store[R]
	// Each visits all rows as they are at one moment, and returns the checkpoint of then.
	Each(ctx context.Context, visit func(Entry[R]) error) (Checkpoint, error)
	// Digest is a hash of an entry: the same for one that was folded and for the same one
	// that was stored and read back.
	Digest(e Entry[R]) string
}

// Verdict is what a comparison of a store with the stream has found.
type Verdict struct {
	Checkpoint Checkpoint
	Rows       int      // in the store
	Hash       string   // of the rows in the store
	Folded     string   // of the rows that the stream gives
	Missing    []string // keys that the stream has and the store has not, sorted
	Foreign    []string // keys that the store has and the stream has not
	Different  []string // keys whose rows differ
}

// Clean reports whether the store is what the stream gives.
func (v *Verdict) Clean() bool { return v.Hash == v.Folded }

// Verify folds the stream in memory up to the checkpoint of a store and compares. The
// store may be written meanwhile: its rows are those of one moment.
func Verify[E, R any](ctx context.Context, conn *bus.Conn, events contract.Events[E], store Verifiable[R], fold Fold[E, R]) (v Verdict, err error) {
	stored := map[string]string{}
	v.Checkpoint, err = store.Each(ctx, func(e Entry[R]) error {
		stored[e.Key] = store.Digest(e)
		return nil
	})
	if err != nil {
		return v, fmt.Errorf("read the rows: %w", err)
	}
	folded, err := foldUntil(ctx, conn, events, fold, v.Checkpoint.Sequence, store.Digest)
	if err != nil {
		return v, err
	}
	v.Rows, v.Hash, v.Folded = len(stored), total(stored), total(folded)
	for _, key := range slices.Sorted(maps.Keys(folded)) {
		if digest, there := stored[key]; !there {
			v.Missing = append(v.Missing, key)
		} else if digest != folded[key] {
			v.Different = append(v.Different, key)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(stored)) {
		if _, there := folded[key]; !there {
			v.Foreign = append(v.Foreign, key)
		}
	}
	return v, nil
}

// foldUntil is the digest of every row that the stream gives up to a sequence.
func foldUntil[E, R any](ctx context.Context, conn *bus.Conn, events contract.Events[E], fold Fold[E, R], sequence uint64, digest func(Entry[R]) string) (map[string]string, error) {
	digests := map[string]string{}
	if sequence == 0 {
		return digests, nil
	}
	rows := NewMemory[R]()
	p, err := New(conn, events, Store[R](rows), Fold[E, R]{Apply: fold.Apply})
	if err != nil {
		return nil, err
	}
	p.end, p.acceptGaps = sequence, true
	for pauses := 0; ; pauses++ {
		_, err := p.follow(ctx)
		if errors.Is(err, errEnd) {
			break
		}
		if ctx.Err() != nil || halts(err) || pauses > mostPauses || !p.pause(ctx) {
			return nil, fmt.Errorf("fold the stream: %w", errors.Join(err, ctx.Err()))
		}
	}
	for key, r := range rows.rows {
		digests[key] = digest(r.entry)
	}
	return digests, nil
}

// total is the hash of all digests in the order of the keys.
func total(digests map[string]string) string {
	h := sha256.New()
	for _, key := range slices.Sorted(maps.Keys(digests)) {
		_, _ = h.Write([]byte(key + "\x00" + digests[key] + "\n"))
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}
