package bench

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/event"
	"github.com/ordermesh/ordermesh/bus/eventstore"
)

// Both sides pull alike and ask the server for the same.
const (
	consumePrefetch = 1024
	consumeExpiry   = 2 * time.Second
	consumeBeat     = time.Second
)

// Consume compares bus/event with a jetstream Consume loop that acknowledges every
// message and decodes the same commits: how fast a backlog is worked off, and how long
// one event takes from its append to its handler.
func Consume(ctx context.Context, o Options) (Report, error) {
	o = o.withDefaults()
	report := newReport("consume", o)
	for _, transport := range o.Transports {
		rows, err := consumeOver(ctx, o, transport)
		if err != nil {
			return report, fmt.Errorf("bench consume over %s: %w", transport, err)
		}
		report.Rows = append(report.Rows, rows...)
	}
	report.finish()
	return report, nil
}

func consumeOver(ctx context.Context, o Options, transport string) (rows []Row, err error) {
	g, err := newGround(o, transport)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, g.close()) }()
	desc := gaugeService()
	desc.Appends = append(desc.Appends, newestEvents[0].Info(), newestEvents[1].Info())
	desc.Consumes = []contract.Consumption{{Durable: "bench", Events: gaugeEvents.Info()}}
	if err := g.provision(ctx, contract.Streams(desc)); err != nil {
		return nil, err
	}
	conns, err := g.pair(ctx, "bench")
	if err != nil {
		return nil, err
	}
	if err := fill(ctx, newGauges(conns.ours), o.Stored); err != nil {
		return nil, err
	}
	work := &backlog{messages: int64(o.Stored)}
	for _, measure := range []func(context.Context, Options, pair) (Row, error){work.compare, newest} {
		row, err := measure(ctx, o, conns)
		if err != nil {
			return nil, err
		}
		row.Transport = transport
		rows = append(rows, row)
		fmt.Fprintf(o.Progress, "%s over %s: %.0f/s, p50 %v, %.2f of raw\n", row.Name, transport, row.Ours.Ops, row.Ours.P50, row.OpsRatio)
	}
	return rows, nil
}

// consumer runs until ctx ends and calls handled for each event that it has decoded; it
// closes ready when events can come.
type consumer func(ctx context.Context, conn *bus.Conn, events contract.Events[gaugeEvent], durable string, ready chan<- struct{}, handled func(moved)) error

// side is a consumer on its connection.
type side struct {
	conn    *bus.Conn
	consume consumer
}

func consumeOurs(ctx context.Context, conn *bus.Conn, events contract.Events[gaugeEvent], durable string, ready chan<- struct{}, handled func(moved)) error {
	c, err := event.NewConsumer(conn, events, durable, event.WithPrefetch(consumePrefetch))
	if err != nil {
		return err
	}
	go func() {
		select {
		case <-c.Ready():
			close(ready)
		case <-ctx.Done():
		}
	}()
	return c.Run(ctx, func(_ context.Context, e event.Event[gaugeEvent]) event.Outcome {
		if m, ok := e.Data.(moved); ok {
			handled(m)
		}
		return event.Done
	})
}

// consumeRaw is what the documentation of nats.go teaches.
func consumeRaw(ctx context.Context, conn *bus.Conn, events contract.Events[gaugeEvent], durable string, ready chan<- struct{}, handled func(moved)) error {
	consumer, err := conn.JetStream().CreateConsumer(ctx, benchStream, jetstream.ConsumerConfig{
		Durable: durable, FilterSubject: events.Info().Filter(), AckPolicy: jetstream.AckExplicitPolicy,
		MaxDeliver: -1, MaxAckPending: 4 * consumePrefetch,
	})
	if err != nil {
		return err
	}
	failed := make(chan error, 1)
	running, err := consumer.Consume(func(m jetstream.Msg) {
		if err := decodeRaw(m, events, handled); err != nil {
			select {
			case failed <- err:
			default:
			}
		}
	}, jetstream.PullMaxMessages(consumePrefetch), jetstream.PullExpiry(consumeExpiry), jetstream.PullHeartbeat(consumeBeat))
	if err != nil {
		return err
	}
	close(ready)
	defer func() {
		running.Stop()
		<-running.Closed()
	}()
	select {
	case <-ctx.Done():
		return conn.NATS().Flush()
	case err := <-failed:
		return err
	}
}

func decodeRaw(m jetstream.Msg, events contract.Events[gaugeEvent], handled func(moved)) error {
	if _, ok := events.Info().EntityID(m.Subject()); !ok {
		return fmt.Errorf("subject %s", m.Subject())
	}
	if _, err := contract.ParseCommitHeader(m.Headers()); err != nil {
		return err
	}
	c, err := contract.DecodeCommit(m.Data())
	if err != nil {
		return err
	}
	if _, err := m.Metadata(); err != nil { // the sequence and the attempt
		return err
	}
	for _, r := range c.Events {
		e, err := events.Decode(r.Type, r.Data)
		if err != nil {
			return err
		}
		if moved, ok := e.(moved); ok {
			handled(moved)
		}
	}
	return m.Ack()
}

