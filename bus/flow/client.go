package flow

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nuid"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

// Client starts and steers the flows of one service from any process. It is safe for
// concurrent use and needs no closing: it ends with its connection.
type Client struct {
	conn    *bus.Conn
	service string
	log     streamLog

	payloads   *bucket
	partitions atomic.Int64 // 0 until the stream was asked

	mu      sync.Mutex
	inbox   string // prefix of reply subjects, "" before the first
	next    uint64
	waiting map[string]chan answer
}

// NewClient returns a client for the flows that the given service runs.
func NewClient(conn *bus.Conn, service string) *Client {
	return &Client{conn: conn, service: service, log: streamLog{conn}, payloads: &bucket{conn: conn}, waiting: map[string]chan answer{}}
}

// Start starts an instance and returns once that is stored. Starting an id again
// finds the instance that is there, running or ended, provided the input is the same;
// otherwise the error is [ErrOtherInput].
func Start[In, Out any](ctx context.Context, c *Client, d Definition[In, Out], id string, in In) (*Handle[Out], error) {
	body, err := inputOf(id, in)
	if err != nil {
		return nil, err
	}
	if err := c.start(ctx, d.spec, id, body, ""); err != nil {
		return nil, err
	}
	return &Handle[Out]{client: c, name: d.name, id: id}, nil
}

// StartRaw is [Start] for callers that know a flow only by name and version, such as
// tools: input is JSON as the flow's type has it. Whether it fits is found out by the
// flow: it fails if not.
func (c *Client) StartRaw(ctx context.Context, name string, version int, id string, input contract.Raw) error {
	d := Declare[contract.Raw, contract.Raw](name, version)
	body, err := inputOf(id, input)
	if err != nil {
		return err
	}
	return c.start(ctx, d.spec, id, body, "")
}

// Do starts an instance, or finds the one that was started with the same id and
// input, and waits for its result. When ctx ends the flow goes on.
func Do[In, Out any](ctx context.Context, c *Client, d Definition[In, Out], id string, in In) (Out, error) {
	var out Out
	body, err := inputOf(id, in)
	if err != nil {
		return out, err
	}
	reply, answers, err := c.expect()
	if err != nil {
		return out, err
	}
	defer c.forget(reply)
	again := func(err error) error { return c.startAfter(ctx, d.spec, id, body, reply, err) }
	if len(body) > maxInline {
		if err := c.start(ctx, d.spec, id, body, reply); err != nil {
			return out, err
		}
		return resultOf[Out](c.await(ctx, d.name, id, answers, again))
	}
	msg, err := c.startMessage(ctx, d.spec, id, body, reply)
	if err != nil {
		return out, err
	}
	// An outcome proves that the start was stored: only a failed append is told.
	failed := func(_ bus.Ack, err error) {
		if err != nil {
			offer(answers, answer{err: err})
		}
	}
	if err := c.conn.Appender().Start(msg, 0, failed); err != nil {
		failed(bus.Ack{}, err)
	}
	return resultOf[Out](c.await(ctx, d.name, id, answers, again))
}

// Handle is an instance that was started.
type Handle[Out any] struct {
	client   *Client
	name, id string
}

// ID is the instance's id.
func (h *Handle[Out]) ID() string { return h.id }

// Result waits for the end of the instance and returns its result, or the error with
// which it failed: ErrCancelled after a cancel, ErrStuck when it cannot go on.
func (h *Handle[Out]) Result(ctx context.Context) (Out, error) {
	return Result[Out](ctx, h.client, h.name, h.id)
}

// Result is [Handle.Result] for an instance that somebody else started.
func Result[Out any](ctx context.Context, c *Client, name, id string) (Out, error) {
	var out Out
	state, err := c.Get(ctx, name, id)
	switch {
	case err != nil:
		return out, err
	case state.Status.Ended() || state.Status == Stuck:
		return resultOf[Out](state.outcome(), nil)
	}
	reply, answers, err := c.expect()
	if err != nil {
		return out, err
	}
	defer c.forget(reply)
	if err := c.send(ctx, inputAttach, name, id, reply, nil); err != nil {
		return out, err
	}
	return resultOf[Out](c.await(ctx, name, id, answers, nil))
}

func resultOf[Out any](o outcome, err error) (Out, error) {
	var out Out
	if err == nil {
		err = o.err()
	}
	if err != nil {
		return out, err
	}
	err = decode(o.Result, &out)
	return out, err
}

// inputOf checks and encodes a flow's input.
func inputOf(id string, in any) ([]byte, error) {
	if err := contract.CheckID("/id", id); err != nil {
		return nil, err
	}
	if v, ok := in.(contract.Validator); ok {
		if err := v.Validate(); err != nil {
			return nil, err
		}
	}
	body, err := encode(in)
	if err != nil {
		return nil, contract.ErrInvalid.At("/input").Sayf("the flow's input cannot be kept: %v", err)
	}
	return body, nil
}

// Cancel asks an instance to stop: its next step returns [ErrCancelled] and its
// compensations run. It returns once the request is stored; a flow that ends before
// its next step ends as it would have.
func (c *Client) Cancel(ctx context.Context, name, id, reason string) error {
	body, err := contract.Marshal(cancelBody{Reason: reason})
	if err != nil {
		return err
	}
	return c.steer(ctx, inputCancel, name, id, body)
}

// Retry lets a stuck instance go on at the step at which it got stuck.
func (c *Client) Retry(ctx context.Context, name, id string) error {
	return c.steer(ctx, inputRetry, name, id, nil)
}

func (c *Client) steer(ctx context.Context, kind inputKind, name, id string, body []byte) error {
	if err := c.open(ctx, name, id); err != nil {
		return err
	}
	return c.send(ctx, kind, name, id, "", body)
}

