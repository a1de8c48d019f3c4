package bus

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// Request sends a request and waits for the reply, or for the server to say that this
// user may not publish there: then the error is [Denied] at once and no time-out later.
func (c *Conn) Request(ctx context.Context, subject string, body []byte) (*nats.Msg, error) {
	ctx, denied := c.untilDenied(ctx, subject)
	reply, err := c.nc.RequestWithContext(ctx, subject, body)
	return reply, denied(err)
}

// untilDenied returns a context that ends when the server denies a publish to one of the
// subjects, or to one that continues it, and a function that ends the watch and puts
// [Denied] in the place of what the end of the context looked like.
func (c *Conn) untilDenied(ctx context.Context, subjects ...string) (context.Context, func(error) error) {
	watched, cancel := context.WithCancelCause(ctx)
	stop := c.WatchDenied(func(d Denied) {
		for _, s := range subjects {
			if rest, ok := strings.CutPrefix(d.Subject, s); ok && d.Op == "publish" && (rest == "" || rest[0] == '.') {
				cancel(d)
				return
			}
		}
	})
	return watched, func(err error) error {
		stop()
		d, denied := errors.AsType[Denied](context.Cause(watched))
		cancel(nil)
		if err != nil && denied {
			return fmt.Errorf("ask the server: %w", d)
		}
		return err
	}
}

// deniable is a JetStream context whose requests to look for and make streams, consumers
// and buckets end with [Denied] at once when this user may not send them.
type deniable struct {
	jetstream.JetStream
	conn *Conn
}

const (
	apiStream   = "$JS.API.STREAM."
	apiConsumer = "$JS.API.CONSUMER."
)

// making are the requests that make a stream or change it.
func making(stream string) []string {
	return []string{apiStream + "INFO." + stream, apiStream + "CREATE." + stream, apiStream + "UPDATE." + stream}
}

func (d *deniable) Stream(ctx context.Context, name string) (jetstream.Stream, error) {
	ctx, denied := d.conn.untilDenied(ctx, apiStream+"INFO."+name)
	s, err := d.JetStream.Stream(ctx, name)
	return s, denied(err)
}

func (d *deniable) CreateOrUpdateStream(ctx context.Context, cfg jetstream.StreamConfig) (jetstream.Stream, error) {
	ctx, denied := d.conn.untilDenied(ctx, making(cfg.Name)...)
	s, err := d.JetStream.CreateOrUpdateStream(ctx, cfg)
	return s, denied(err)
}

func (d *deniable) Consumer(ctx context.Context, stream, name string) (jetstream.Consumer, error) {
	ctx, denied := d.conn.untilDenied(ctx, apiConsumer+"INFO."+stream+"."+name)
	consumer, err := d.JetStream.Consumer(ctx, stream, name)
	return consumer, denied(err)
}

func (d *deniable) CreateConsumer(ctx context.Context, stream string, cfg jetstream.ConsumerConfig) (jetstream.Consumer, error) {
	ctx, denied := d.conn.untilDenied(ctx, apiConsumer+"CREATE."+stream)
	consumer, err := d.JetStream.CreateConsumer(ctx, stream, cfg)
	return consumer, denied(err)
}

func (d *deniable) CreateOrUpdateConsumer(ctx context.Context, stream string, cfg jetstream.ConsumerConfig) (jetstream.Consumer, error) {
	ctx, denied := d.conn.untilDenied(ctx, apiConsumer+"CREATE."+stream)
	consumer, err := d.JetStream.CreateOrUpdateConsumer(ctx, stream, cfg)
	return consumer, denied(err)
}

func (d *deniable) KeyValue(ctx context.Context, bucket string) (jetstream.KeyValue, error) {
	ctx, denied := d.conn.untilDenied(ctx, apiStream+"INFO."+contract.StreamSpec{Name: bucket, KV: true}.StreamName())
	kv, err := d.JetStream.KeyValue(ctx, bucket)
	return kv, denied(err)
}

func (d *deniable) CreateOrUpdateKeyValue(ctx context.Context, cfg jetstream.KeyValueConfig) (jetstream.KeyValue, error) {
	ctx, denied := d.conn.untilDenied(ctx, making(contract.StreamSpec{Name: cfg.Bucket, KV: true}.StreamName())...)
	kv, err := d.JetStream.CreateOrUpdateKeyValue(ctx, cfg)
	return kv, denied(err)
}

func (d *deniable) ObjectStore(ctx context.Context, bucket string) (jetstream.ObjectStore, error) {
	ctx, denied := d.conn.untilDenied(ctx, apiStream+"INFO."+contract.StreamSpec{Name: bucket, Objects: true}.StreamName())
	store, err := d.JetStream.ObjectStore(ctx, bucket)
	return store, denied(err)
}

func (d *deniable) CreateOrUpdateObjectStore(ctx context.Context, cfg jetstream.ObjectStoreConfig) (jetstream.ObjectStore, error) {
	ctx, denied := d.conn.untilDenied(ctx, making(contract.StreamSpec{Name: cfg.Bucket, Objects: true}.StreamName())...)
	store, err := d.JetStream.CreateOrUpdateObjectStore(ctx, cfg)
	return store, denied(err)
}
