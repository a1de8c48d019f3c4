package cache

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/internal/pull"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

const (
	remembered = 100_000               // keys whose versions are remembered, twice
	prefetch   = 1024                  // messages on their way
	gather     = 10 * time.Millisecond // how late an event may be while many come
	idleLife   = 30 * time.Second      // of the consumer after its process is gone
	silence    = 2*pull.Heartbeat + pull.Heartbeat/2
	lookEvery  = 100 * time.Millisecond
	pauseMin   = 50 * time.Millisecond
	pauseMax   = 2 * time.Second
	replayTime = defaultFresh + 10*time.Second // what a process that starts reads again
	replayMost = 100_000                       // unless it is more than this
)

// Feed hears of every event of one entity, over a consumer of its own that lives and
// dies with it, and tells the caches of this process. It reads headers only.
type Feed struct {
	conn     *bus.Conn
	info     contract.EventsInfo
	log      *slog.Logger
	tracking *tracking
	once     sync.Once
	ready    chan struct{}

	mu     sync.Mutex
	caches []listener

	alive    prometheus.Gauge
	quiet    prometheus.Gauge
	restarts prometheus.Counter
}

// listener is a cache to a feed.
type listener struct {
	drop  func(key string, version uint64)
	empty func()
}

// NewFeed describes a feed of the events of an entity; the service's descriptor names
// them in Caches. Nothing happens before Run.
func NewFeed(conn *bus.Conn, events contract.EventsInfo) *Feed {
	tel, entity := conn.Telemetry(), events.Entity
	return &Feed{
		conn: conn, info: events, tracking: newTracking(remembered), ready: make(chan struct{}),
		log:      tel.Logger.With(telemetry.KeyStream, events.Stream, telemetry.KeyEntity, entity),
		alive:    tel.Gauge("cache_feed_alive", "1 while the caches of a service hear of every event.", "service", "entity").WithLabelValues(conn.Service(), entity),
		quiet:    tel.Gauge("cache_feed_silent_seconds", "Time since the last sign of life of a feed.", "service", "entity").WithLabelValues(conn.Service(), entity),
		restarts: tel.Counter("cache_feed_restarts_total", "Times that a feed began anew.", "service", "entity").WithLabelValues(conn.Service(), entity),
	}
}

// Ready is closed when the feed has caught up for the first time. Until then, and
// whenever the feed is silent, its caches ask the source.
func (f *Feed) Ready() <-chan struct{} { return f.ready }

// Alive reports whether the feed hears of every event now.
func (f *Feed) Alive() bool { return f.tracking.live.Load() }

func (f *Feed) register(drop func(string, uint64), empty func()) *tracking {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.caches = append(f.caches, listener{drop, empty})
	return f.tracking
}

func (f *Feed) listeners() []listener {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.caches
}

// Run follows the events until ctx ends. Outages, a stream that does not exist yet and a
// lost consumer are waited out and repaired.
func (f *Feed) Run(ctx context.Context) error {
	pause := pauseMin
	for {
		begin := time.Now()
		err := f.follow(ctx)
		f.live(false)
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // the end of ctx has caused it
		case errors.Is(err, nats.ErrConnectionClosed):
			return err
		}
		if time.Since(begin) > pauseMax {
			pause = pauseMin
		}
		f.restarts.Inc()
		f.log.WarnContext(ctx, "a cache asks the source until its feed is back", telemetry.KeyDelay, pause, telemetry.KeyError, err.Error())
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
			pause = min(2*pause, pauseMax)
		}
	}
}

func (f *Feed) live(yes bool) {
	f.tracking.live.Store(yes)
	if !yes {
		f.alive.Set(0)
		return
	}
	f.alive.Set(1)
	f.once.Do(func() { close(f.ready) })
}

// following is one consumer's life.
type following struct {
	*Feed
	listeners []listener
	delivered uint64 // messages; of the puller's goroutine
	caughtUp  bool   // of the puller's goroutine
	heard     atomic.Int64
	begin     time.Time
	broken    chan error
	pull      func()
}

