package flow

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

type workerOptions struct {
	partitions int
	schedules  []Schedule
	retention  retention
	capacity   int
}

// Option changes a worker.
type Option func(*workerOptions) error

// WithPartitions sets how many partitions the service's flows are spread over. It
// must be what the stream was created with; the default, 16, suits two to eight
// workers.
func WithPartitions(n int) Option {
	return func(o *workerOptions) error {
		if n < 1 || n > 256 {
			return fmt.Errorf("flow: %d partitions: 1 to 256", n)
		}
		o.partitions = n
		return nil
	}
}

// Worker runs the flows of one service. Several workers, in one process or many,
// share them.
type Worker struct {
	conn    *bus.Conn
	service string
	flows   catalogue
	metrics *metrics
	options workerOptions

	payloads *bucket

	ready     chan struct{}
	readyOnce sync.Once
	leaving   sync.WaitGroup // instances of sessions that have ended
}

// NewWorker returns a worker for the given definitions; Run starts it. Several
// versions of a flow may be given: each instance runs the one that it began with.
func NewWorker(conn *bus.Conn, service string, flows []Registered, opts ...Option) (*Worker, error) {
	if !contract.ValidID(service) {
		return nil, fmt.Errorf("flow: service name %q cannot be used", service)
	}
	w := &Worker{conn: conn, service: service, flows: catalogue{}, ready: make(chan struct{}), payloads: &bucket{conn: conn}}
	w.options = workerOptions{partitions: contract.FlowPartitions, retention: defaultRetention(), capacity: defaultCapacity}
	for _, opt := range opts {
		if err := opt(&w.options); err != nil {
			return nil, err
		}
	}
	for _, f := range flows {
		s := f.registered()
		v := flowVersion{s.name, s.version}
		switch _, twice := w.flows[v]; {
		case twice:
			return nil, fmt.Errorf("flow: %s version %d is given twice", s.name, s.version)
		case s.run == nil:
			return nil, fmt.Errorf("flow: %s version %d is only declared: a worker needs Define", s.name, s.version)
		}
		w.flows[v] = s
	}
	if len(w.flows) == 0 {
		return nil, errors.New("flow: a worker needs at least one flow")
	}
	if err := w.checkSchedules(); err != nil {
		return nil, err
	}
	w.metrics = newMetrics(conn.Telemetry(), service, w.flows)
	return w, nil
}

// Ready is closed once the worker takes inputs.
func (w *Worker) Ready() <-chan struct{} { return w.ready }

// partitionsOf reads how many partitions a stream or consumer was made for.
func partitionsOf(metadata map[string]string) (int, error) {
	text, ok := metadata[contract.FlowPartitionsKey]
	if !ok {
		return contract.FlowPartitions, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("flow: metadata %s is %q, not a number", contract.FlowPartitionsKey, text)
	}
	return n, nil
}

// prepare checks the stream and makes the durable consumers that are missing.
func (w *Worker) prepare(ctx context.Context) error {
	stream, err := w.conn.JetStream().Stream(ctx, contract.FlowStream)
	if err != nil {
		return fmt.Errorf("flow: stream %s: %w", contract.FlowStream, err)
	}
	n, err := partitionsOf(stream.CachedInfo().Config.Metadata)
	if err != nil {
		return err
	}
	if n != w.options.partitions {
		return fmt.Errorf("%w: the stream %s has %d, this worker is set to %d", errPartitions, contract.FlowStream, n, w.options.partitions)
	}
	for p := range n {
		if err := w.prepareConsumer(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// consumer describes the durable consumer of a partition.
func (w *Worker) consumer(p int) contract.ConsumerSpec {
	return contract.FlowConsumer(w.service, p, w.options.partitions)
}

// prepareConsumer makes the durable consumer of a partition, or checks the one that
// is there.
func (w *Worker) prepareConsumer(ctx context.Context, p int) error {
	spec := w.consumer(p)
	name := spec.Name
	consumer, err := w.conn.JetStream().Consumer(ctx, contract.FlowStream, name)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		consumer, err = w.makeConsumer(ctx, spec)
	}
	if err != nil {
		return fmt.Errorf("flow: consumer %s: %w", name, err)
	}
	n, err := partitionsOf(consumer.CachedInfo().Config.Metadata)
	if err != nil {
		return err
	}
	if n != w.options.partitions {
		return fmt.Errorf("%w: the consumer %s was made for %d partitions, this worker is set to %d", errPartitions, name, n, w.options.partitions)
	}
	return nil
}

// makeConsumer makes a durable, or says that it may not.
func (w *Worker) makeConsumer(ctx context.Context, spec contract.ConsumerSpec) (jetstream.Consumer, error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	defer w.conn.WatchDenied(func(d bus.Denied) {
		if strings.HasPrefix(d.Subject, "$JS.API.CONSUMER.CREATE."+spec.Stream+"."+spec.Name+".") {
			stop(fmt.Errorf("it does not exist and may not be created here: %w", d))
		}
	})()
	consumer, err := w.conn.JetStream().CreateOrUpdateConsumer(ctx, spec.Stream, bus.ConsumerConfig(spec))
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = cause
	}
	return consumer, err
}

// errPartitions reports a number of partitions that is not the stream's.
var errPartitions = errors.New("flow: the number of partitions cannot change while flows exist")

// Run takes part in running the service's flows until ctx ends, then finishes or
// hands over what it has and returns nil. It waits for the stream to exist. A number
// of partitions that is not the stream's is an error at once.
func (w *Worker) Run(ctx context.Context) error {
	defer w.leaving.Wait()
	for tries := 1; ctx.Err() == nil; tries++ {
		began := time.Now()
		err := w.work(ctx)
		if err == nil || ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, errPartitions) {
			return err
		}
		if time.Since(began) > 10*time.Second {
			tries = 1
		}
		w.conn.Telemetry().Logger.Warn("flow worker begins anew", telemetry.KeyError, err.Error())
		wait(ctx, Retry{First: 50 * time.Millisecond, Max: time.Second, Factor: 2}.pause(tries, nil))
	}
	return nil
}

// work is one session.
func (w *Worker) work(ctx context.Context) error {
	if err := w.prepare(ctx); err != nil {
		return err
	}
	if err := w.schedule(ctx); err != nil {
		return err
	}
	l, err := openLeases(ctx, w.conn, w.service)
	if err != nil {
		return err
	}
	return w.newSession(ctx, l).run(ctx)
}

func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

func (w *Worker) becomeReady() { w.readyOnce.Do(func() { close(w.ready) }) }

// answer sends an outcome to a waiting client. A client that misses it asks the
// journal.
func (w *Worker) answer(reply string, outcome []byte) {
	if err := w.conn.NATS().Publish(reply, outcome); err != nil {
		w.conn.Telemetry().Logger.Warn("flow outcome could not be sent", telemetry.KeySubject, reply, telemetry.KeyError, err.Error())
	}
}
