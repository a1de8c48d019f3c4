package policy

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

// Set is the executors of one instance of a service, one per destination.
type Set struct {
	conn     *bus.Conn
	service  string
	fallback Calls
	self     Report // what never changes
	events   chan Event
	wake     chan struct{}

	mu        sync.Mutex
	executors map[string]*Executor
	followed  []following
}

// NewSet returns executors for the destinations that the descriptor names under Policies,
// each with the policy of its class. It starts nothing; without Run nothing is told and no
// document followed.
func NewSet(conn *bus.Conn, desc contract.Service) *Set {
	s := Fixed(conn, Mesh())
	s.service, s.self.Service = desc.Name, desc.Name
	for _, p := range desc.Policies {
		if p.Kind == contract.PolicyCalls {
			s.add(p.Name, Default(p.Of))
		}
	}
	return s
}

// Fixed returns a set that has the same policy for each destination, for who has no
// descriptor. A policy that cannot be used panics with the first call: it is a programming
// error.
func Fixed(conn *bus.Conn, calls Calls) *Set {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return &Set{
		conn: conn, service: conn.Service(), fallback: calls, executors: map[string]*Executor{},
		self:   Report{Service: conn.Service(), Instance: nuid.Next(), Host: host, PID: os.Getpid(), Started: time.Now().UTC()},
		events: make(chan Event, 64), wake: make(chan struct{}, 1),
	}
}

// Executor is that of a destination. One that the descriptor does not name has the policy
// of a service of the mesh.
func (s *Set) Executor(destination string) *Executor {
	s.mu.Lock()
	e := s.executors[destination]
	s.mu.Unlock()
	if e == nil {
		e = s.add(destination, s.fallback)
	}
	return e
}

func (s *Set) add(destination string, calls Calls) *Executor {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.executors[destination]; e != nil {
		return e
	}
	e, err := NewExecutor(s.conn.Telemetry(), s.service, destination, calls)
	if err != nil {
		panic(err) // what is built in is tested, and Fixed says so
	}
	e.announce = s.announce
	s.executors[destination] = e
	return e
}

// announce must not block: the breaker waits for it.
func (s *Set) announce(e Event) {
	e.Instance = s.self.Instance
	select {
	case s.events <- e:
	default: // nobody runs the set, or the log alone can tell so many
	}
	s.renew()
}

func (s *Set) renew() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Document is a policy document as it is now: *config.Document[Calls].
type Document interface {
	Get() (Calls, uint64)
	Changed() <-chan struct{}
	Run(ctx context.Context) error
}

type following struct {
	executor *Executor
	document Document
}

// Follow makes a destination's policy that of the document, once the set runs.
func (s *Set) Follow(destination string, d Document) {
	s.followed = append(s.followed, following{s.Executor(destination), d})
}

// Run follows the documents and tells of breakers and numbers until ctx ends.
func (s *Set) Run(ctx context.Context) error {
	runners := []bus.Runner{runner(s.publish), runner(s.report)}
	for _, f := range s.followed {
		runners = append(runners, f.document, runner(func(ctx context.Context) error { return s.obey(ctx, f) }))
	}
	return bus.Run(ctx, runners...)
}

type runner func(context.Context) error

func (r runner) Run(ctx context.Context) error { return r(ctx) }

