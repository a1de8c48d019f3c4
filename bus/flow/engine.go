package flow

import (
	"context"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

// engine is what all instances of one worker session share. It knows neither
// partitions nor connections, so that flowtest can run it over memory.
type engine struct {
	service    string
	session    string // unique: the first half of every writer's id
	log        Log
	payloads   Payloads
	flows      catalogue
	partitions int
	telemetry  *telemetry.Telemetry
	metrics    *metrics
	alive      func() bool                        // the ownership is confirmed and young
	answer     func(reply string, outcome []byte) // tells a waiting client

	acknowledged func(ctx context.Context, p int, sequence uint64) bool // whether the inputs of a partition up to a sequence are

	activations atomic.Uint64
	resting     atomic.Int64 // instances that wait in memory
	gate        *gate
	clock       clock
	reading     chan struct{} // bounds the reads of the log that are under way
}

// maxReads is how many instances read their journals at once: the server drops
// requests beyond its queue.
const maxReads = 128

// catalogue finds definitions by name and version.
type catalogue map[flowVersion]spec

type flowVersion struct {
	name    string
	version int
}

func (c catalogue) find(name string, version int) (spec, bool) {
	s, ok := c[flowVersion{name, version}]
	return s, ok
}

// named reports whether any version of the flow is here.
func (c catalogue) named(name string) bool {
	for v := range c {
		if v.name == name {
			return true
		}
	}
	return false
}

// writer returns the id of one activation of one instance.
func (e *engine) writer() string {
	return e.session + "." + strconv.FormatUint(e.activations.Add(1), 36)
}

// stepContext is what the steps of an instance derive their contexts from: the
// partition's life, the caller's trace and actor.
func stepContext(ctx context.Context, o origin) context.Context {
	if o.Trace != "" {
		ctx = telemetry.ExtractTrace(ctx, nats.Header{contract.HeaderTrace: {o.Trace}})
	}
	if o.Actor != "" {
		// The sender's actor was checked when it was written; one that cannot be read
		// now acts as nobody, which services refuse where it matters.
		if actor, err := contract.ParseActor(o.Actor); err == nil {
			ctx = telemetry.WithActor(ctx, actor)
		}
	}
	return ctx
}

// heartbeat timing and the age at which an ownership is no longer believed.
const (
	beatEvery = 400 * time.Millisecond
	lapse     = 1500 * time.Millisecond
)
