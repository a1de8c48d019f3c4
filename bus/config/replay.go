package config

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/ordermesh/ordermesh/bus/internal/pull"
)

const (
	prefetch   = 1024             // changes on their way
	idleLife   = 30 * time.Second // of the consumer after its process is gone
	apiTimeout = 5 * time.Second
	// checkEvery is how often the revision is compared with the bucket's; a change that
	// is not there at the next comparison is missing.
	checkEvery = 2 * time.Second

	kvOperation = "KV-Operation" // header of a delete marker
)

var errMissed = errors.New("the bucket has a change that did not arrive")

// stream is the bucket's.
func (s scope) stream() string { return "KV_" + s.bucket }

// replay reads the history of the keys and then what comes, until something breaks.
func (w *watch) replay(ctx context.Context) error {
	state, err := w.fresh()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	name, history, err := w.consume(ctx)
	if err != nil {
		return err
	}
	defer w.forget(name)
	messages := make(chan *nats.Msg, 2*prefetch)
	puller := pull.New(pull.Config{
		Conn: w.conn, Stream: w.stream(), Consumer: name, Limit: prefetch,
		Room: func() int { return prefetch - len(messages) },
		Deliver: func(m *nats.Msg) {
			select {
			case messages <- m:
			case <-ctx.Done():
			}
		},
	})
	pulling := make(chan error, 1)
	go func() {
		defer cancel()
		pulling <- puller.Run(ctx)
	}()
	checks := make(chan uint64)
	var checking sync.WaitGroup
	checking.Go(func() { w.check(ctx, checks) })
	r := reading{watch: w, state: state, history: history}
	if history == 0 {
		r.complete(ctx)
	}
	err = r.all(ctx, messages, checks, puller.Pull)
	cancel()
	checking.Wait()
	return errors.Join(err, <-pulling)
}

// consume makes a consumer over the history of the keys, and says how long that is.
func (w *watch) consume(ctx context.Context) (name string, history uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	consumer, err := w.conn.JetStream().CreateConsumer(ctx, w.stream(), jetstream.ConsumerConfig{
		Name: w.consumer + "-" + nuid.Next(), Description: w.all + " of " + w.service,
		FilterSubject: w.filter, DeliverPolicy: jetstream.DeliverAllPolicy,
		AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1, InactiveThreshold: idleLife,
	})
	if err != nil {
		return "", 0, fmt.Errorf("make a consumer on the bucket %s: %w", w.bucket, err)
	}
	return consumer.CachedInfo().Name, consumer.CachedInfo().NumPending, nil
}

// forget deletes the consumer; should that fail it goes by itself.
func (w *watch) forget(name string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = w.conn.JetStream().DeleteConsumer(ctx, w.stream(), name)
}

// reading is one pass over the bucket.
type reading struct {
	watch     *watch
	state     state
	history   uint64 // messages in the bucket when the pass began
	installed bool   // the state is the current one
	delivery  uint64
	suspected uint64 // the bucket's revision at the last check, if that has not arrived
}

func (r *reading) all(ctx context.Context, messages <-chan *nats.Msg, checks <-chan uint64, more func()) error {
	for {
		select {
		case m := <-messages:
			if err := r.one(ctx, m); err != nil {
				return err
			}
			more()
		case last := <-checks:
			if err := r.compare(ctx, last); err != nil {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// one takes a message. Until the history is read the state is nobody's but ours.
func (r *reading) one(ctx context.Context, m *nats.Msg) error {
	at, ok := pull.ParsePosition(m.Reply)
	if !ok || at.Delivery != r.delivery+1 {
		return fmt.Errorf("%w: delivery %d came after %d", errMissed, at.Delivery, r.delivery)
	}
	r.delivery = at.Delivery
	c := change{
		key: strings.TrimPrefix(m.Subject, "$KV."+r.watch.bucket+"."), revision: at.Sequence, at: time.Unix(0, at.Stored),
		deleted: m.Header.Get(kvOperation) != "" || m.Header.Get("Nats-Marker-Reason") != "", data: m.Data,
	}
	if r.installed {
		r.watch.take(ctx, c)
		return nil
	}
	r.state.apply(c)
	if r.delivery >= r.history || at.Pending == 0 {
		r.complete(ctx)
	}
	return nil
}

func (r *reading) complete(ctx context.Context) {
	r.watch.install(ctx, r.state)
	r.installed = true
}

// compare holds our revision against the bucket's.
func (r *reading) compare(ctx context.Context, last uint64) error {
	current := r.state.head()
	switch {
	case current >= last && !r.installed: // what was there when the pass began has been purged
		r.complete(ctx)
	case current >= last:
		r.suspected = 0
		r.watch.verify()
	case r.suspected > current:
		return fmt.Errorf("%w: it is at revision %d, this instance at %d", errMissed, last, current)
	default:
		r.suspected = last
	}
	return nil
}

// check asks the bucket for its revision now and then. While it does not answer, nothing is
// known, and the age of the state grows.
func (w *watch) check(ctx context.Context, result chan<- uint64) {
	tick := time.NewTicker(checkEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		last, err := w.lastRevision(ctx)
		if err != nil {
			continue
		}
		select {
		case result <- last:
		case <-ctx.Done():
			return
		}
	}
}

// lastRevision is that of the newest change of the keys, 0 if there is none.
func (w *watch) lastRevision(ctx context.Context) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, checkEvery)
	defer cancel()
	reply, err := w.conn.Request(ctx, "$JS.API.DIRECT.GET."+w.stream()+"."+w.filter, nil)
	if err != nil {
		return 0, fmt.Errorf("ask the bucket %s for its revision: %w", w.bucket, err)
	}
	switch status := reply.Header.Get("Status"); status {
	case "":
		return strconv.ParseUint(reply.Header.Get("Nats-Sequence"), 10, 64)
	case "404":
		return 0, nil
	default:
		return 0, fmt.Errorf("ask the bucket %s for its revision: %s %s", w.bucket, status, reply.Header.Get("Description"))
	}
}
