package chaos

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// reader reads one stream, each time from where it stopped to the present end.
type reader struct {
	stream string
	next   uint64
}

const readBatch = 1000

func newReader(stream string) reader { return reader{stream: stream, next: 1} }

// advance calls hear for every message that is new.
func (r *reader) advance(ctx context.Context, js jetstream.JetStream, hear func(jetstream.Msg, *jetstream.MsgMetadata) error) error {
	consumer, err := js.CreateConsumer(ctx, r.stream, jetstream.ConsumerConfig{
		AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, InactiveThreshold: 5 * time.Second,
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: r.next,
	})
	if err != nil {
		return fmt.Errorf("read the stream %s: %w", r.stream, err)
	}
	defer func() { // bounded by InactiveThreshold if this fails
		_ = js.DeleteConsumer(context.WithoutCancel(ctx), r.stream, consumer.CachedInfo().Name)
	}()
	for {
		batch, err := consumer.FetchNoWait(readBatch)
		if err != nil {
			return fmt.Errorf("read the stream %s: %w", r.stream, err)
		}
		count := 0
		for msg := range batch.Messages() {
			count++
			meta, err := msg.Metadata()
			if err != nil {
				return fmt.Errorf("read the stream %s: %w", r.stream, err)
			}
			r.next = meta.Sequence.Stream + 1
			if err := hear(msg, meta); err != nil {
				return fmt.Errorf("message %d of %s: %w", meta.Sequence.Stream, r.stream, err)
			}
		}
		if err := batch.Error(); err != nil && !errors.Is(err, jetstream.ErrNoMessages) {
			return fmt.Errorf("read the stream %s: %w", r.stream, err)
		}
		if count == 0 {
			return nil
		}
	}
}
