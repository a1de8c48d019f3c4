package eventstore

import (
	"fmt"

	"github.com/ordermesh/ordermesh/bus/telemetry"
)

const (
	defaultCache = 10_000
	defaultQueue = 1024
)

type settings struct {
	cache, queue, schema int
	telemetry            *telemetry.Telemetry
}

// Option refines an [Entity]. A value that makes no sense panics at start-up.
type Option func(*settings)

// WithCache sets how many entities are kept in memory, 10,000 unless told. Entities
// that are being worked on do not count.
func WithCache(entities int) Option {
	return func(s *settings) { s.cache = positive("WithCache", entities) }
}

// WithQueue sets how many commands and reads may wait for one entity, 1,024 unless
// told; more are refused with contract.ErrExhausted.
func WithQueue(waiting int) Option {
	return func(s *settings) { s.queue = positive("WithQueue", waiting) }
}

// WithSchema numbers the layout of the state inside messages, 1 unless told. Raise
// it with every change of the state's type, of what evolve makes of events, or of
// the set of event types: folded states with another number are not used.
func WithSchema(number int) Option {
	return func(s *settings) { s.schema = positive("WithSchema", number) }
}

// WithTelemetry sets where to log and measure; otherwise it is where the log does.
func WithTelemetry(t *telemetry.Telemetry) Option {
	return func(s *settings) { s.telemetry = t }
}

func positive(option string, n int) int {
	if n < 1 {
		panic(fmt.Sprintf("eventstore: %s(%d): it must be at least 1", option, n))
	}
	return n
}

func newSettings(log Log, opts []Option) settings {
	s := settings{cache: defaultCache, queue: defaultQueue, schema: 1}
	for _, opt := range opts {
		opt(&s)
	}
	if s.telemetry == nil {
		if l, ok := log.(interface{ Telemetry() *telemetry.Telemetry }); ok {
			s.telemetry = l.Telemetry()
		} else {
			s.telemetry = telemetry.Nop()
		}
	}
	return s
}
