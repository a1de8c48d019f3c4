// Package pull keeps one JetStream pull consumer fed with requests: it asks for as
// many messages as there is room for, notices silence, and asks again after an
// outage, a leader change or a lost pin.
//
// It is for bus/event, bus/view and those who follow flows, which need what the client
// library's Consume does not give: the room decides how much is asked for, every
// delivered message is seen at once (so that its owner can keep it alive), and pulling
// can pause without giving up the subscription.
//
// It promises that while Run runs, there is room and the consumer exists, a request
// is outstanding at the server or is sent within a second; that messages are handed
// over in the order in which they arrive, on one goroutine; and that after Run has
// returned nothing is handed over any more.
package pull

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

// How long a request lives at the server and how often the server says that it
// still knows it. A request that is lost costs two heartbeats.
const (
	Expiry    = 2 * time.Second
	Heartbeat = time.Second
)

// ErrGone reports that the consumer does not exist (any more).
var ErrGone = errors.New("the consumer does not exist")

const maxPause = time.Second

// Config describes what is pulled and where it goes.
type Config struct {
	Conn     *bus.Conn
	Stream   string
	Consumer string
	Group    string          // priority group of a pinned_client consumer, "" for none
	Limit    int             // the most that Room ever returns: a request is worth sending for a quarter of it
	Room     func() int      // how many more messages may be held or be on their way
	Deliver  func(*nats.Msg) // must not block
	Pinned   func(id string) // a new pin ("" = lost), before the message that brought it; may be nil
	// Idle hears the server say that there is nothing to deliver, in order with the
	// messages: how many it has delivered, and up to where in the stream; may be nil.
	Idle func(delivered, sequence uint64)

	// Gather is how long to let messages gather, while they keep coming, before asking for
	// all that are there: for those who can be a moment late. Each message by itself wakes
	// up server and client and costs both a system call, a hundred at once cost little
	// more. The first messages after a pause come at once. 0 asks as early as possible.
	Gather time.Duration
}

// Puller pulls for one consumer.
type Puller struct {
	cfg       Config
	subject   string
	requested atomic.Int64 // asked for and not delivered yet
	heard     atomic.Int64 // coarse clock at the last sign of life
	clock     atomic.Int64 // ticks of the monitor
	stopped   atomic.Bool
	broken    chan error    // ends Run
	again     chan struct{} // asks the monitor to pull after a pause
	reset     chan struct{} // asks the monitor for a new subscription

	backlog atomic.Int64 // how many messages were left behind the last one

	mu    sync.Mutex // guards the following and the sending of requests
	sub   *nats.Subscription
	pin   string
	asked time.Time   // when the last request was sent
	later *time.Timer // sends the next one when messages have gathered
}

// New returns a puller; Run starts it.
func New(cfg Config) *Puller {
	return &Puller{
		cfg:     cfg,
		subject: "$JS.API.CONSUMER.MSG.NEXT." + cfg.Stream + "." + cfg.Consumer,
		broken:  make(chan error, 1), again: make(chan struct{}, 1), reset: make(chan struct{}, 1),
	}
}

// Run pulls until ctx ends (nil), or until the consumer is gone (ErrGone) or refuses
// requests. On return the subscription is drained: what was on its way has been
// handed over. It may be called again.
func (p *Puller) Run(ctx context.Context) error {
	p.stopped.Store(false)
	select {
	case old := <-p.broken: // of an earlier Run
		_ = old
	default:
	}
	if err := p.subscribe(); err != nil {
		return err
	}
	status := p.cfg.Conn.NATS().StatusChanged(nats.CONNECTED)
	defer p.cfg.Conn.NATS().RemoveStatusListener(status)
	defer p.drain()
	p.Pull()
	return p.monitor(ctx, status)
}