// follow reads until there is any doubt that it has heard of everything. The next follow
// begins where this one was sure.
func (f *Feed) follow(ctx context.Context) error {
	status := f.conn.NATS().StatusChanged(nats.DISCONNECTED, nats.RECONNECTING, nats.CLOSED)
	defer f.conn.NATS().RemoveStatusListener(status)
	r := &following{Feed: f, listeners: f.listeners(), begin: time.Now(), broken: make(chan error, 1)}
	consumer, err := f.consume(ctx)
	if err != nil {
		return err
	}
	name := consumer.CachedInfo().Name
	defer f.forget(name)
	if consumer.CachedInfo().NumPending == 0 {
		r.caughtUp = true
		f.live(true)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	puller := pull.New(pull.Config{
		Conn: f.conn, Stream: f.info.Stream, Consumer: name, Limit: prefetch,
		Room: func() int { return prefetch }, Deliver: r.take, Idle: r.idle, Gather: gather,
	})
	r.pull = puller.Pull
	pulling := make(chan error, 1)
	go func() { pulling <- puller.Run(ctx) }()
	err = r.watch(ctx, status, pulling)
	f.live(false)
	cancel()
	return errors.Join(err, <-pulling)
}

// errLost reports that something may have happened that the feed has not heard of.
var errLost = errors.New("the feed may have missed something")

// watch returns when the feed is in doubt.
func (r *following) watch(ctx context.Context, status <-chan nats.Status, pulling chan error) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-pulling:
			pulling <- nil // for follow
			return fmt.Errorf("%w: %w", errLost, err)
		case err := <-r.broken:
			return err
		case s := <-status:
			return fmt.Errorf("%w: the connection is %v", errLost, s)
		case <-tick.C:
			quiet := time.Since(r.begin) - time.Duration(r.heard.Load())
			r.quiet.Set(quiet.Seconds())
			if quiet > silence {
				return fmt.Errorf("%w: nothing was heard for %v", errLost, quiet.Round(time.Millisecond))
			}
		}
	}
}

// take hears of a message; it runs on the puller's goroutine.
func (r *following) take(m *nats.Msg) {
	at, ok := pull.ParsePosition(m.Reply)
	if !ok || at.Delivery != r.delivered+1 {
		r.fail(fmt.Errorf("%w: delivery %d came after %d", errLost, at.Delivery, r.delivered))
		return
	}
	r.delivered = at.Delivery
	r.heard.Store(int64(time.Since(r.begin)))
	if key, ok := r.info.EntityID(m.Subject); ok {
		if h, err := contract.ParseCommitHeader(m.Header); err == nil { // else it is not ours and changes nothing
			r.tracking.raise(key, h.Last)
			for _, l := range r.listeners {
				l.drop(key, h.Last)
			}
		}
	}
	r.tracking.move(at.Sequence)
	if at.Pending == 0 {
		r.catchUp()
	}
	r.pull()
}

// idle hears that there is nothing more: the server's count of deliveries tells whether
// one was lost, and its position is ours.
func (r *following) idle(delivered, sequence uint64) {
	if delivered != r.delivered {
		r.fail(fmt.Errorf("%w: the server has delivered %d messages and %d have come", errLost, delivered, r.delivered))
		return
	}
	r.heard.Store(int64(time.Since(r.begin)))
	r.tracking.move(sequence)
	r.catchUp()
}

func (r *following) catchUp() {
	if !r.caughtUp {
		r.caughtUp = true
		r.live(true)
	}
}

// fail ends the following; nothing that comes after a gap counts.
func (r *following) fail(err error) {
	r.live(false)
	r.caughtUp = true // never again alive
	r.delivered = 0
	select {
	case r.broken <- err:
	default:
	}
}

// consume makes this feed's consumer: where it was sure last or, in a stream that it
// does not know, a little before now.
func (f *Feed) consume(ctx context.Context) (jetstream.Consumer, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	stream, err := f.conn.JetStream().Stream(ctx, f.info.Stream)
	if err != nil {
		return nil, fmt.Errorf("look at stream %s: %w", f.info.Stream, err)
	}
	info := stream.CachedInfo()
	epoch := strconv.FormatInt(info.Created.UnixNano(), 36)
	if known := f.tracking.epoch.Load(); known != nil && *known == epoch && f.tracking.at().position <= info.State.LastSeq {
		return f.create(ctx, jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: f.tracking.at().position + 1})
	}
	since := time.Now().Add(-replayTime)
	consumer, err := f.create(ctx, jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &since})
	if err == nil && consumer.CachedInfo().NumPending > replayMost {
		f.forget(consumer.CachedInfo().Name)
		consumer, err = f.create(ctx, jetstream.ConsumerConfig{DeliverPolicy: jetstream.DeliverNewPolicy})
	}
	if err != nil {
		return nil, err
	}
	f.tracking.begin(epoch, consumer.CachedInfo().Delivered.Stream)
	for _, l := range f.listeners() {
		l.empty()
	}
	return consumer, nil
}

func (f *Feed) create(ctx context.Context, cfg jetstream.ConsumerConfig) (jetstream.Consumer, error) {
	cfg.Name, cfg.Description = "cache-"+f.info.Entity+"-"+nuid.Next(), "cache of "+f.info.Entity+" in "+f.conn.Service()
	cfg.FilterSubject, cfg.HeadersOnly = f.info.Filter(), true
	cfg.AckPolicy, cfg.MemoryStorage, cfg.Replicas, cfg.InactiveThreshold = jetstream.AckNonePolicy, true, 1, idleLife
	consumer, err := f.conn.JetStream().CreateConsumer(ctx, f.info.Stream, cfg)
	if err != nil {
		return nil, fmt.Errorf("make a consumer on %s: %w", f.info.Stream, err)
	}
	return consumer, nil
}

// forget deletes a consumer; should that fail it goes by itself.
func (f *Feed) forget(name string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = f.conn.JetStream().DeleteConsumer(ctx, f.info.Stream, name)
}
