package event

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ordermesh/ordermesh/bus/telemetry"
)

// heartbeatsPerWait is how often a held message says that it is alive within one ack
// wait. The first sign comes after a sixth to a third of it.
const heartbeatsPerWait = 6

// heartbeats keeps alive what is held for longer than a moment: running handlers,
// messages that wait for one, retries of an ordered consumer.
func (c *core) heartbeats(ctx context.Context) {
	tick := time.NewTicker(c.opts.ackWait / heartbeatsPerWait)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, reply := range c.old() {
			c.respond(reply, ackWork)
		}
	}
}

// old returns the ack subjects of what has been held for a whole tick.
func (c *core) old() (replies []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tick++
	for _, d := range c.held {
		if d.tick < c.tick-1 {
			d.tick = c.tick - 1
			replies = append(replies, d.reply)
		}
	}
	return replies
}

// watch updates the gauges, settles doubts after a take-over, and recreates the pull
// when the server says that there is something and nothing comes.
func (c *core) watch(ctx context.Context) {
	const gauges = 500 * time.Millisecond
	tick := time.NewTicker(gauges)
	defer tick.Stop()
	var stall stallCheck
	next := time.Now().Add(c.opts.watchEvery)
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.takeover:
			c.settleDoubts(ctx)
		case now := <-tick.C:
			c.metrics.inFlight.Set(float64(c.count.Load()))
			c.metrics.lag.Set(float64(c.metrics.pending.Load()))
			c.settleDoubts(ctx)
			if now.After(next) {
				next = now.Add(c.opts.watchEvery)
				c.lookForStall(ctx, &stall)
			}
		}
	}
}

type stallCheck struct {
	delivered uint64
	suspect   bool
}

// lookForStall compares what came with what the server has. Two looks in a row must
// agree, because a message may be on its way during the first.
func (c *core) lookForStall(ctx context.Context, s *stallCheck) {
	delivered := c.metrics.delivered.Load()
	idle := delivered == s.delivered && c.count.Load() == 0 && !c.gate.closed.Load() && !c.draining.Load()
	s.delivered = delivered
	if !idle {
		s.suspect = false
		return
	}
	info, err := c.state(ctx)
	if err != nil {
		return // an outage; the puller deals with it
	}
	c.metrics.pending.Store(info.NumPending)
	full := info.NumAckPending >= info.Config.MaxAckPending && info.Config.MaxAckPending > 0
	if info.NumPending == 0 || full || c.standby(info) || c.metrics.delivered.Load() != delivered {
		s.suspect = false
		return
	}
	if !s.suspect {
		s.suspect = true
		return
	}
	s.suspect = false
	c.log.Error("the consumer has stalled, pulling anew", telemetry.KeyCount, info.NumPending)
	c.metrics.restarts.Inc()
	c.puller.Recreate()
}

// standby reports whether another process holds the pin of an ordered consumer.
func (c *core) standby(info *jetstream.ConsumerInfo) bool {
	return slices.ContainsFunc(info.PriorityGroups, func(g jetstream.PriorityGroupState) bool {
		return g.PinnedClientID != "" && g.PinnedClientID != c.puller.Pin()
	})
}

func (c *core) state(ctx context.Context) (*jetstream.ConsumerInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	consumer, err := c.conn.JetStream().Consumer(ctx, c.info.Stream, c.durable)
	if err != nil {
		return nil, err
	}
	return consumer.CachedInfo(), nil
}

// pinned runs on the puller's goroutine when this process becomes the one that gets
// the messages ("" when it no longer is), before the first message.
func (c *core) pinned(id string) {
	c.mu.Lock()
	if id != "" {
		c.lanes.takeOver(time.Now().Add(c.opts.ackWait + 2*time.Second))
		c.mu.Unlock()
		c.log.Info("this process handles the ordered consumer now")
		select {
		case c.takeover <- struct{}{}:
		default:
		}
		return
	}
	waiting, retries := c.unstarted()
	c.mu.Unlock()
	c.log.Info("another process handles the ordered consumer now")
	c.hand(waiting, retries)
}

// unstarted takes out what waits in lanes and what waits for a retry; c.mu is held.
func (c *core) unstarted() (waiting, retries []*delivery) {
	if c.lanes != nil {
		waiting = c.lanes.waiting()
	}
	for _, d := range c.held {
		if d.timer != nil && d.timer.Stop() {
			d.timer = nil
			retries = append(retries, d)
		}
	}
	return waiting, retries
}

// hand gives back what unstarted took out, oldest first: the server hands it out
// again in that order.
func (c *core) hand(waiting, retries []*delivery) {
	bySequence := func(a, b *delivery) int { return cmp.Compare(a.sequence, b.sequence) }
	slices.SortFunc(retries, bySequence)
	for _, d := range retries {
		c.giveBackAll(d)
	}
	slices.SortFunc(waiting, bySequence)
	for _, d := range waiting {
		c.drop(d)
	}
}

// settleDoubts asks for the ack floor while the order after a take-over is in doubt.
func (c *core) settleDoubts(ctx context.Context) {
	if c.lanes == nil {
		return
	}
	c.mu.Lock()
	doubting := c.lanes.doubting()
	c.mu.Unlock()
	if !doubting {
		return
	}
	var floor uint64
	if info, err := c.state(ctx); err == nil {
		floor = info.AckFloor.Stream
	}
	c.mu.Lock()
	runnable := c.lanes.settle(floor, time.Now())
	c.mu.Unlock()
	for _, d := range runnable {
		c.work <- d
	}
}

// drain gives back what waits and returns when nothing is held. After the drain time
// the handlers' context ends; a handler that ignores it holds up the end.
func (c *core) drain(cancel context.CancelFunc) {
	c.mu.Lock()
	c.draining.Store(true)
	close(c.quit)
	waiting, retries := c.unstarted()
	c.mu.Unlock()
	c.hand(waiting, retries)
	if c.count.Load() == 0 {
		c.once.Do(func() { close(c.empty) })
	}
	timer := time.AfterFunc(c.opts.drain, cancel)
	defer timer.Stop()
	for { // the workers may all be busy with what runs
		select {
		case d := <-c.work:
			c.giveBackAll(d)
		case <-c.empty:
			return
		}
	}
}

// farewell flushes the acknowledgements and hands an ordered consumer over at once.
func (c *core) farewell() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if c.opts.ordered && c.puller.Pin() != "" {
		c.unpin()
	}
	if err := c.conn.NATS().FlushWithContext(ctx); err != nil {
		c.log.Warn("acknowledgements may be lost, some messages will come again", telemetry.KeyError, err.Error())
	}
}
