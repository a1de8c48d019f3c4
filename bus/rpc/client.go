package rpc

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/policy"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

// DefaultTimeout bounds a call whose caller names no other time.
const DefaultTimeout = 5 * time.Second

// Errors of the client itself, beside those that services answer.
var (
	// ErrNoResponders: no instance of the service listens now. Nothing was done.
	ErrNoResponders = contract.NewError(contract.Unavailable, "no_responders", "nobody serves this method now")
	// ErrDisconnected: the connection to NATS is down. Nothing was sent.
	ErrDisconnected = contract.NewError(contract.Unavailable, "disconnected", "the connection to NATS is down")
	// ErrDenied: the NATS server does not let this service call the method: its
	// descriptor does not name it among its calls.
	ErrDenied = contract.NewError(contract.Internal, "call_denied", "the NATS server does not let this service call the method")
)

// Client calls methods of other services over one connection. It is safe for
// concurrent use and lives as long as its connection.
type Client struct {
	conn     *bus.Conn
	policies *policy.Set
	own      policy.Calls // of all destinations, when there is no set
	timeout  time.Duration
	metrics  clientMetrics
	inbox    *inbox

	requests sync.Pool // a request with its header map is a third of a call's garbage

	mu      sync.Mutex
	targets atomic.Pointer[map[targetKey]*target] // replaced as a whole
}

// ClientOption changes a default of a client.
type ClientOption func(*Client)

// WithPolicies makes the client call each destination under the policy that the service
// has for it. Without it every destination has policy.Mesh, and a breaker of the client's
// own.
func WithPolicies(set *policy.Set) ClientOption { return func(c *Client) { c.policies = set } }

// WithRetry sets, for a client without policies, how often a call that may be repeated is
// tried at most, and the pauses between: base doubled each time up to limit, of which a
// random half is taken off. One attempt means no retry.
func WithRetry(attempts int, base, limit time.Duration) ClientOption {
	return func(c *Client) {
		c.own.Retry.Attempts = min(max(attempts, 1), 1000)
		c.own.Retry.First = policy.Duration(min(max(base, time.Millisecond), time.Minute))
		c.own.Retry.Max = max(policy.Duration(min(limit, time.Minute)), c.own.Retry.First)
	}
}

// WithDefaultTimeout replaces DefaultTimeout.
func WithDefaultTimeout(d time.Duration) ClientOption {
	return func(c *Client) { c.timeout = d }
}

// NewClient returns a client that calls over conn. It subscribes to its inbox with
// the first call.
func NewClient(conn *bus.Conn, opts ...ClientOption) *Client {
	c := &Client{
		conn: conn, timeout: DefaultTimeout, own: policy.Mesh(), metrics: newClientMetrics(conn.Telemetry()),
	}
	for _, opt := range opts {
		opt(c)
	}
	if c.policies == nil {
		c.policies = policy.Fixed(conn, c.own)
	}
	c.inbox = newInbox(conn)
	c.requests.New = func() any { return &request{msg: nats.Msg{Header: nats.Header{}}} }
	c.targets.Store(&map[targetKey]*target{})
	return c
}

// CallOption refines one call.
type CallOption struct {
	command string
	named   bool
	timeout time.Duration
}

// WithCommandID names the command: the service does it once however often it is
// asked, so the call may be repeated. 1 to 255 printable ASCII characters.
func WithCommandID(id string) CallOption { return CallOption{command: id, named: true} }

// WithTimeout bounds the call, retries included, when the context does not end
// earlier.
func WithTimeout(d time.Duration) CallOption { return CallOption{timeout: d} }

// Call sends req to a method and waits for its reply. An error that the service
// answered is the *contract.Error it returned; [ErrNoResponders], [ErrDisconnected]
// and contract.ErrDeadline are the client's own; the end of ctx is ctx's error. The
// actor and the trace of ctx travel along.
func Call[Req, Resp any](ctx context.Context, c *Client, m contract.Method[Req, Resp], req Req, opts ...CallOption) (Resp, error) {
	var resp Resp
	body, err := contract.Marshal(req)
	if err != nil {
		return resp, contract.ErrInvalid.Sayf("the request cannot be encoded: %v", err)
	}
	info := m.Info()
	t := c.target(&info)
	reply, err := c.call(ctx, t, body, opts)
	if err != nil {
		return resp, err
	}
	if err := contract.UnmarshalLenient(reply.Data, &resp); err != nil {
		return resp, contract.ErrInternal.Sayf("the reply of %s cannot be read: %v", t.name, err)
	}
	return resp, nil
}

// call builds the request's message and hands it to the chain.
func (c *Client) call(ctx context.Context, t *target, body []byte, opts []CallOption) (*nats.Msg, error) {
	if len(body) > contract.MaxRequestBytes {
		return nil, contract.ErrInvalid.Sayf("the request has %d bytes; %s reads at most %d", len(body), t.name, contract.MaxRequestBytes)
	}
	r := c.requests.Get().(*request) //nolint:forcetypeassert,errcheck // the pool holds nothing else
	defer c.release(r)
	r.target, r.timeout, r.repeatable = t, c.timeout, t.idempotent
	r.msg.Subject, r.msg.Data = t.subject, body
	for _, o := range opts {
		if err := r.apply(o); err != nil {
			return nil, err
		}
	}
	r.start = time.Now()
	r.deadline = r.start.Add(r.timeout)
	if d, ok := ctx.Deadline(); ok && d.Before(r.deadline) {
		r.deadline, r.timeout = d, d.Sub(r.start)
	}
	r.call = policy.Call{Name: t.name, Start: r.start, Deadline: r.deadline, Repeatable: r.repeatable, Reads: t.reads, Failed: failed}
	telemetry.Inject(ctx, r.msg.Header)
	return t.send(ctx, r)
}

// release empties a request for the next call. The connection has copied what it
// sent.
func (c *Client) release(r *request) {
	clear(r.msg.Header)
	header := r.msg.Header
	*r = request{msg: nats.Msg{Header: header}}
	c.requests.Put(r)
}

// targetKey identifies a method without building its subject.
type targetKey struct {
	service, name string
	version       int
}

// target is a method as this client calls it: its chain folded, its metrics
// resolved.
type target struct {
	name, service, subject string
	idempotent, reads      bool
	send                   sender
}

// target returns the method's chain; the first call of a method builds it.
func (c *Client) target(info *contract.MethodInfo) *target {
	key := targetKey{info.Service, info.Name, info.Version}
	if t, ok := (*c.targets.Load())[key]; ok {
		return t
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	old := *c.targets.Load()
	if t, ok := old[key]; ok {
		return t
	}
	t := &target{name: info.FullName(), service: info.Service, subject: info.Subject(), idempotent: info.Idempotent, reads: info.Reads}
	t.send = c.chain(t)
	grown := maps.Clone(old)
	grown[key] = t
	c.targets.Store(&grown)
	return t
}

// String names the client's owner, for messages.
func (c *Client) String() string { return fmt.Sprintf("rpc client of %s", c.conn.Service()) }
