package flow

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/internal/pull"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

// Glimpse is what one message says of its instance, without steps and values.
type Glimpse struct {
	Service string
	Flow    string
	ID      string
	Version int
	Status  Status
	Started time.Time
	Updated time.Time // when the message was stored
	Reason  string    // stuck and cancelled: why; failed: the error's full text

	// Condensed: the instance ended long ago, and its result is all that is left.
	Condensed bool
}

// How a follower reads.
const (
	followBatch    = 256
	followAhead    = 4 * followBatch // messages on their way
	followIdleLife = 30 * time.Second
	followGather   = 20 * time.Millisecond // how late a busy stream may be told
)

// Follower tells how the instances of all services stand, and every change from then
// on: of each inbox and journal the last message, then each new one. It is what lists
// of flows are made of; it reads a message once and asks for nothing more.
//
// It promises that of two glimpses of one instance the later one is newer, and that
// none is left out for good: after an outage it goes on behind what it has told.
type Follower struct {
	conn    *bus.Conn
	service string
	tell    func(batch []Glimpse)
	forget  func()

	queue   chan *nats.Msg
	told    uint64    // sequence of the last message that was told
	of      time.Time // when the stream was made that it is of
	pending atomic.Uint64
	lag     prometheus.Gauge
	looked  chan struct{} // closed when the stream was looked at first
	once    sync.Once
}

// NewFollower returns a follower of the flows of a service, or of all services with
// contract.EveryService. tell is called on one goroutine and does not keep the batch;
// forget is called when the stream turns out to be another one than before: nothing
// that was told is true any more.
func NewFollower(conn *bus.Conn, service string, tell func(batch []Glimpse), forget func()) *Follower {
	return &Follower{
		conn: conn, service: service, tell: tell, forget: forget,
		queue: make(chan *nats.Msg, 2*followAhead), looked: make(chan struct{}),
		lag: conn.Telemetry().Gauge("flow_follow_behind_messages", "Messages of flows that a follower has not told yet.", "service").WithLabelValues(conn.Service()),
	}
}

// Behind is how many messages were not told yet, by the server's last word; known is
// false before it is ready.
func (f *Follower) Behind() (messages uint64, known bool) {
	select {
	case <-f.looked:
		return f.pending.Load(), true
	default:
		return 0, false
	}
}

// Ready is closed once the stream was looked at.
func (f *Follower) Ready() <-chan struct{} { return f.looked }

// Run follows until ctx ends. Outages, a stream that does not exist yet and a lost
// consumer are waited out and repaired.
func (f *Follower) Run(ctx context.Context) error {
	pause := Retry{First: 50 * time.Millisecond, Max: 2 * time.Second, Factor: 2}
	for tries := 1; ; tries++ {
		begin := time.Now()
		err := f.follow(ctx)
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // the end of ctx has caused it
		case errors.Is(err, nats.ErrConnectionClosed):
			return err
		case time.Since(begin) > pause.Max:
			tries = 1
		}
		d := pause.pause(tries, nil)
		f.logAgain(ctx, err, d)
		wait(ctx, d)
	}
}

// logAgain tells of an outage. That no service with flows was here yet is none.
func (f *Follower) logAgain(ctx context.Context, err error, pause time.Duration) {
	level := slog.LevelWarn
	if errors.Is(err, jetstream.ErrStreamNotFound) && f.told == 0 {
		level = slog.LevelDebug
	}
	f.conn.Telemetry().Logger.Log(ctx, level, "flows are followed again from where it was left", telemetry.KeyStream, contract.FlowStream,
		telemetry.KeyDelay, pause, telemetry.KeyError, fmt.Sprint(err))
}

// follow reads behind what was told until something breaks.
func (f *Follower) follow(ctx context.Context) error {
	name, err := f.consume(ctx)
	if err != nil {
		return err
	}
	f.once.Do(func() { close(f.looked) })
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	puller := pull.New(pull.Config{
		Conn: f.conn, Stream: contract.FlowStream, Consumer: name, Limit: followAhead, Gather: followGather,
		Room:    func() int { return followAhead - len(f.queue) },
		Deliver: func(m *nats.Msg) { f.take(ctx, m) },
	})
	pulling := make(chan error, 1)
	go func() {
		defer cancel()
		pulling <- puller.Run(ctx)
	}()
	telling := f.tellAll(ctx, puller)
	cancel()
	err = errors.Join(telling, <-pulling)
	for len(f.queue) > 0 {
		<-f.queue
	}
	return err
}

