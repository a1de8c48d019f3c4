package flow

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/failpoint"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

const (
	// pullExpiry is shorter than the silence after which a worker is dead: the requests
	// of one that was stopped have run out when its partitions are taken over.
	pullExpiry = time.Second
	pullBeat   = 500 * time.Millisecond
	pullBatch  = 256
	maxReloads = 5
)

// partition is a share of a service's flows: one durable consumer, owned by one
// worker at a time, and the instances that are in memory.
type partition struct {
	eng     *engine
	ctx     context.Context //nolint:containedctx // ends the instances' steps
	cancel  context.CancelFunc
	js      jetstream.JetStream
	n       int
	durable string
	poison  func(durable string, msg jetstream.Msg, err error) // buries what is no input
	broken  func(n int)                                        // deliveries may have been lost

	flows sync.WaitGroup // the instances' goroutines

	mu      sync.Mutex
	running map[string]*instance // by "<name>.<id>"
	floor   uint64               // inputs up to here may have been given to a former owner
	closed  bool
	empty   chan struct{} // closed when closed and nothing runs
	feed    jetstream.ConsumeContext
}

func newPartition(ctx context.Context, e *engine, js jetstream.JetStream, n int) *partition {
	ctx, cancel := context.WithCancel(ctx)
	return &partition{
		ctx: ctx, cancel: cancel, eng: e, js: js, n: n, durable: contract.FlowConsumer(e.service, n, e.partitions).Name,
		running: map[string]*instance{}, empty: make(chan struct{}),
	}
}

// spec is the durable consumer of a partition.
func (p *partition) spec() contract.ConsumerSpec {
	return contract.FlowConsumer(p.eng.service, p.n, p.eng.partitions)
}

// open makes the consumer deliver to us, beginning with everything that was not
// acknowledged. The order matters: after UNPIN the former owner gets nothing new, and
// how far it can have come is known before Reset makes the deliveries start again.
//
// That is the end of the stream and not what the consumer says it delivered: after a
// crash of the server, a change of its leader or an earlier Reset, the consumer knows
// less than its clients were given. An input that nobody had yet costs one read more.
func (p *partition) open(ctx context.Context) error {
	stream, err := p.js.Stream(ctx, contract.FlowStream)
	if err != nil {
		return fmt.Errorf("partition %d: %w", p.n, err)
	}
	if err := stream.UnpinConsumer(ctx, p.durable, p.spec().Group); err != nil {
		return fmt.Errorf("partition %d: unpin: %w", p.n, err)
	}
	consumer, err := stream.Consumer(ctx, p.durable)
	if err != nil {
		return fmt.Errorf("partition %d: %w", p.n, err)
	}
	info, err := stream.Info(ctx)
	if err != nil {
		return fmt.Errorf("partition %d: %w", p.n, err)
	}
	p.mu.Lock()
	p.floor = info.State.LastSeq
	p.mu.Unlock()
	if _, err := p.js.ResetConsumer(ctx, contract.FlowStream, p.durable); err != nil {
		return fmt.Errorf("partition %d: reset: %w", p.n, err)
	}
	feed, err := consumer.Consume(p.deliver,
		jetstream.PullPriorityGroup(p.spec().Group), jetstream.PullMaxMessages(pullBatch),
		jetstream.PullExpiry(pullExpiry), jetstream.PullHeartbeat(pullBeat),
		jetstream.ConsumeErrHandler(p.feedError))
	if err != nil {
		return fmt.Errorf("partition %d: consume: %w", p.n, err)
	}
	p.mu.Lock()
	p.feed = feed
	p.mu.Unlock()
	return nil
}

// feedError hears what Consume overcomes by itself. Where the consumer's server may
// have changed, deliveries on their way are lost until AckWait: ask for them again.
func (p *partition) feedError(_ jetstream.ConsumeContext, err error) {
	if errors.Is(err, jetstream.ErrPinIDMismatch) || errors.Is(err, jetstream.ErrBatchCompleted) {
		return
	}
	p.eng.telemetry.Logger.Debug("flow consumer reported an error", telemetry.KeyConsumer, p.durable, telemetry.KeyError, err.Error())
	p.broken(p.n)
}

// silence stops the deliveries. What was delivered goes on.
func (p *partition) silence() {
	p.mu.Lock()
	feed := p.feed
	p.feed = nil
	p.mu.Unlock()
	if feed != nil {
		feed.Stop()
		<-feed.Closed()
	}
}

// shut makes the partition take no more inputs and returns a channel that is closed
// once no instance is left.
func (p *partition) shut() <-chan struct{} {
	p.silence()
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.closed = true
		if len(p.running) == 0 {
			close(p.empty)
		}
	}
	return p.empty
}

// stop tells every instance to leave.
func (p *partition) stop(how int32) {
	p.mu.Lock()
	instances := make([]*instance, 0, len(p.running))
	for _, in := range p.running {
		instances = append(instances, in)
	}
	p.mu.Unlock()
	for _, in := range instances {
		in.stop(how)
	}
}

// close gives the partition up at once.
func (p *partition) close() {
	p.shut()
	p.stop(haltNow)
	p.cancel()
}

// handOver gives the partition up in good order: short flows end, the others leave
// at their next step with everything stored, and only then somebody else begins.
func (p *partition) handOver(finish, leave time.Duration) {
	empty := p.shut()
	if !within(empty, finish) {
		p.stop(haltSoon)
		within(empty, leave)
	}
	p.close()
}

func within(done <-chan struct{}, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}

// deliver takes one message from the consumer.
func (p *partition) deliver(msg jetstream.Msg) {
	if failpoint.EarlyAck {
		_ = msg.Ack()
	}
	if !p.eng.alive() {
		return // not acknowledged: whoever owns the partition gets it
	}
	next, err := parseInput(msg)
	switch {
	case err != nil:
		p.poison(p.durable, msg, err)
	case next.kind == inputGone:
		next.ack()
	case !next.known() || !p.eng.flows.named(next.name):
		next.handBack()
	default:
		p.dispatch(next)
	}
}

// dispatch gives an input to its instance, and makes one where there is none.
func (p *partition) dispatch(next *input) {
	name := next.name + "." + next.id
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	if in := p.running[name]; in != nil && in.offer(next) {
		return
	}
	in := newInstance(p.ctx, p.eng, next)
	in.ended, in.fenced = p.forget, p.again
	life := in.load
	if next.kind == inputStart && next.first && next.delivered == 1 && next.sequence > p.floor {
		if s, ok := p.eng.flows.find(next.name, next.version); ok {
			life = func() { in.fresh(next, s) }
		}
	}
	p.running[name] = in
	p.flows.Go(func() { in.live(life) })
}

// forget takes an instance out of memory.
func (p *partition) forget(in *instance) {
	name := in.name + "." + in.id
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running[name] == in {
		delete(p.running, name)
		if p.closed && len(p.running) == 0 {
			close(p.empty)
		}
	}
}

// again reads the journal anew for inputs whose instance was fenced. As long as the
// partition is ours the other writer was a former owner with a last word; if it is
// not, nothing comes of it.
func (p *partition) again(_ *instance, held []*input) {
	for _, h := range held {
		if h.reloads++; h.reloads > maxReloads || !p.eng.alive() {
			continue
		}
		h.delivered++
		p.dispatch(h)
	}
}
