package rpc

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ordermesh/ordermesh/bus"
)

// inboxShards keeps callers on different processors off each other's lock.
const inboxShards = 16

// inbox receives the replies of all calls of one client under one subscription.
// Against Conn.Request it saves the call a channel, a timer context and the
// connection's lock, and it can tell a caller that its request was denied.
type inbox struct {
	conn   *bus.Conn
	prefix string // reply subjects are prefix + id
	next   atomic.Uint64
	shards [inboxShards]inboxShard
	pool   sync.Pool

	opened atomic.Bool
	online atomic.Bool // the connection is up; asking it would take its lock
	mu     sync.Mutex
}

type inboxShard struct {
	mu      sync.Mutex
	waiting map[uint64]*waiter
	_       [48]byte // a cache line each
}

// waiter is one call that waits for its reply. It is reused, so whoever takes it
// out of its shard, and nobody else, may send to it.
type waiter struct {
	inbox   *inbox
	id      uint64
	subject string
	answers chan answer // capacity 1
	timer   *time.Timer
}

type answer struct {
	msg *nats.Msg
	err error
}

func newInbox(conn *bus.Conn) *inbox {
	i := &inbox{conn: conn, prefix: conn.NATS().NewInbox() + "."}
	for s := range i.shards {
		i.shards[s].waiting = map[uint64]*waiter{}
	}
	i.pool.New = func() any {
		timer := time.NewTimer(time.Hour)
		timer.Stop()
		return &waiter{inbox: i, answers: make(chan answer, 1), timer: timer}
	}
	return i
}

// open subscribes with the first call.
func (i *inbox) open() error {
	if i.opened.Load() {
		return nil
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.opened.Load() {
		return nil
	}
	if _, err := i.conn.NATS().Subscribe(i.prefix+"*", i.receive); err != nil {
		return ErrDisconnected.Sayf("the client's inbox cannot be subscribed: %v", err)
	}
	i.conn.WatchDenied(i.denied)
	changes := i.conn.NATS().StatusChanged()
	i.online.Store(i.conn.NATS().IsConnected())
	go i.follow(changes)
	i.opened.Store(true)
	return nil
}

// follow keeps online true or false until the connection is closed.
func (i *inbox) follow(changes <-chan nats.Status) {
	for status := range changes {
		i.online.Store(status == nats.CONNECTED)
		if status == nats.CLOSED {
			return
		}
	}
}

// expect registers a call.
func (i *inbox) expect(subject string) (*waiter, error) {
	if err := i.open(); err != nil {
		return nil, err
	}
	if !i.online.Load() {
		return nil, ErrDisconnected
	}
	w := i.pool.Get().(*waiter) //nolint:forcetypeassert,errcheck // the pool holds nothing else
	w.id, w.subject = i.next.Add(1), subject
	s := &i.shards[w.id%inboxShards]
	s.mu.Lock()
	s.waiting[w.id] = w
	s.mu.Unlock()
	return w, nil
}

// take removes a waiter: the one who gets it must answer it.
func (i *inbox) take(id uint64) *waiter {
	s := &i.shards[id%inboxShards]
	s.mu.Lock()
	w := s.waiting[id]
	delete(s.waiting, id)
	s.mu.Unlock()
	return w
}

// receive hands a reply to its call; a late or second one finds nobody.
func (i *inbox) receive(m *nats.Msg) {
	id, err := strconv.ParseUint(strings.TrimPrefix(m.Subject, i.prefix), 36, 64)
	if err != nil {
		return
	}
	if w := i.take(id); w != nil {
		w.answers <- answer{msg: m}
	}
}

// denied ends the calls whose subject the NATS server refuses: they would run into
// their time-outs.
func (i *inbox) denied(d bus.Denied) {
	if !strings.EqualFold(d.Op, "publish") {
		return
	}
	for s := range i.shards {
		for _, w := range i.shards[s].remove(d.Subject) {
			w.answers <- answer{err: ErrDenied.Sayf("%s", d.Error())}
		}
	}
}

func (s *inboxShard) remove(subject string) []*waiter {
	s.mu.Lock()
	defer s.mu.Unlock()
	var removed []*waiter
	for id, w := range s.waiting {
		if w.subject == subject {
			delete(s.waiting, id)
			removed = append(removed, w)
		}
	}
	return removed
}

// abandon ends the waiting and returns the waiter to the pool. When somebody else
// has taken it, his answer is awaited first, as it is on its way.
func (i *inbox) abandon(w *waiter) {
	if w.id == 0 {
		i.pool.Put(w)
		return
	}
	if i.take(w.id) == nil {
		<-w.answers
	}
	i.pool.Put(w)
}

func (w *waiter) reply() string {
	var buf [96]byte
	return string(strconv.AppendUint(append(buf[:0], w.inbox.prefix...), w.id, 36))
}

// wait returns the reply, or an error when time or ctx has ended.
func (w *waiter) wait(ctx context.Context, r *request) (*nats.Msg, error) {
	w.timer.Reset(r.timeout)
	defer w.timer.Stop()
	select {
	case a := <-w.answers:
		w.id = 0 // answered
		return a.msg, a.err
	case <-w.timer.C:
		return nil, errTimeRanOut(ctx, r)
	case <-ctx.Done():
		return nil, errTimeRanOut(ctx, r)
	}
}
