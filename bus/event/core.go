package event

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/nats-io/nats.go"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/internal/pull"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

// core is a consumer without its event type: it takes messages, runs them on a fixed
// set of workers and settles them.
type core struct {
	conn    *bus.Conn
	log     *slog.Logger
	info    contract.EventsInfo
	durable string
	opts    options
	metrics *metrics
	gate    *gate
	memory  memory
	ready   chan struct{}

	puller *pull.Puller
	handle func(ctx context.Context, d *delivery) verdict
	work   chan *delivery
	count  atomic.Int64 // deliveries that are not settled yet

	draining atomic.Bool   // written under mu
	quit     chan struct{} // closed with draining
	empty    chan struct{} // closed when draining and count is 0
	once     sync.Once     // closes empty

	mu       sync.Mutex
	held     map[uint64]*delivery // what is not settled, by sequence
	lanes    *lanes               // nil unless ordered
	tick     int64                // heartbeat generation
	takeover chan struct{}        // a new pin: the ack floor is wanted
}

func newCore(conn *bus.Conn, info contract.EventsInfo, durable string, o options) *core {
	c := &core{
		conn: conn, info: info, durable: durable, opts: o,
		log:     conn.Telemetry().Logger.With(telemetry.KeyStream, info.Stream, telemetry.KeyConsumer, durable),
		metrics: newMetrics(conn.Telemetry(), info.Stream, durable),
		gate:    newGate(), ready: make(chan struct{}),
		work: make(chan *delivery, 2*o.prefetch), held: make(map[uint64]*delivery, o.prefetch),
		quit: make(chan struct{}), empty: make(chan struct{}), takeover: make(chan struct{}, 1),
	}
	cfg := pull.Config{
		Conn: conn, Stream: info.Stream, Consumer: durable,
		Limit: o.prefetch, Room: c.room, Deliver: c.receive,
	}
	if o.ordered {
		c.lanes = newLanes()
		cfg.Group, cfg.Pinned = c.spec().Group, c.pinned
	}
	c.puller = pull.New(cfg)
	return c
}

// run is Consumer.Run. The parts start in the order durable, workers, puller, and
// stop in the order puller, what waits, workers, acknowledgements.
func (c *core) run(ctx context.Context, handle func(context.Context, *delivery) verdict) error {
	c.handle = handle
	if err := c.ensure(ctx); err != nil {
		return unlessEnded(ctx, err)
	}
	handlers, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	watching, stopWatching := context.WithCancel(handlers)
	var workers, watchers sync.WaitGroup
	for range c.opts.concurrency {
		workers.Go(func() { c.worker(handlers) })
	}
	watchers.Go(func() { c.heartbeats(watching) })
	watchers.Go(func() { c.watch(watching) })
	stopReplays := c.serveReplays()
	close(c.ready)

	err := c.pull(ctx)
	stopReplays()
	c.drain(cancel)
	for range c.opts.concurrency {
		c.work <- nil
	}
	workers.Wait()
	stopWatching()
	watchers.Wait()
	c.farewell()
	return err
}

// pull pulls until ctx ends and makes the durable again when somebody deleted it.
func (c *core) pull(ctx context.Context) error {
	for {
		err := c.puller.Run(ctx)
		if err == nil || ctx.Err() != nil || errors.Is(err, nats.ErrConnectionClosed) {
			return unlessEnded(ctx, err)
		}
		c.log.Error("pulling has ended, making the consumer again", telemetry.KeyError, err.Error())
		c.metrics.restarts.Inc()
		if err := c.ensure(ctx); err != nil {
			return unlessEnded(ctx, err)
		}
	}
}

// unlessEnded drops an error that the end of ctx has caused.
func unlessEnded(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return nil
}

// room is how many more messages this process may hold; none while a dependency is
// down.
func (c *core) room() int {
	if c.gate.closed.Load() {
		return 0
	}
	return c.opts.prefetch - int(c.count.Load())
}

// receive takes one message; it runs on the puller's goroutine.
func (c *core) receive(m *nats.Msg) {
	at, ok := pull.ParsePosition(m.Reply)
	if !ok {
		c.log.Warn("a message without an ack subject is ignored", telemetry.KeySubject, m.Subject)
		return
	}
	c.metrics.pending.Store(at.Pending)
	c.metrics.delivered.Add(1)
	d := &delivery{msg: m, reply: m.Reply, sequence: at.Sequence, attempt: at.Attempt, stored: at.Stored}
	if c.lanes != nil {
		d.place(c.info)
	}
	c.mu.Lock()
	if old := c.held[d.sequence]; old != nil { // the server lost patience; we did not
		old.reply, old.tick = d.reply, c.tick
		c.mu.Unlock()
		return
	}
	if c.draining.Load() {
		c.mu.Unlock()
		c.respond(d.reply, nakNow)
		return
	}
	d = c.take(d)
	c.mu.Unlock()
	if d != nil {
		c.work <- d
	}
}

// take adds a delivery to what is held and returns what may run now: in an ordered
// consumer it may have to wait for its predecessors. c.mu is held.
func (c *core) take(d *delivery) (runnable *delivery) {
	d.tick = c.tick
	c.held[d.sequence] = d
	c.count.Add(1)
	if c.lanes == nil {
		return d
	}
	return c.lanes.add(d)
}

// release settles a delivery that has run: it answers the server, frees the lane and
// returns the next delivery of the same entity in an ordered consumer.
func (c *core) release(d *delivery, answer []byte) (next *delivery) {
	c.mu.Lock()
	reply := d.reply
	delete(c.held, d.sequence)
	if c.lanes != nil {
		next = c.lanes.done(d)
	}
	c.mu.Unlock()
	c.settled(reply, answer)
	return next
}

// drop gives back a delivery that was taken out of its lane before it ran.
func (c *core) drop(d *delivery) {
	c.mu.Lock()
	reply := d.reply
	delete(c.held, d.sequence)
	c.mu.Unlock()
	if d.answer != nil {
		d.answer(verdict{Outcome: Retry(errStopping)})
	}
	c.settled(reply, nakNow)
}

func (c *core) settled(reply string, answer []byte) {
	c.respond(reply, answer)
	if c.count.Add(-1) == 0 && c.draining.Load() {
		c.once.Do(func() { close(c.empty) })
	}
	c.puller.Pull()
}

// respond answers the server about a message. A replay has no ack subject, and nil is
// no answer.
func (c *core) respond(reply string, answer []byte) {
	if reply == "" || answer == nil {
		return
	}
	if err := c.conn.NATS().Publish(reply, answer); err != nil {
		c.log.Debug("cannot acknowledge, the message will come again", telemetry.KeyError, err.Error()) // once for each during an outage
	}
}