// backlog is a stream that new durables work off from the beginning.
type backlog struct {
	messages int64
	durables atomic.Int64
}

func (b *backlog) compare(ctx context.Context, o Options, conns pair) (Row, error) {
	row := Row{Name: "consume, backlog", Goal: Goal{OpsRatio: 0.9}, Note: fmt.Sprintf("%d messages with one event each", b.messages)}
	sides := [2]side{{conns.ours, consumeOurs}, {conns.raw, consumeRaw}}
	for _, s := range sides {
		if _, err := b.measure(ctx, s); err != nil {
			return row, err
		}
	}
	var samples [2][]Sample
	for round := range o.Rounds {
		for turn := range sides {
			i := (turn + round) % 2
			s, err := b.measure(ctx, sides[i])
			if err != nil {
				return row, err
			}
			samples[i] = append(samples[i], s)
		}
	}
	raw := median(samples[1])
	row.Ours, row.Raw = median(samples[0]), &raw
	row.OpsRatio = medianRatio(samples, func(s Sample) float64 { return s.Ops })
	return row, nil
}

// measure lets a new durable handle every message once.
func (b *backlog) measure(ctx context.Context, s side) (Sample, error) {
	durable := "backlog-" + strconv.FormatInt(b.durables.Add(1), 10)
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	left := atomic.Int64{}
	left.Store(b.messages)
	cpu, begin := processCPU(), time.Now()
	var elapsed, used time.Duration
	err := s.consume(ctx, s.conn, gaugeEvents, durable, make(chan struct{}), func(moved) {
		if left.Add(-1) == 0 {
			elapsed, used = time.Since(begin), processCPU()-cpu
			cancel()
		}
	})
	if rest := left.Load(); err == nil && rest > 0 {
		err = fmt.Errorf("%d of %d messages were not handled", rest, b.messages)
	}
	if err != nil {
		return Sample{}, err
	}
	err = s.conn.JetStream().DeleteConsumer(context.WithoutCancel(ctx), benchStream, durable)
	return Sample{
		Ops: float64(b.messages) / elapsed.Seconds(), Count: b.messages, CPU: used / time.Duration(b.messages),
	}, err
}

// newest measures how long an event takes from its append to its handler, one at a
// time. Each side has its own kind of entity, so that it hears its own events only.
func newest(ctx context.Context, o Options, conns pair) (row Row, err error) {
	var sides [2]operation
	for i, s := range []side{{conns.ours, consumeOurs}, {conns.raw, consumeRaw}} {
		op, stop, err := listen(ctx, conns.ours, s, newestEvents[i])
		if err != nil {
			return row, err
		}
		defer func() { err = errors.Join(err, stop()) }()
		sides[i] = op
	}
	row, err = compare(ctx, o, 1, sides[0], sides[1])
	row.Name, row.Note = "append and consume, one at a time", "both sides append with eventstore.Entity"
	return row, err
}

var newestEvents = [2]contract.Events[gaugeEvent]{
	contract.NewEvents[gaugeEvent]("bench", benchStream, "newest", contract.Type[gaugeEvent, moved](movedType)),
	contract.NewEvents[gaugeEvent]("bench", benchStream, "newestraw", contract.Type[gaugeEvent, moved](movedType)),
}

// listen starts a consumer and returns an operation that appends an event over conn
// and waits until the consumer has handled it.
func listen(ctx context.Context, conn *bus.Conn, s side, events contract.Events[gaugeEvent]) (operation, func() error, error) {
	running, cancel := context.WithCancel(ctx)
	ready, handled, ended := make(chan struct{}), make(chan struct{}, 1), make(chan error, 1)
	go func() {
		ended <- s.consume(running, s.conn, events, events.Info().Entity, ready, func(moved) { handled <- struct{}{} })
	}()
	stop := func() error {
		cancel()
		return <-ended
	}
	select {
	case <-ready:
	case err := <-ended:
		cancel()
		return nil, nil, err
	}
	entities := eventstore.NewEntity(eventstore.NewJetStreamLog(conn, benchStream), events,
		func(_ gauge, m moved) ([]gaugeEvent, error) { return []gaugeEvent{m}, nil },
		func(g gauge, _ gaugeEvent) gauge { return g })
	ids := newCommandIDs(1)
	return func(ctx context.Context, client int) error {
		if _, _, err := entities.Do(ctx, "one", ids.next(client), moved{Delta: 1, Reason: "benchmark"}); err != nil {
			return err
		}
		select {
		case <-handled:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}, stop, nil
}
