package event

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

const (
	ensurePause = 100 * time.Millisecond
	ensureMax   = 2 * time.Second
)

// Drift is one field in which a durable differs from what its consumer needs.
type Drift struct{ Field, Want, Got string }

// DriftError reports a durable that exists with another meaning. It is not changed:
// somebody has to decide whether its position is worth keeping.
type DriftError struct {
	Stream, Consumer string
	Fields           []Drift
}

// Error names every field.
func (e *DriftError) Error() string {
	parts := make([]string, len(e.Fields))
	for i, f := range e.Fields {
		parts[i] = fmt.Sprintf("%s is %s, needed is %s", f.Field, f.Got, f.Want)
	}
	return fmt.Sprintf("consumer %s on stream %s is configured differently: %s; delete or edit it with the nats CLI",
		e.Consumer, e.Stream, strings.Join(parts, "; "))
}

// spec is what `mesh topology apply` makes as well, out of the service's descriptor.
func (c *core) spec() contract.ConsumerSpec {
	spec := contract.Consumption{
		Durable: c.durable, Events: c.info, Ordered: c.opts.ordered, AckWait: c.opts.ackWait,
	}.Spec(c.conn.Service())
	spec.MaxAckPending = max(spec.MaxAckPending, 4*c.opts.prefetch)
	return spec
}

func (c *core) config() jetstream.ConsumerConfig { return bus.ConsumerConfig(c.spec()) }

// ensure returns once the durable exists and fits. A stream that is missing and a
// server that does not answer are waited for.
func (c *core) ensure(ctx context.Context) error {
	trying, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	defer c.conn.WatchDenied(func(d bus.Denied) {
		if strings.HasPrefix(d.Subject, "$JS.API.CONSUMER.") && strings.Contains(d.Subject, "."+c.info.Stream+"."+c.durable) {
			stop(d)
		}
	})()
	pause, said := ensurePause, false
	for {
		err := c.ensureOnce(trying)
		var drift *DriftError
		if err == nil || errors.As(err, &drift) || errors.Is(err, nats.ErrConnectionClosed) {
			return err
		}
		if !said && trying.Err() == nil {
			c.log.Info("waiting for the stream of a consumer", telemetry.KeyError, err.Error())
			said = true
		}
		select {
		case <-trying.Done():
			return c.notEnsured(trying, err)
		case <-time.After(pause):
			pause = min(2*pause, ensureMax)
		}
	}
}

// notEnsured says why the durable does not stand: the server denied it, or the time ran
// out.
func (c *core) notEnsured(trying context.Context, err error) error {
	if denied, ok := errors.AsType[bus.Denied](context.Cause(trying)); ok {
		return fmt.Errorf("consumer %s on %s does not exist and may not be created here: %w", c.durable, c.info.Stream, denied)
	}
	return fmt.Errorf("consumer %s on %s: %w (%w)", c.durable, c.info.Stream, trying.Err(), err)
}

func (c *core) ensureOnce(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	js := c.conn.JetStream()
	existing, err := js.Consumer(ctx, c.info.Stream, c.durable)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		existing, err = js.CreateConsumer(ctx, c.info.Stream, c.config())
	}
	if err != nil {
		return err
	}
	return c.compare(existing.CachedInfo().Config)
}

// compare refuses a durable that means something else and takes over the settings
// that an operator may have tuned.
func (c *core) compare(got jetstream.ConsumerConfig) error {
	want := c.config()
	var drifts []Drift
	differ := func(field string, want, got any) {
		if w, g := fmt.Sprint(want), fmt.Sprint(got); w != g {
			drifts = append(drifts, Drift{field, w, g})
		}
	}
	differ("filter_subject", want.FilterSubject, strings.Join(slices.Concat(nonEmpty(got.FilterSubject), got.FilterSubjects), ","))
	differ("ack_policy", want.AckPolicy, got.AckPolicy)
	differ("deliver_policy", want.DeliverPolicy, got.DeliverPolicy)
	differ("max_deliver", want.MaxDeliver, got.MaxDeliver)
	differ("priority_policy", want.PriorityPolicy, got.PriorityPolicy)
	differ("priority_groups", want.PriorityGroups, got.PriorityGroups)
	if len(drifts) > 0 {
		return &DriftError{Stream: c.info.Stream, Consumer: c.durable, Fields: drifts}
	}
	if got.AckWait != want.AckWait && got.AckWait > 0 {
		c.log.Warn("the consumer's ack_wait differs, taking the server's", "server", got.AckWait, "code", want.AckWait)
		c.opts.ackWait = got.AckWait
	}
	if got.MaxAckPending < c.opts.prefetch && got.MaxAckPending > 0 {
		c.log.Warn("the consumer's max_ack_pending is smaller than what one process takes", "server", got.MaxAckPending, "code", want.MaxAckPending)
	}
	return nil
}

func nonEmpty(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

// unpin lets another process take over an ordered consumer at once. Without the
// permission it takes over when the pin runs out.
func (c *core) unpin() {
	body, err := contract.Marshal(struct {
		Group string `json:"group"`
	}{c.spec().Group})
	if err != nil {
		return
	}
	nc := c.conn.NATS()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_, _ = nc.RequestWithContext(ctx, "$JS.API.CONSUMER.UNPIN."+c.info.Stream+"."+c.durable, body)
}
