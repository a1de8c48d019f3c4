package config

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/contract"
)

// The refusals of a Store.
var (
	ErrMoved   = errors.New("somebody else has changed it meanwhile")
	ErrRefused = errors.New("the value cannot be used")
	ErrNoEntry = errors.New("the bucket has no such value")
)

// Store is the bucket of settings for who changes and reads them from outside.
type Store struct{ settings, reports jetstream.KeyValue }

// Entry is one value in the history of a key.
type Entry struct {
	Key      string    `json:"key"`
	Value    string    `json:"value"`
	Revision uint64    `json:"revision"`
	At       time.Time `json:"at"`
	Deleted  bool      `json:"deleted,omitzero"`
}

// OpenStore finds the buckets.
func OpenStore(ctx context.Context, conn *bus.Conn) (*Store, error) {
	settings, reports, err := open(ctx, conn, contract.ConfigKV)
	if err != nil {
		return nil, err
	}
	return &Store{settings, reports}, nil
}

// open finds a bucket and that of the reports about it.
func open(ctx context.Context, conn *bus.Conn, bucket string) (values, reports jetstream.KeyValue, err error) {
	if values, err = conn.JetStream().KeyValue(ctx, bucket); err != nil {
		return nil, nil, fmt.Errorf("bucket %s: %w", bucket, err)
	}
	if reports, err = conn.JetStream().KeyValue(ctx, contract.ConfigStatusKV); err != nil {
		return nil, nil, fmt.Errorf("bucket %s: %w", contract.ConfigStatusKV, err)
	}
	return values, reports, nil
}

// Entries returns the history of all keys of a service, the oldest first.
func (s *Store) Entries(ctx context.Context, service string) ([]Entry, error) {
	return history(ctx, s.settings, service+".>")
}

// history returns what the keys have and had, the oldest first.
func history(ctx context.Context, kv jetstream.KeyValue, keys string) ([]Entry, error) {
	var list []Entry
	err := each(ctx, kv, keys, func(e jetstream.KeyValueEntry) error {
		list = append(list, Entry{
			Key: e.Key(), Value: string(e.Value()), Revision: e.Revision(), At: e.Created().UTC(), Deleted: e.Operation() != jetstream.KeyValuePut,
		})
		return nil
	}, jetstream.IncludeHistory())
	slices.SortFunc(list, func(a, b Entry) int { return cmp.Compare(a.Revision, b.Revision) })
	return list, err
}

// each visits what the keys have now, or had.
func each(ctx context.Context, kv jetstream.KeyValue, keys string, visit func(jetstream.KeyValueEntry) error, opts ...jetstream.WatchOpt) (err error) {
	watcher, err := kv.Watch(ctx, keys, opts...)
	if err != nil {
		return fmt.Errorf("read the bucket %s: %w", kv.Bucket(), err)
	}
	defer func() { err = errors.Join(err, watcher.Stop()) }()
	for {
		select {
		case e := <-watcher.Updates():
			if e == nil {
				return nil
			}
			if err := visit(e); err != nil {
				return err
			}
		case <-ctx.Done():
			return fmt.Errorf("read the bucket %s: %w", kv.Bucket(), ctx.Err())
		}
	}
}

// Expect says what an instance runs after these entries, over base; nil are the defaults.
func Expect(schema *Schema, base Values, entries []Entry) (Instance, error) {
	f, err := expect(schema, base, entries)
	if err != nil {
		return Instance{}, err
	}
	w := watch{state: f, self: Instance{Service: schema.service}}
	return w.status(), nil
}

func expect(schema *Schema, base Values, entries []Entry) (*fold, error) {
	if base == nil {
		base = schema.defaults()
	}
	f, err := newFold(schema, base)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		f.apply(change{key: e.Key, revision: e.Revision, at: e.At, deleted: e.Deleted, data: []byte(e.Value)})
	}
	return f, nil
}

// Check says whether the value could be set now: ErrRefused with the reason, or nil.
func Check(schema *Schema, base Values, entries []Entry, name, value string) error {
	return try(schema, base, entries, Entry{Key: schema.service + "." + name, Value: value})
}