// take hands a message to the telling goroutine; after the end of ctx it is dropped,
// because the next follow reads it again.
func (f *Follower) take(ctx context.Context, m *nats.Msg) {
	select {
	case f.queue <- m:
	case <-ctx.Done():
	}
}

// consume makes this follower's consumer. It is left to go by itself when it is idle:
// who may delete it could delete a partition's.
func (f *Follower) consume(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	stream, err := f.conn.JetStream().Stream(ctx, contract.FlowStream)
	if err != nil {
		return "", fmt.Errorf("look at stream %s: %w", contract.FlowStream, err)
	}
	if info := stream.CachedInfo(); f.told > info.State.LastSeq || !f.of.Equal(info.Created) {
		if f.told > 0 {
			f.forget()
		}
		f.told, f.of = 0, info.Created
	}
	cfg := jetstream.ConsumerConfig{
		Name: "follow-" + nuid.Next(), Description: "flows as seen by " + f.conn.Service(),
		FilterSubjects: []string{contract.FlowInputsFilter(f.service), contract.FlowLogFilter(f.service)},
		DeliverPolicy:  jetstream.DeliverLastPerSubjectPolicy, AckPolicy: jetstream.AckNonePolicy,
		MemoryStorage: true, Replicas: 1, InactiveThreshold: followIdleLife,
	}
	if f.told > 0 {
		cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, f.told+1
	}
	consumer, err := f.conn.JetStream().CreateConsumer(ctx, contract.FlowStream, cfg)
	if err != nil {
		return "", fmt.Errorf("make a consumer on %s: %w", contract.FlowStream, err)
	}
	f.reached(consumer.CachedInfo().NumPending)
	return consumer.CachedInfo().Name, nil
}

// tellAll tells what comes until ctx ends or a message is missing.
func (f *Follower) tellAll(ctx context.Context, puller *pull.Puller) error {
	delivery := uint64(0)
	batch := make([]Glimpse, 0, followBatch)
	for {
		var m *nats.Msg
		select {
		case m = <-f.queue:
		case <-ctx.Done():
			return nil
		}
		batch = batch[:0]
		var at pull.Position
		for more := true; more; {
			var ok bool
			if at, ok = pull.ParsePosition(m.Reply); !ok || at.Delivery != delivery+1 {
				return fmt.Errorf("delivery %d came after %d", at.Delivery, delivery)
			}
			delivery = at.Delivery
			if g, ok := glimpse(m, time.Unix(0, at.Stored)); ok {
				batch = append(batch, g)
			}
			if more = len(batch) < followBatch; !more {
				break
			}
			select {
			case m = <-f.queue:
			default:
				more = false
			}
		}
		puller.Pull()
		if len(batch) > 0 {
			f.tell(batch)
		}
		f.told = at.Sequence
		f.reached(at.Pending)
	}
}

// reached notes how many messages are left.
func (f *Follower) reached(pending uint64) {
	f.pending.Store(pending)
	f.lag.Set(float64(pending))
}

// glimpse reads a start or a journal message; whatever else is on these subjects says
// nothing of how an instance stands.
func glimpse(m *nats.Msg, stored time.Time) (Glimpse, bool) {
	if service, name, id, ok := contract.ParseFlowLog(m.Subject); ok {
		var p struct {
			V int `json:"v"`
			origin
			Status Status `json:"status"`
			Reason string `json:"reason"`
			Ended  int64  `json:"ended"`
		}
		if err := contract.UnmarshalLenient(m.Data, &p); err != nil || p.V != pageVersion || p.Start == 0 {
			return Glimpse{}, false
		}
		if p.Ended > 0 {
			stored = time.UnixMilli(p.Ended)
		}
		return Glimpse{
			Service: service, Flow: name, ID: id, Version: p.Version, Status: p.Status,
			Started: time.UnixMilli(p.At), Updated: stored, Reason: p.Reason, Condensed: p.Ended > 0,
		}, true
	}
	in, err := readInput(m.Subject, m.Header, nil)
	if err != nil || in.kind != inputStart {
		return Glimpse{}, false
	}
	service, _, _, _, _ := contract.ParseFlowInput(m.Subject) //nolint:dogsled // readInput has the rest
	return Glimpse{
		Service: service, Flow: in.name, ID: in.id, Version: in.version, Status: Pending, Started: stored, Updated: stored,
	}, true
}
