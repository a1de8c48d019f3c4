package event

import (
	"context"
	"fmt"
	"runtime/debug"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/ordermesh/ordermesh/bus/failpoint"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

var (
	ackDone = []byte("+ACK")
	ackWork = []byte("+WPI")
	nakNow  = []byte("-NAK")
)

func nakAfter(d time.Duration) []byte {
	return append(strconv.AppendInt([]byte(`-NAK {"delay": `), int64(max(d, time.Millisecond)), 10), '}')
}

// worker runs deliveries until it is sent nil.
func (c *core) worker(ctx context.Context) {
	for d := range c.work {
		if d == nil {
			return
		}
		for d != nil {
			d = c.process(ctx, d)
		}
	}
}

// process handles one delivery and returns the next one of its lane, if any.
func (c *core) process(ctx context.Context, d *delivery) (next *delivery) {
	if !c.gate.enter(c.quit) || c.draining.Load() {
		return c.giveBack(d)
	}
	if d.attempt > 1 && d.answer == nil && c.lanes == nil {
		c.memory.recall(d)
	}
	if failpoint.EarlyAck {
		c.respond(d.reply, ackDone)
	}
	for {
		v := c.attempt(ctx, d)
		if c.gate.leave(unavailable(v.err)) {
			c.puller.Pull()
		}
		if d.answer != nil {
			d.answer(v)
			return c.release(d, nil)
		}
		if v.kind == kindRetry {
			d.failures++
		}
		if !c.givesUp(d, v) {
			return c.finish(ctx, d, v)
		}
		if err := c.bury(ctx, d, v); err != nil {
			c.log.ErrorContext(ctx, "cannot store a dead letter, trying again", telemetry.KeySequence, d.sequence, telemetry.KeyError, err.Error())
			return c.pause(d, c.backoff(max(d.failures, 1)))
		}
		failpoint.Hit("event.buried")
		if d.next, d.failures = v.index+1, 0; !v.more {
			return c.finish(ctx, d, verdict{})
		}
	}
}

// attempt runs the handler; a panic outside of it, in an upcaster for example, is a
// failure like any other.
func (c *core) attempt(ctx context.Context, d *delivery) (v verdict) {
	defer func() {
		if r := recover(); r != nil {
			v = verdict{Outcome: c.panicked(ctx, "", r), index: d.next}
		}
	}()
	return c.handle(ctx, d)
}

// finish settles what is no dead letter.
func (c *core) finish(ctx context.Context, d *delivery, v verdict) (next *delivery) {
	if v.kind == kindLater {
		return c.pause(d, v.delay)
	}
	if v.kind == kindRetry {
		delay := max(c.backoff(d.failures), retryAfter(v.err))
		c.log.WarnContext(ctx, "an event failed and will be tried again", telemetry.KeyEvent, v.typ,
			telemetry.KeySubject, d.msg.Subject, telemetry.KeySequence, d.sequence, telemetry.KeyAttempt, d.failures,
			telemetry.KeyDelay, delay, telemetry.KeyError, v.err.Error())
		return c.pause(d, delay)
	}
	failpoint.Hit("event.handled")
	c.memory.forget(d)
	if failpoint.EarlyAck {
		return c.release(d, nil)
	}
	return c.release(d, ackDone)
}

// pause lets a delivery come again after delay: from the server, or in an ordered
// consumer from here, with its lane waiting.
func (c *core) pause(d *delivery, delay time.Duration) (next *delivery) {
	if c.lanes == nil {
		c.memory.remember(d)
		return c.release(d, nakAfter(delay))
	}
	c.mu.Lock()
	if c.draining.Load() {
		c.mu.Unlock()
		return c.giveBack(d)
	}
	d.timer = time.AfterFunc(delay, func() { c.resume(d) })
	c.mu.Unlock()
	return nil
}

// resume runs on the timer's goroutine.
func (c *core) resume(d *delivery) {
	c.mu.Lock()
	d.timer = nil
	c.mu.Unlock()
	select {
	case c.work <- d:
	case <-c.quit:
		c.giveBackAll(d)
	}
}

// giveBack returns a delivery that was not started to the server, for another
// process or another time.
func (c *core) giveBack(d *delivery) (next *delivery) {
	if d.answer != nil {
		d.answer(verdict{Outcome: Retry(errStopping)})
	}
	return c.release(d, nakNow)
}

// giveBackAll returns a delivery and all that wait behind it.
func (c *core) giveBackAll(d *delivery) {
	for d != nil {
		d = c.giveBack(d)
	}
}

// call runs the handler for one event, traced and measured. A panic is a retry.
func (c *core) call(ctx context.Context, typ string, f func(context.Context) Outcome) (o Outcome) {
	begin := time.Now()
	var span trace.Span
	if tel := c.conn.Telemetry(); tel.Tracing() {
		ctx, span = tel.Start(ctx, c.durable+" "+typ, trace.SpanKindConsumer)
	}
	defer func() {
		if r := recover(); r != nil {
			o = c.panicked(ctx, typ, r)
		}
		c.metrics.duration.Observe(time.Since(begin).Seconds())
		c.metrics.outcomes[o.kind].Inc()
		if span != nil {
			telemetry.End(span, o.err)
		}
	}()
	return f(ctx)
}

func (c *core) panicked(ctx context.Context, typ string, r any) Outcome {
	c.log.ErrorContext(ctx, "a handler panicked", telemetry.KeyEvent, typ,
		telemetry.KeyPanic, fmt.Sprint(r), telemetry.KeyStack, string(debug.Stack()))
	return Retry(fmt.Errorf("the handler panicked: %v", r))
}

// foreign reports a message that is not ours; it is skipped.
func (c *core) foreign(d *delivery, err error) {
	c.metrics.foreign.Inc()
	c.log.Warn("a foreign message on an entity's subject is skipped",
		telemetry.KeySubject, d.msg.Subject, telemetry.KeySequence, d.sequence, telemetry.KeyError, err.Error())
}