func try(schema *Schema, base Values, entries []Entry, e Entry) error {
	f, err := expect(schema, base, entries)
	if err != nil {
		return err
	}
	f.apply(change{key: e.Key, revision: f.revision + 1, deleted: e.Deleted, data: []byte(e.Value)})
	if p, ok := f.refused[e.Key]; ok {
		return fmt.Errorf("%s: %w: %w", e.Key, ErrRefused, p.reason)
	}
	return nil
}

// Set writes a value after checking it, unless somebody has changed the setting since the
// entries were read (ErrMoved). It returns the new revision.
func (s *Store) Set(ctx context.Context, schema *Schema, base Values, entries []Entry, name, value string) (uint64, error) {
	key := schema.service + "." + name
	if err := Check(schema, base, entries, name, value); err != nil {
		return 0, err
	}
	revision, err := s.settings.Update(ctx, key, []byte(value), Last(entries, key).Revision)
	return revision, moved(key, err)
}

// Unset deletes a key, so that the layer below counts again.
func (s *Store) Unset(ctx context.Context, schema *Schema, base Values, entries []Entry, name string) error {
	key := schema.service + "." + name
	last := Last(entries, key)
	if last.Revision == 0 || last.Deleted {
		return fmt.Errorf("%s: %w", key, ErrNoEntry)
	}
	if err := try(schema, base, entries, Entry{Key: key, Deleted: true}); err != nil {
		return err
	}
	return moved(key, s.settings.Delete(ctx, key, jetstream.LastRevision(last.Revision)))
}

func moved(key string, err error) error {
	switch {
	case errors.Is(err, jetstream.ErrKeyRevisionMismatch), errors.Is(err, jetstream.ErrKeyExists):
		return fmt.Errorf("%s: %w", key, ErrMoved)
	case err != nil:
		return fmt.Errorf("write %s: %w", key, err)
	}
	return nil
}

// Last is the newest entry of a key; without one its revision is 0.
func Last(entries []Entry, key string) Entry {
	for _, e := range slices.Backward(entries) {
		if e.Key == key {
			return e
		}
	}
	return Entry{Key: key}
}

// Instances returns what the running instances of a service tell, the oldest first; "*" is
// all services.
func (s *Store) Instances(ctx context.Context, service string) ([]Instance, error) {
	return told(ctx, s.reports, service+instances+"*")
}

func told(ctx context.Context, reports jetstream.KeyValue, keys string) ([]Instance, error) {
	var list []Instance
	err := each(ctx, reports, keys, func(e jetstream.KeyValueEntry) error {
		var i Instance
		if err := contract.UnmarshalLenient(e.Value(), &i); err != nil {
			return nil //nolint:nilerr // not a report of ours
		}
		i.Reported = e.Created().UTC()
		list = append(list, i)
		return nil
	}, jetstream.IgnoreDeletes())
	slices.SortFunc(list, func(a, b Instance) int {
		if byName := strings.Compare(a.Service, b.Service); byName != 0 {
			return byName
		}
		return a.Started.Compare(b.Started)
	})
	return list, err
}

// Refusals returns what was refused last of each setting of a service, also when it is in
// order by now; "*" is all services. They are kept for a week.
func (s *Store) Refusals(ctx context.Context, service string) ([]Refusal, error) {
	return refused(ctx, s.reports, service+refusals+">")
}

func refused(ctx context.Context, reports jetstream.KeyValue, keys string) ([]Refusal, error) {
	var list []Refusal
	err := each(ctx, reports, keys, func(e jetstream.KeyValueEntry) error {
		var r Refusal
		if contract.UnmarshalLenient(e.Value(), &r) == nil {
			list = append(list, r)
		}
		return nil
	}, jetstream.IgnoreDeletes())
	slices.SortFunc(list, func(a, b Refusal) int { return a.At.Compare(b.At) })
	return list, err
}

// BaseOf is what an instance reports of the layers below the bucket, for checking a new
// value as that instance will. Secrets are not reported and count as unset. A setting that
// the bucket covers is not known and counts as its default.
func (s *Schema) BaseOf(i Instance) Values {
	values := s.defaults()
	for _, r := range i.Settings {
		setting, ok := s.Setting(r.Name)
		if ok && setting.Type != contract.SettingSecret && r.From != Bucket {
			values[r.Name] = Value{Text: r.Value, Layer: r.From, Where: r.Where}
		}
	}
	return values
}
