package cache

import (
	"errors"
	"fmt"
	"time"
)

const (
	defaultFresh   = 300 * time.Second
	defaultUnknown = 30 * time.Second
	defaultStale   = time.Hour
	spareAfter     = 250 * time.Millisecond // how long a read waits that has something expired to answer
	remoteWrites   = 16                     // at once; what comes beyond them is not shared
)

// Lifetimes say how long an entry may be used.
type Lifetimes struct {
	Fresh   time.Duration // as if it had been read now; default 300 s. Up to a tenth less, by chance
	Unknown time.Duration // the same for a key that was unknown; default 30 s
	Stale   time.Duration // after that, while the source fails; default 1 h, negative for never
}

// Option refines a cache.
type Option func(*options) error

type options struct {
	size          int
	loads         int
	remembered    int
	schema        int
	lifetimes     func() Lifetimes
	loadTimeout   time.Duration
	remoteTimeout time.Duration
	feed          *Feed
	remote        Remote
	sourceGuard   Guard
	remoteGuard   Guard
}

func buildOptions(opts []Option) (options, error) {
	o := options{
		size: 10_000, loads: 64, remembered: remembered,
		lifetimes:   func() Lifetimes { return Lifetimes{defaultFresh, defaultUnknown, defaultStale} },
		loadTimeout: 5 * time.Second, remoteTimeout: 25 * time.Millisecond,
	}
	var errs []error
	for _, opt := range opts {
		errs = append(errs, opt(&o))
	}
	if o.sourceGuard == nil {
		o.sourceGuard = NewBreaker(breakerFailures, breakerSuccesses, breakerDelay)
	}
	if o.remoteGuard == nil {
		o.remoteGuard = NewBreaker(breakerFailures, breakerSuccesses, breakerDelay)
	}
	return o, errors.Join(errs...)
}

// WithFeed makes the cache hear of every event of an entity. Without a feed only
// [Cache.Changed] and expiry end the life of an entry.
func WithFeed(f *Feed) Option {
	return func(o *options) error {
		o.feed = f
		return nil
	}
}

// WithRemote adds a level that processes share; nil adds none.
func WithRemote(r Remote) Option {
	return func(o *options) error {
		o.remote = r
		return nil
	}
}

// WithLifetimes sets how long entries live. It is called for every read of the source,
// so that a setting takes effect while the cache runs.
func WithLifetimes(lifetimes func() Lifetimes) Option {
	return func(o *options) error {
		o.lifetimes = lifetimes
		if lifetimes == nil {
			return errors.New("cache: WithLifetimes needs a function")
		}
		return nil
	}
}

// WithSize bounds the entries in the process; default 10,000. Those that are used least
// go first.
func WithSize(n int) Option {
	return func(o *options) error {
		o.size = n
		return positive("size", n)
	}
}

// WithLoads bounds how many reads of the source run at once; default 64. Others wait.
func WithLoads(n int) Option {
	return func(o *options) error {
		o.loads = n
		return positive("number of loads", n)
	}
}

// WithLoadTimeout bounds one read of the source; default 5 s.
func WithLoadTimeout(d time.Duration) Option {
	return func(o *options) error {
		o.loadTimeout = d
		return positive("load time-out", d)
	}
}

// WithRemoteTimeout bounds how long a read waits for the remote level; default 25 ms.
func WithRemoteTimeout(d time.Duration) Option {
	return func(o *options) error {
		o.remoteTimeout = d
		return positive("remote time-out", d)
	}
}

// WithSchema numbers the layout of the values in the remote level; default 0. Processes
// with different numbers do not see each other's entries.
func WithSchema(n int) Option {
	return func(o *options) error {
		o.schema = n
		return nil
	}
}

// WithSourceGuard replaces the circuit breaker around the source: it opens for ten
// seconds after five failures in a row and closes after two successes.
func WithSourceGuard(g Guard) Option {
	return func(o *options) error {
		o.sourceGuard = g
		return nil
	}
}

// WithRemoteGuard replaces the circuit breaker around the remote level, which is set as
// that of the source.
func WithRemoteGuard(g Guard) Option {
	return func(o *options) error {
		o.remoteGuard = g
		return nil
	}
}

func positive[N int | time.Duration](name string, n N) error {
	if n < 1 {
		return fmt.Errorf("cache: the %s must be positive, not %v", name, n)
	}
	return nil
}
