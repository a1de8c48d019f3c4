package view

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
	"golang.org/x/sync/errgroup"

	"github.com/ordermesh/ordermesh/bus/internal/pull"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

const (
	batch    = 1024                  // messages folded at once at most
	prefetch = 4 * batch             // messages on their way
	idleLife = 30 * time.Second      // of the consumer after its process is gone
	gather   = 20 * time.Millisecond // how late a view of a busy stream may be
)

// source is a consumer that begins at the checkpoint, in order to see that the message
// there is still the same.
type source struct {
	consumer string
	stream   string // as in Checkpoint.Stream
	pending  uint64 // messages to come, the one at the checkpoint included
}

// follow reads from the checkpoint on until something breaks, and returns where it was
// then.
func (p *Projection[E, R]) follow(ctx context.Context) (Checkpoint, error) {
	at, err := p.store.Checkpoint(ctx)
	if err != nil {
		return at, fmt.Errorf("read the checkpoint: %w", err)
	}
	from, err := p.consume(ctx, at)
	if err != nil {
		return at, err
	}
	defer p.forget(from.consumer)
	now := at
	if now.Behind = from.pending; at.Sequence > 0 && from.pending > 0 {
		now.Behind-- // the message at the checkpoint
	}
	p.set(now)
	group, ctx := errgroup.WithContext(ctx)
	puller := pull.New(pull.Config{
		Conn: p.conn, Stream: p.events.Info().Stream, Consumer: from.consumer, Limit: prefetch, Gather: gather,
		Room:    func() int { return prefetch - len(p.queue) },
		Deliver: func(m *nats.Msg) { p.take(ctx, m) },
	})
	read := make(chan []message[E], 1) // the next batch is decoded while one is stored
	group.Go(func() error { return puller.Run(ctx) })
	group.Go(func() error { return p.readAll(ctx, puller, read) })
	group.Go(func() error { return p.foldAll(ctx, from, &at, read) })
	err = group.Wait()
	return at, err
}

// take hands a message to who reads them; after the end of ctx it is dropped, because
// the next follow reads it again.
func (p *Projection[E, R]) take(ctx context.Context, m *nats.Msg) {
	select {
	case p.queue <- m:
	case <-ctx.Done():
	}
}

// consume makes this projection's consumer.
func (p *Projection[E, R]) consume(ctx context.Context, at Checkpoint) (source, error) {
	info := p.events.Info()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	stream, err := p.conn.JetStream().Stream(ctx, info.Stream)
	if err != nil {
		return source{}, fmt.Errorf("look at stream %s: %w", info.Stream, err)
	}
	seen := stream.CachedInfo()
	if last := seen.State.LastSeq; at.Sequence > last {
		return source{}, fmt.Errorf("%w (%s at %d, stream %s ends at %d)", ErrAhead, info.Entity, at.Sequence, info.Stream, last)
	}
	consumer, err := p.conn.JetStream().CreateConsumer(ctx, info.Stream, jetstream.ConsumerConfig{
		Name: "view-" + info.Entity + "-" + nuid.Next(), Description: "view of " + info.Entity + " in " + p.conn.Service(),
		FilterSubject: info.Filter(), DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: max(1, at.Sequence),
		AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1, InactiveThreshold: idleLife,
	})
	if err != nil {
		return source{}, fmt.Errorf("make a consumer on %s: %w", info.Stream, err)
	}
	made := consumer.CachedInfo()
	return source{
		consumer: made.Name, stream: info.Stream + "@" + seen.Created.UTC().Format(time.RFC3339Nano), pending: made.NumPending,
	}, nil
}

// forget drops what has not been read, and the consumer.
func (p *Projection[E, R]) forget(name string) {
	for len(p.queue) > 0 {
		<-p.queue
	}
	p.drop(name)
}

// drop deletes a consumer; should that fail it goes by itself.
func (p *Projection[E, R]) drop(name string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := p.conn.JetStream().DeleteConsumer(ctx, p.events.Info().Stream, name); err != nil {
		p.logger().DebugContext(ctx, "a view's consumer goes by itself", telemetry.KeyConsumer, name, telemetry.KeyError, err.Error())
	}
}