// obey puts each version of a document into force.
func (s *Set) obey(ctx context.Context, f following) error {
	for {
		changed := f.document.Changed()
		calls, revision := f.document.Get()
		if err := f.executor.Apply(calls, revision); err != nil { // the parser has checked it
			s.conn.Telemetry().Logger.ErrorContext(ctx, "a policy cannot be put into force", telemetry.KeyError, err.Error())
		}
		s.renew()
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}

// publish tells of breakers as they open and close. It is best effort: the report says what
// is now.
func (s *Set) publish(ctx context.Context) error {
	for {
		select {
		case e := <-s.events:
			body, err := contract.Marshal(e)
			if err == nil {
				err = s.conn.NATS().Publish(contract.BreakerSubject(e.Service, e.Destination), body)
			}
			if err != nil {
				s.conn.Telemetry().Logger.DebugContext(ctx, "the change of a breaker was not published", telemetry.KeyError, err.Error())
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// Status is what the executors do now, by destination.
func (s *Set) Status() []Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]Status, 0, len(s.executors))
	for _, e := range s.executors {
		list = append(list, e.Status())
	}
	slices.SortFunc(list, func(a, b Status) int { return strings.Compare(a.Destination, b.Destination) })
	return list
}

const (
	reportEvery = 3 * time.Second
	reportLife  = 10 * time.Second      // a killed instance is shown so long
	reportPause = 50 * time.Millisecond // between two reports at least
	apiTimeout  = 5 * time.Second
)

// Report is what an instance of a service tells about its calls.
type Report struct {
	Service      string    `json:"service"`
	Instance     string    `json:"instance"`
	Host         string    `json:"host"`
	PID          int       `json:"pid"`
	Started      time.Time `json:"started"`
	Destinations []Status  `json:"destinations"`

	Reported time.Time `json:"reported,omitzero"` // when this was told; set by who reads it
}

// report writes the states into the bucket of reports: at once when a breaker or a policy
// has changed, and now and then, because a report goes when it is not renewed.
func (s *Set) report(ctx context.Context) error {
	tick := time.NewTicker(reportEvery)
	defer tick.Stop()
	for {
		if err := s.write(ctx); err != nil && ctx.Err() == nil {
			s.conn.Telemetry().Logger.DebugContext(ctx, "the report about calls was not stored", telemetry.KeyError, err.Error())
		}
		if !rest(ctx, reportPause) {
			s.leave()
			return nil
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		case <-s.wake:
		}
	}
}

// write stores a report that goes after a time. The client library has no way to rewrite a
// key with a new time to live, so the message is written by hand.
func (s *Set) write(ctx context.Context) error {
	r := s.self
	r.Destinations = s.Status()
	if len(r.Destinations) == 0 {
		return nil
	}
	body, err := contract.Marshal(r)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	_, err = s.conn.JetStream().Publish(ctx, s.key(), body, jetstream.WithMsgTTL(reportLife))
	return err
}

func (s *Set) key() string {
	return "$KV." + contract.ConfigStatusKV + "." + contract.PolicyStates(s.service, s.self.Instance)
}

// leave takes the report back when the instance ends; should that fail it goes by itself.
func (s *Set) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	kv, err := s.conn.JetStream().KeyValue(ctx, contract.ConfigStatusKV)
	if err != nil {
		return
	}
	_ = kv.Purge(ctx, contract.PolicyStates(s.service, s.self.Instance), jetstream.PurgeTTL(reportLife))
}

// Reports returns what the running instances of a service tell, the oldest first; "*" is
// all services.
func Reports(ctx context.Context, conn *bus.Conn, service string) (list []Report, err error) {
	kv, err := conn.JetStream().KeyValue(ctx, contract.ConfigStatusKV)
	if err != nil {
		return nil, fmt.Errorf("bucket %s: %w", contract.ConfigStatusKV, err)
	}
	entries, err := kv.Watch(ctx, contract.PolicyStates(service, "*"), jetstream.IgnoreDeletes())
	if err != nil {
		return nil, fmt.Errorf("read the bucket %s: %w", contract.ConfigStatusKV, err)
	}
	defer func() { err = errors.Join(err, entries.Stop()) }()
	for {
		select {
		case e := <-entries.Updates():
			if e == nil {
				slices.SortFunc(list, func(a, b Report) int {
					if byName := strings.Compare(a.Service, b.Service); byName != 0 {
						return byName
					}
					return a.Started.Compare(b.Started)
				})
				return list, nil
			}
			var r Report
			if contract.UnmarshalLenient(e.Value(), &r) == nil {
				r.Reported = e.Created().UTC()
				list = append(list, r)
			}
		case <-ctx.Done():
			return nil, fmt.Errorf("read the bucket %s: %w", contract.ConfigStatusKV, ctx.Err())
		}
	}
}
