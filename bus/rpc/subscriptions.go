package rpc

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ordermesh/ordermesh/bus"
)

// subscriptions is everything that one server listens to.
type subscriptions struct {
	nc       *nats.Conn
	list     []*nats.Subscription
	open     sync.WaitGroup // subscriptions that may still deliver
	monitors sync.WaitGroup
	requests chan *nats.Msg // $SRV
	broken   chan error     // why serving cannot go on

	mu       sync.Mutex
	subjects []string
	draining bool
}

// queue subscribes ch in a queue group.
func (s *subscriptions) queue(subject, group string, ch chan *nats.Msg) error {
	return s.add(subject, func() (*nats.Subscription, error) { return s.nc.ChanQueueSubscribe(subject, group, ch) })
}

// channel subscribes ch.
func (s *subscriptions) channel(subject string, ch chan *nats.Msg) error {
	return s.add(subject, func() (*nats.Subscription, error) { return s.nc.ChanSubscribe(subject, ch) })
}

// add notes the subject before it subscribes: the refusal may come at once.
func (s *subscriptions) add(subject string, subscribe func() (*nats.Subscription, error)) error {
	s.mu.Lock()
	s.subjects = append(s.subjects, subject)
	s.mu.Unlock()
	sub, err := subscribe()
	if err != nil {
		return fmt.Errorf("rpc: subscribe to %s: %w", subject, err)
	}
	s.open.Add(1)
	ended := sync.OnceFunc(func() { // nats.go tells it twice when the connection closes while the subscription drains
		s.closed(subject)
		s.open.Done()
	})
	sub.SetClosedHandler(func(string) { ended() })
	s.list = append(s.list, sub)
	return nil
}

// confirm waits for the NATS server. A refusal is on the connection before the
// flush is answered.
func (s *subscriptions) confirm() error {
	if err := s.nc.FlushTimeout(flushTimeout); err != nil {
		return fmt.Errorf("rpc: subscribe: %w", err)
	}
	last := s.nc.LastError()
	if !errors.Is(last, nats.ErrPermissionViolation) {
		return nil
	}
	for _, sub := range s.list {
		if strings.Contains(last.Error(), `Subscription to "`+sub.Subject+`"`) {
			return fmt.Errorf("rpc: %w", bus.Denied{Op: "subscription", Subject: sub.Subject})
		}
	}
	return nil
}

// denied hears of every subject that the NATS server refuses to this connection.
func (s *subscriptions) denied(d bus.Denied) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !strings.EqualFold(d.Op, "publish") && slices.Contains(s.subjects, d.Subject) {
		s.fail(fmt.Errorf("rpc: %w", d))
	}
}

// closed hears of a subscription that ended.
func (s *subscriptions) closed(subject string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.draining {
		s.fail(fmt.Errorf("rpc: the subscription to %s ended: the connection was closed", subject))
	}
}

func (s *subscriptions) fail(err error) {
	select {
	case s.broken <- err:
	default: // the first reason stands
	}
}

// drain ends the subscriptions and waits until none can deliver any more; then the
// channels may be closed. When giveUp is closed, or there is no connection to drain,
// what has not arrived is left to other instances or the callers' time-outs. False
// means that a subscription hangs.
func (s *subscriptions) drain(giveUp <-chan struct{}) bool {
	s.mu.Lock()
	s.draining = true
	s.mu.Unlock()
	if s.nc.IsConnected() {
		s.end((*nats.Subscription).Drain)
	} else {
		s.end((*nats.Subscription).Unsubscribe)
	}
	idle := waitChan(&s.open)
	select {
	case <-idle:
	case <-giveUp:
		s.end((*nats.Subscription).Unsubscribe)
		select {
		case <-idle:
		case <-time.After(grace):
			return false
		}
	}
	if s.requests != nil {
		close(s.requests)
		s.monitors.Wait()
	}
	return true
}

// end calls f on each subscription. An error means that it has ended already.
func (s *subscriptions) end(f func(*nats.Subscription) error) {
	for _, sub := range s.list {
		if err := f(sub); err != nil {
			continue
		}
	}
}

// waitChan returns a channel that is closed when wg is done.
func waitChan(wg *sync.WaitGroup) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		wg.Wait()
		close(done)
	}()
	return done
}
