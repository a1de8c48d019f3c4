package sandbox

import (
	"container/heap"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/failpoint"
	"github.com/ordermesh/ordermesh/bus/rpc"
	"github.com/ordermesh/ordermesh/bus/telemetry"
	"github.com/ordermesh/ordermesh/contracts/sandbox"
)

const (
	couriers       = 64                   // callbacks at the same time
	atTheDoor      = 2 * time.Millisecond // at least between taking on and delivering: the merchant writes down the parcel meanwhile
	callTimeout    = 5 * time.Second
	retryMin       = 5 * time.Millisecond
	retryMax       = 5 * time.Second
	rescanEvery    = 2 * time.Second
	rescanPatience = 2 * time.Second // how overdue another process's parcel is before this one takes it up
)

// round delivers parcels: each at its due time, again until the merchant has answered.
// What is due is read from the book at start, and from time to time what another
// process of the carrier has left behind.
type round struct {
	conn   *bus.Conn
	book   *book
	client *rpc.Client
	wake   chan struct{}
	work   chan *stop

	mu    sync.Mutex
	known map[string]*stop // by order: planned or under way
	plan  planned
}

// stop is one parcel on the round.
type stop struct {
	order, tracking string
	at              time.Time // of the next try
	pause           time.Duration
	certain         bool // it cannot be cancelled any more
}

func newRound(conn *bus.Conn, b *book) *round {
	return &round{
		conn: conn, book: b, client: rpc.NewClient(conn), known: map[string]*stop{},
		wake: make(chan struct{}, 1), work: make(chan *stop),
	}
}

// take plans a parcel that was just taken on and is not cancelled.
func (r *round) take(p sandbox.ParcelRecord) {
	at := p.Due
	if soon := time.Now().Add(atTheDoor); at.Before(soon) {
		at = soon
	}
	r.put(p, at, !p.Due.After(p.At)) // a cancellation from now on comes too late
}

func (r *round) put(p sandbox.ParcelRecord, at time.Time, certain bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.known[p.OrderID] != nil {
		return
	}
	s := &stop{order: p.OrderID, tracking: p.TrackingID, at: at, pause: retryMin, certain: certain}
	r.known[p.OrderID] = s
	r.push(s)
}

// push plans a stop that is known; r.mu is held.
func (r *round) push(s *stop) {
	heap.Push(&r.plan, s)
	if r.plan[0] == s {
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}
}

// run delivers until ctx ends.
func (r *round) run(ctx context.Context) {
	var workers sync.WaitGroup
	defer workers.Wait()
	for range couriers {
		workers.Go(func() { r.courier(ctx) })
	}
	workers.Go(func() { r.rescan(ctx) })
	for {
		s, wait := r.next(time.Now())
		if s != nil {
			select {
			case r.work <- s:
			case <-ctx.Done():
				return
			}
			continue
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-r.wake:
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

// next takes the first stop out of the plan if its time has come, or says how long to
// wait.
func (r *round) next(now time.Time) (*stop, time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.plan) == 0 {
		return nil, time.Hour
	}
	if wait := r.plan[0].at.Sub(now); wait > 0 {
		return nil, wait
	}
	s, _ := heap.Pop(&r.plan).(*stop)
	return s, 0
}

func (r *round) courier(ctx context.Context) {
	for {
		select {
		case s := <-r.work:
			r.visit(ctx, s)
		case <-ctx.Done():
			return
		}
	}
}

// visit delivers one parcel; what fails is planned again.
func (r *round) visit(ctx context.Context, s *stop) {
	err := r.deliver(ctx, s)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		delete(r.known, s.order)
		return
	}
	s.at = time.Now().Add(s.pause)
	s.pause = min(2*s.pause, retryMax)
	r.push(s)
}

// deliver tells the merchant and then writes down the end. A refusal is an answer, too,
// except that the parcel is unknown: the merchant may not have written it down yet.
func (r *round) deliver(ctx context.Context, s *stop) error {
	if !s.certain {
		var end sandbox.EndRecord
		if found, err := r.book.ask(ctx, sandbox.EndKeyIn(s.order), &end); err != nil || found {
			return err
		}
	}
	_, err := rpc.Call(ctx, r.client, sandbox.Deliver, sandbox.ParcelDelivered{OrderID: s.order, TrackingID: s.tracking}, rpc.WithTimeout(callTimeout))
	var refusal *contract.Error
	switch {
	case err == nil:
	case errors.As(err, &refusal) && refusal.Code.Refusal() && refusal.Code != contract.NotFound:
		r.conn.Telemetry().Logger.WarnContext(ctx, "the merchant refuses a delivered parcel",
			telemetry.KeyOrder, s.order, telemetry.KeyError, err.Error())
	default:
		return err
	}
	failpoint.Hit("carrier.reported")
	_, err = r.book.create(ctx, sandbox.EndKeyIn(s.order), sandbox.EndRecord{
		TrackingID: s.tracking, Status: sandbox.ParcelDone, At: time.Now().UTC(),
	})
	return err
}

// rescan reads the book at start and then from time to time.
func (r *round) rescan(ctx context.Context) {
	after, open, patience := uint64(0), map[string]sandbox.ParcelRecord{}, time.Duration(0)
	tick := time.NewTicker(rescanEvery)
	defer tick.Stop()
	for {
		var err error
		after, err = r.book.scan(ctx, after, func(key string, value []byte) { note(open, key, value) })
		if err != nil && ctx.Err() == nil {
			r.conn.Telemetry().Logger.WarnContext(ctx, "cannot read the carrier's book, trying again", telemetry.KeyError, err.Error())
		}
		for _, p := range open {
			r.put(p, p.Due.Add(patience), false)
		}
		patience = rescanPatience
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// note keeps the parcels without an end.
func note(open map[string]sandbox.ParcelRecord, key string, value []byte) {
	var p sandbox.ParcelRecord
	if err := contract.UnmarshalLenient(value, &p); err != nil {
		return
	}
	switch order, ok := cutKey(key, sandbox.ParcelKeyIn("")); {
	case ok:
		open[order] = p
	default:
		if order, ok := cutKey(key, sandbox.EndKeyIn("")); ok {
			delete(open, order)
		}
	}
}

func cutKey(key, prefix string) (string, bool) {
	if len(key) <= len(prefix) || key[:len(prefix)] != prefix {
		return "", false
	}
	return key[len(prefix):], true
}

// planned is a heap by time.
type planned []*stop

func (p planned) Len() int           { return len(p) }
func (p planned) Less(i, j int) bool { return p[i].at.Before(p[j].at) }
func (p planned) Swap(i, j int)      { p[i], p[j] = p[j], p[i] }

// Push implements heap.Interface.
func (p *planned) Push(x any) {
	if s, ok := x.(*stop); ok {
		*p = append(*p, s)
	}
}

// Pop implements heap.Interface.
func (p *planned) Pop() any {
	old := *p
	s := old[len(old)-1]
	*p = old[:len(old)-1]
	return s
}
