package config

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// maxRefused bounds how many keys of no setting are remembered.
const maxRefused = 100

// Refusal says why a value in a bucket is not used.
type Refusal struct {
	Key      string    `json:"key"` // <service>.<setting> or <service>.<policy>
	Revision uint64    `json:"revision"`
	Reason   string    `json:"reason"`
	At       time.Time `json:"at"` // when the value was written
}

// fold is the state of a service's settings after a history of changes. It is a function
// of the history alone, so that instances that saw the same one agree.
type fold struct {
	schema   *Schema
	base     Values
	bucket   Values // accepted from the bucket
	values   any    // pointer to the struct
	revision uint64 // of the last change that was looked at
	refused  map[string]pending
}

func (f *fold) head() uint64 { return f.revision }
func (f *fold) value() any   { return f.values }

// describe lists every setting with where it is from.
func (f *fold) describe(i *Instance) {
	values := f.merged(f.bucket)
	for _, setting := range f.schema.list {
		i.Settings = append(i.Settings, reported(setting, values[setting.Name]))
	}
}

// pending is a change that was refused. It is tried again when another is accepted.
type pending struct {
	change
	reason error
}

func newFold(schema *Schema, base Values) (*fold, error) {
	values, err := schema.resolve(base)
	if err != nil {
		return nil, fmt.Errorf("settings of %s: %w", schema.service, err)
	}
	return &fold{schema: schema, base: base, bucket: Values{}, values: values, refused: map[string]pending{}}, nil
}

// apply takes a change and reports whether it has an effect on the values.
func (f *fold) apply(c change) (changed bool) {
	f.revision = max(f.revision, c.revision)
	delete(f.refused, c.key)
	if !f.try(c) {
		return false
	}
	for again := true; again; {
		again = false
		for _, p := range f.waiting() {
			if f.known(p.key) { // the others wait for a newer version of the service
				delete(f.refused, p.key)
				again = f.try(p.change) || again
			}
		}
	}
	return true
}

// waiting are the refused changes in the order in which they were written.
func (f *fold) waiting() []pending {
	return slices.SortedFunc(maps.Values(f.refused), func(a, b pending) int { return cmp.Compare(a.revision, b.revision) })
}

// try accepts a change or notes why not.
func (f *fold) try(c change) bool {
	bucket, err := f.with(c)
	if err == nil {
		var values any
		if values, err = f.schema.resolve(f.merged(bucket)); err == nil {
			f.bucket, f.values = bucket, values
			return true
		}
	}
	if errors.Is(err, errNothing) {
		return false
	}
	if f.known(c.key) || len(f.refused) < maxRefused {
		f.refused[c.key] = pending{c, err}
	}
	return false
}

// known reports whether a key is that of a setting.
func (f *fold) known(key string) bool {
	_, ok := f.schema.Setting(strings.TrimPrefix(key, f.schema.service+"."))
	return ok
}

// errNothing: the key of no setting is gone, and nobody misses it.
var errNothing = errors.New("nothing to do")

// with is what the bucket says after the change.
func (f *fold) with(c change) (Values, error) {
	name := strings.TrimPrefix(c.key, f.schema.service+".")
	setting, ok := f.schema.Setting(name)
	switch {
	case !ok && c.deleted:
		return nil, errNothing
	case !ok:
		return nil, f.schema.unknown(name)
	}
	bucket := maps.Clone(f.bucket)
	if c.deleted {
		delete(bucket, name)
		return bucket, nil
	}
	switch {
	case setting.Type == contract.SettingSecret:
		return nil, errors.New("a secret is not taken from the bucket: use a file or the environment, and change the secret, which may have been read here")
	case setting.AtStart:
		return nil, errors.New("it is read when an instance starts: use the file, the environment or a flag")
	}
	written, err := text(c.data)
	if err != nil {
		return nil, err
	}
	if err := parse(setting, written, reflect.New(f.schema.field(name)).Elem()); err != nil {
		return nil, err
	}
	bucket[name] = Value{Text: written, Layer: Bucket, Where: fmt.Sprintf("revision %d", c.revision)}
	return bucket, nil
}

// merged lays the bucket over the other layers.
func (f *fold) merged(bucket Values) Values {
	values := maps.Clone(f.base)
	maps.Copy(values, bucket)
	return values
}

// refusals lists what is not used.
func (f *fold) refusals() []Refusal {
	list := make([]Refusal, 0, len(f.refused))
	for _, p := range f.waiting() {
		list = append(list, p.refusal())
	}
	return list
}

func (p pending) refusal() Refusal {
	return Refusal{Key: p.key, Revision: p.revision, Reason: p.reason.Error(), At: p.at.UTC()}
}