// open refuses what is not there or has ended.
func (c *Client) open(ctx context.Context, name, id string) error {
	state, err := c.Get(ctx, name, id)
	if err != nil {
		return err
	}
	if state.Status.Ended() {
		return ErrEnded.Sayf("the flow %s %s has ended: %s", name, id, state.Status)
	}
	return nil
}

// start appends the start input as the first message of its inbox and waits for the
// acknowledgement.
func (c *Client) start(ctx context.Context, s spec, id string, body []byte, reply string) error {
	msg, err := c.startMessage(ctx, s, id, body, reply)
	if err != nil {
		return err
	}
	if err = c.append(ctx, msg, 0); errors.Is(err, bus.ErrConflict) {
		return c.join(ctx, s, id, body, reply)
	}
	if err != nil {
		return err
	}
	return secure(ctx, c.payloads, msg, body)
}

// startAfter deals with a start whose append failed.
func (c *Client) startAfter(ctx context.Context, s spec, id string, body []byte, reply string, err error) error {
	switch {
	case errors.Is(err, bus.ErrConflict):
		return c.join(ctx, s, id, body, reply)
	case unanswered(err):
		return c.start(ctx, s, id, body, reply)
	}
	return err
}

// join is for an inbox that is not empty: it has the same start, or another, or only
// inputs that came before the start or after the flow was forgotten.
func (c *Client) join(ctx context.Context, s spec, id string, body []byte, reply string) error {
	msg, err := c.startMessage(ctx, s, id, body, reply)
	if err != nil {
		return err
	}
	start, err := findStart(ctx, c.log, msg.Subject)
	switch {
	case err != nil:
		return unavailable(err)
	case start.Sequence > 0 && !sameBody(start.Header, msg.Header, start.Data, msg.Data):
		return ErrOtherInput
	case start.Sequence > 0 && reply == "" && time.Since(start.Time) < surelyPending:
		return nil
	}
	if done, err := c.joined(ctx, s.name, id, inputHash(body), reply); done || err != nil {
		return err
	}
	if start.Sequence > 0 && time.Since(start.Time) < surelyPending {
		return c.send(ctx, inputAttach, s.name, id, reply, nil)
	}
	delete(msg.Header, headerFirst)
	if err := c.append(ctx, msg, bus.NoExpectation); err != nil {
		return err
	}
	return secure(ctx, c.payloads, msg, body)
}

func (c *Client) startMessage(ctx context.Context, s spec, id string, body []byte, reply string) (*nats.Msg, error) {
	subject, err := c.subject(ctx, s.name, id)
	if err != nil {
		return nil, err
	}
	msg := c.message(ctx, inputStart, subject, reply, body)
	msg.Header[headerVersion] = []string{strconv.Itoa(s.version)}
	msg.Header[headerFirst] = []string{"1"}
	if err := lighten(ctx, c.payloads, msg); err != nil {
		return nil, unavailable(err)
	}
	return msg, nil
}

// send appends another input.
func (c *Client) send(ctx context.Context, kind inputKind, name, id, reply string, body []byte) error {
	msg, err := c.inputMessage(ctx, kind, name, id, reply, body)
	if err != nil {
		return err
	}
	return c.append(ctx, msg, bus.NoExpectation)
}

// inputMessage is an input with an id of its own.
func (c *Client) inputMessage(ctx context.Context, kind inputKind, name, id, reply string, body []byte) (*nats.Msg, error) {
	subject, err := c.subject(ctx, name, id)
	if err != nil {
		return nil, err
	}
	msg := c.message(ctx, kind, subject, reply, body)
	msg.Header[headerInput] = []string{nuid.Next()}
	return msg, nil
}

func (c *Client) message(ctx context.Context, kind inputKind, subject, reply string, body []byte) *nats.Msg {
	msg := &nats.Msg{Subject: subject, Data: body, Header: make(nats.Header, 6)}
	msg.Header[headerKind] = []string{string(kind)}
	if reply != "" {
		msg.Header[headerReply] = []string{reply}
	}
	telemetry.Inject(ctx, msg.Header)
	return msg
}

// append stores an input. Whether an unanswered one is stored does not matter: it is
// sent again, and the inbox knows starts by their place and others by their id.
func (c *Client) append(ctx context.Context, msg *nats.Msg, expect uint64) error {
	pause := Retry{First: 20 * time.Millisecond, Max: time.Second, Factor: 2}
	for tries := 1; ; tries++ {
		_, err := c.conn.Appender().Append(ctx, msg, expect)
		if !unanswered(err) {
			return err
		}
		wait(ctx, pause.pause(tries, nil))
		if ctx.Err() != nil {
			return unavailable(err)
		}
	}
}

// unanswered reports whether an append is worth another try.
func unanswered(err error) bool {
	return errors.Is(err, bus.ErrUnknown) || errors.Is(err, bus.ErrNoStream)
}

func unavailable(err error) error {
	return fmt.Errorf("%w: %w", contract.ErrUnavailable, err)
}

// subject is the inbox of an instance.
func (c *Client) subject(ctx context.Context, name, id string) (string, error) {
	if !contract.ValidID(name) || !contract.ValidID(id) {
		return "", contract.ErrInvalid.At("/id").Sayf("a flow's name and id are 1 to %d of the characters A-Z a-z 0-9 _ -", contract.MaxID)
	}
	n := int(c.partitions.Load())
	if n == 0 {
		stream, err := c.conn.JetStream().Stream(ctx, contract.FlowStream)
		if err != nil {
			return "", unavailable(err)
		}
		if n, err = partitionsOf(stream.CachedInfo().Config.Metadata); err != nil {
			return "", err
		}
		c.partitions.Store(int64(n))
	}
	return contract.FlowInput(c.service, partitionOf(name, id, n), name, id), nil
}
