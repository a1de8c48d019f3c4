package config

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/contract"
)

// Documents is the bucket of policies for who changes and reads them from outside. It
// stores what it is given: who writes checks first.
type Documents struct{ values, reports jetstream.KeyValue }

// OpenDocuments finds the buckets.
func OpenDocuments(ctx context.Context, conn *bus.Conn) (*Documents, error) {
	values, reports, err := open(ctx, conn, contract.PolicyKV)
	if err != nil {
		return nil, err
	}
	return &Documents{values, reports}, nil
}

// Entries returns the history of a document, the oldest first. 64 values are kept.
func (d *Documents) Entries(ctx context.Context, key string) ([]Entry, error) {
	return history(ctx, d.values, key)
}

// Put writes a document unless somebody has changed it since its last entry was read
// (ErrMoved). It returns the new revision.
func (d *Documents) Put(ctx context.Context, last Entry, value string) (uint64, error) {
	revision, err := d.values.Update(ctx, last.Key, []byte(value), last.Revision)
	return revision, moved(last.Key, err)
}

// Delete takes a document out of the bucket, so that the fallback counts, unless somebody
// has changed it since its last entry was read (ErrMoved).
func (d *Documents) Delete(ctx context.Context, last Entry) error {
	if last.Revision == 0 || last.Deleted {
		return fmt.Errorf("%s: %w", last.Key, ErrNoEntry)
	}
	return moved(last.Key, d.values.Delete(ctx, last.Key, jetstream.LastRevision(last.Revision)))
}

// Instances returns what the running instances tell of a document, the oldest first; "*"
// is all documents, or those of all services.
func (d *Documents) Instances(ctx context.Context, service, name string) ([]Instance, error) {
	return told(ctx, d.reports, service+documents+name+".*")
}

// Refusals returns what was refused last of a document, also when it is in order by now;
// "*" is all documents, or those of all services. They are kept for a week.
func (d *Documents) Refusals(ctx context.Context, service, name string) ([]Refusal, error) {
	return refused(ctx, d.reports, service+unusable+name)
}