// Pull asks for more if there is room for a worthwhile request. It is cheap and is
// called whenever a message is done.
func (p *Puller) Pull() {
	if p.cfg.Gather > 0 {
		p.pullGathered()
		return
	}
	requested := int(p.requested.Load())
	room := p.cfg.Room() - requested
	if room <= 0 || (requested > 0 && room < p.cfg.Limit/4) || p.stopped.Load() {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	requested = int(p.requested.Load())
	room = p.cfg.Room() - requested
	if room <= 0 || (requested > 0 && room < p.cfg.Limit/4) || p.sub == nil {
		return
	}
	p.request(room)
}

// pullGathered asks for what is there, or for the next message if nothing is, once the
// last request is used up and its time has passed.
func (p *Puller) pullGathered() {
	if p.requested.Load() > 0 || p.cfg.Room() <= 0 || p.stopped.Load() {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	room := p.cfg.Room()
	if room <= 0 || p.requested.Load() > 0 || p.sub == nil {
		return
	}
	now := time.Now()
	if wait := p.cfg.Gather - now.Sub(p.asked); wait > 0 {
		if p.later == nil {
			p.later = time.AfterFunc(wait, p.Pull)
		} else {
			p.later.Reset(wait)
		}
		return
	}
	p.asked = now
	p.request(int(min(max(p.backlog.Load(), 1), int64(room))))
}

// Recreate drops the subscription and pulls over a new one.
func (p *Puller) Recreate() { signal(p.reset) }

// Pin is the pin that the consumer gave us, "" for none.
func (p *Puller) Pin() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pin
}

type request struct {
	Expires   int64  `json:"expires"` // nanoseconds
	Batch     int    `json:"batch"`
	Heartbeat int64  `json:"idle_heartbeat"` // nanoseconds
	Group     string `json:"group,omitzero"`
	Pin       string `json:"id,omitzero"`
}

// request sends one; p.mu is held.
func (p *Puller) request(batch int) {
	body, err := contract.Marshal(request{int64(Expiry), batch, int64(Heartbeat), p.cfg.Group, p.pin})
	if err == nil {
		p.requested.Add(int64(batch))
		err = p.cfg.Conn.NATS().PublishRequest(p.subject, p.sub.Subject, body)
	}
	switch {
	case errors.Is(err, nats.ErrConnectionClosed):
		p.fail(fmt.Errorf("pull from %s: %w", p.cfg.Consumer, err))
	case err != nil:
		p.requested.Store(0)
		signal(p.again)
	}
}

func (p *Puller) subscribe() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sub != nil {
		if err := p.sub.Unsubscribe(); err != nil && !errors.Is(err, nats.ErrBadSubscription) {
			return fmt.Errorf("pull from %s: %w", p.cfg.Consumer, err)
		}
	}
	nc := p.cfg.Conn.NATS()
	sub, err := nc.Subscribe(nc.NewInbox(), p.received)
	if err != nil {
		return fmt.Errorf("pull from %s: %w", p.cfg.Consumer, err)
	}
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		return fmt.Errorf("pull from %s: %w", p.cfg.Consumer, err)
	}
	p.sub = sub
	p.requested.Store(0)
	p.heard.Store(p.clock.Load())
	return nil
}

// drain takes the interest away and waits until what had arrived is handed over.
func (p *Puller) drain() {
	p.stopped.Store(true)
	p.mu.Lock()
	sub := p.sub
	p.sub = nil
	p.mu.Unlock()
	closed := make(chan struct{})
	sub.SetClosedHandler(func(string) { close(closed) })
	if sub.Drain() != nil {
		return // the connection is closed: nothing arrives any more
	}
	select {
	case <-closed:
	case <-time.After(5 * time.Second): // the connection is down: so is the interest
		_ = sub.Unsubscribe()
	}
}

// monitor looks for silence and sends what could not be sent at once.
func (p *Puller) monitor(ctx context.Context, status <-chan nats.Status) error {
	tick := time.NewTicker(Heartbeat / 2)
	defer tick.Stop()
	pause := time.Duration(0)
	var retry <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-p.broken:
			return err
		case _, open := <-status:
			if !open {
				status = nil
			}
			p.pullAnew()
		case <-p.reset:
			if err := p.subscribe(); err != nil {
				return err
			}
			p.Pull()
		case <-p.again:
			if retry == nil {
				pause = min(max(2*pause, 25*time.Millisecond), maxPause)
				retry = time.After(pause)
			}
		case <-retry:
			retry = nil
			if err := p.exists(ctx); err != nil {
				return err
			}
			p.pullAnew()
		case <-tick.C:
			if p.silent() {
				p.cfg.Conn.Telemetry().Logger.Warn("no heartbeat from the consumer, pulling again",
					telemetry.KeyStream, p.cfg.Stream, telemetry.KeyConsumer, p.cfg.Consumer)
				signal(p.again)
			} else if retry == nil {
				pause = 0
				p.Pull()
			}
		}
	}
}

