package event

import (
	"errors"
	"fmt"
	"time"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// Option refines a consumer.
type Option func(*options) error

type options struct {
	ordered     bool
	types       map[string]bool
	concurrency int
	prefetch    int
	ackWait     time.Duration
	attempts    int
	patience    time.Duration
	backoffMin  time.Duration
	backoffMax  time.Duration
	drain       time.Duration
	watchEvery  time.Duration
}

func buildOptions(opts []Option) (options, error) {
	o := options{
		concurrency: 32, prefetch: 512, ackWait: contract.EventAckWait,
		attempts: 8, patience: 24 * time.Hour,
		backoffMin: 250 * time.Millisecond, backoffMax: 30 * time.Second,
		drain: 5 * time.Second, watchEvery: 5 * time.Second,
	}
	var errs []error
	for _, opt := range opts {
		errs = append(errs, opt(&o))
	}
	if o.prefetch < o.concurrency {
		o.prefetch = o.concurrency
	}
	return o, errors.Join(errs...)
}

// Ordered handles the events of one entity strictly in order, in one process at a
// time; different entities still run side by side. Another process takes over when
// this one ends (at once) or dies (after about four seconds). A dead letter lets the
// entity's next event through.
func Ordered() Option {
	return func(o *options) error {
		o.ordered = true
		return nil
	}
}

// Types restricts the consumer to these event types. All others, known to this
// build or not, are simply not for it.
func Types(names ...string) Option {
	return func(o *options) error {
		if len(names) == 0 {
			return errors.New("event: Types needs at least one name")
		}
		o.types = make(map[string]bool, len(names))
		for _, n := range names {
			o.types[n] = true
		}
		return nil
	}
}

// WithConcurrency bounds how many handlers run at once in this process; default 32.
func WithConcurrency(n int) Option {
	return func(o *options) error {
		o.concurrency = n
		return positive("concurrency", n)
	}
}

// WithPrefetch bounds how many messages this process holds, running or waiting;
// default 512.
func WithPrefetch(n int) Option {
	return func(o *options) error {
		o.prefetch = n
		return positive("prefetch", n)
	}
}

// WithAckWait says how long the server waits for a sign of life before it gives a
// message to another process; default 30 s. It bounds how late the work of a killed
// process is taken up, not how long a handler may take. The service's descriptor says
// the same, so that a durable that was made beforehand does.
func WithAckWait(d time.Duration) Option {
	return func(o *options) error {
		o.ackWait = d
		if d < 100*time.Millisecond {
			return fmt.Errorf("event: an ack wait of %v is too short, at least 100ms", d)
		}
		return nil
	}
}

// WithAttempts says after how many failures a message becomes a dead letter;
// default 8. Failures are counted in each process by itself. Errors that say that a
// dependency is down count as well, but give a message up only when it is older than
// a day.
func WithAttempts(n int) Option {
	return func(o *options) error {
		o.attempts = n
		return positive("attempts", n)
	}
}

// WithBackoff sets the first and the longest pause before a retry; default 250 ms
// and 30 s. The pause doubles with each failure and varies by a quarter.
func WithBackoff(first, longest time.Duration) Option {
	return func(o *options) error {
		o.backoffMin, o.backoffMax = first, longest
		if first <= 0 || longest < first {
			return fmt.Errorf("event: a backoff from %v to %v makes no sense", first, longest)
		}
		return nil
	}
}

// WithDrain says how long running handlers may go on after the context has ended,
// before their own context ends too; default 5 s.
func WithDrain(d time.Duration) Option {
	return func(o *options) error {
		o.drain = d
		if d < 0 {
			return fmt.Errorf("event: a drain time of %v makes no sense", d)
		}
		return nil
	}
}

func positive(name string, n int) error {
	if n < 1 {
		return fmt.Errorf("event: %s must be at least 1, not %d", name, n)
	}
	return nil
}
