package config

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/contract"
)

// Live is the settings of one instance of a service, as they are now.
type Live[T any] struct {
	current atomic.Pointer[T]
	watch   *watch
}

// settingsOf is what a watch of a service's settings follows.
func settingsOf(s *Schema) scope {
	return scope{
		service: s.service, bucket: contract.ConfigKV, filter: contract.Settings(s.service), consumer: "config-" + s.service,
		one: "setting", all: "settings", reports: s.service + instances, refusals: s.service + refusals,
	}
}

// NewLive returns settings that begin with base, which comes from [Sources.Values]; nil is
// the defaults. Nothing is read from the bucket before Run.
func NewLive[T any](conn *bus.Conn, schema *Schema, base Values) (*Live[T], error) {
	if base == nil {
		base = schema.defaults()
	}
	l := &Live[T]{}
	w, err := newWatch(conn, settingsOf(schema), func() (state, error) { return newFold(schema, base) }, func(values any) {
		if v, ok := values.(*T); ok {
			l.current.Store(v)
		}
	})
	if err != nil {
		return nil, err
	}
	if l.current.Load() == nil {
		return nil, fmt.Errorf("config: the settings of %s are no %T", schema.service, *new(T))
	}
	l.watch = w
	return l, nil
}

// Get returns the settings of this moment. It costs one atomic load; a caller that needs
// several settings to fit together takes them from one Get.
func (l *Live[T]) Get() T { return *l.current.Load() }

// Ready is closed once the bucket was read: from then on Get knows what it says.
func (l *Live[T]) Ready() <-chan struct{} { return l.watch.ready }

// Status is what this instance runs.
func (l *Live[T]) Status() Instance { return l.watch.status() }

// Run follows the bucket until ctx ends, through outages, lost consumers and a bucket that
// is not there yet. Meanwhile the values stay as they are.
func (l *Live[T]) Run(ctx context.Context) error { return l.watch.run(ctx) }