// silent reports whether a request is outstanding and nothing was heard for two
// heartbeats.
func (p *Puller) silent() bool {
	now := p.clock.Add(1)
	return p.requested.Load() > 0 && now-p.heard.Load() > 2*int64(Heartbeat/(Heartbeat/2))
}

func (p *Puller) pullAnew() {
	p.requested.Store(0)
	p.heard.Store(p.clock.Load())
	p.Pull()
}

// exists asks for the consumer when a request found nobody.
func (p *Puller) exists(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_, err := p.cfg.Conn.JetStream().Consumer(ctx, p.cfg.Stream, p.cfg.Consumer)
	if errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrStreamNotFound) {
		return fmt.Errorf("%w: %s on %s", ErrGone, p.cfg.Consumer, p.cfg.Stream)
	}
	return nil // anything else is an outage: pull again
}

// received runs on the subscription's goroutine.
func (p *Puller) received(m *nats.Msg) {
	p.heard.Store(p.clock.Load())
	if m.Reply == "" && len(m.Data) == 0 {
		if status := m.Header.Get("Status"); status != "" {
			p.status(status, m.Header)
			return
		}
	}
	if p.requested.Add(-1) < 0 {
		p.requested.Store(0)
	}
	if p.cfg.Group != "" {
		p.pinned(m.Header.Get("Nats-Pin-Id"))
	}
	p.cfg.Deliver(m)
	if p.cfg.Gather > 0 {
		if at, ok := ParsePosition(m.Reply); ok {
			p.backlog.Store(int64(at.Pending)) //nolint:gosec // at most 19 digits
		}
		p.Pull()
	}
}

func (p *Puller) pinned(id string) {
	p.mu.Lock()
	changed := id != p.pin
	p.pin = id
	p.mu.Unlock()
	if changed && p.cfg.Pinned != nil {
		p.cfg.Pinned(id)
	}
}

func (p *Puller) status(code string, h nats.Header) {
	text := h.Get("Description")
	switch code {
	case "100":
		p.idle(h)
	case "404", "408":
		p.backlog.Store(0) // nothing came for as long as a request lives
		left, err := strconv.ParseInt(h.Get("Nats-Pending-Messages"), 10, 64)
		if err != nil || p.requested.Add(-left) < 0 {
			p.requested.Store(0)
		}
		p.Pull()
	case "409":
		p.refused(text)
	case "423":
		p.pinned("")
		p.pullAnew()
	case "400":
		p.fail(fmt.Errorf("pull from %s: the server refuses the request: %s", p.cfg.Consumer, text))
	default: // 503: no leader or no consumer now
		p.requested.Store(0)
		signal(p.again)
	}
}

// idle passes on a heartbeat. Its headers are known to the server's source only; without
// them nothing is passed on.
func (p *Puller) idle(h nats.Header) {
	if p.cfg.Idle == nil {
		return
	}
	delivered, ok := parseUint(h.Get("Nats-Last-Consumer"))
	sequence, ok2 := parseUint(h.Get("Nats-Last-Stream"))
	if ok && ok2 {
		p.cfg.Idle(delivered, sequence)
	}
}

func (p *Puller) refused(text string) {
	switch {
	case strings.HasPrefix(text, "Consumer Deleted"):
		p.fail(fmt.Errorf("%w: %s on %s was deleted", ErrGone, p.cfg.Consumer, p.cfg.Stream))
	case strings.HasPrefix(text, "Exceeded MaxRequest"), strings.HasPrefix(text, "Consumer is push"):
		p.fail(fmt.Errorf("pull from %s: the server refuses the request: %s", p.cfg.Consumer, text))
	default: // leader change, server shutdown
		p.requested.Store(0)
		signal(p.again)
	}
}

func (p *Puller) fail(err error) {
	select {
	case p.broken <- err:
	default:
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
