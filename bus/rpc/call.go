package rpc

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/policy"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

// request is one call on its way through the chain.
type request struct {
	target     *target
	msg        nats.Msg
	start      time.Time
	deadline   time.Time     // bounds every attempt and every pause
	timeout    time.Duration // what was left at the start
	repeatable bool          // idempotent, or with a command id
	attempt    int           // counted from 1
	hedged     bool          // the same call may run beside it
	call       policy.Call   // what the policy must know of it

	timeoutValue, commandValue [1]string // header values in place
}

func (r *request) apply(o CallOption) error {
	if o.timeout > 0 {
		r.timeout = o.timeout
	}
	if !o.named {
		return nil
	}
	if !validCommand(o.command) {
		return errCommand
	}
	r.commandValue[0], r.repeatable = o.command, true
	r.msg.Header[contract.HeaderCommand] = r.commandValue[:]
	return nil
}

// sender sends a request and returns the reply or an error. A decorator is a sender
// around a sender.
type sender func(ctx context.Context, r *request) (*nats.Msg, error)

// chain folds the decorators around send, once per method, outermost first:
// trace → log → measure → retry → hedge → breaker → timeout → send.
// The breaker is one per destination. It sees every attempt, and no time-out of its own
// may outlive the caller's.
func (c *Client) chain(t *target) sender {
	tel, executor := c.conn.Telemetry(), c.policies.Executor(t.service)
	send := c.send
	send = timeout(c.timeout, executor, send)
	send = guarded(executor, send)
	send = hedged(executor, send)
	send = retry(executor, send)
	send = measure(c.metrics.of(t.name), send)
	send = logged(tel.Logger, send)
	return traced(tel, send)
}

// traced makes a client span of each call. Without a tracer there is no decorator.
func traced(tel *telemetry.Telemetry, next sender) sender {
	if !tel.Tracing() {
		return next
	}
	return func(ctx context.Context, r *request) (*nats.Msg, error) {
		ctx, span := tel.Start(ctx, r.target.name, trace.SpanKindClient)
		telemetry.InjectTrace(ctx, r.msg.Header)
		m, err := next(ctx, r)
		span.SetAttributes(attribute.String(telemetry.KeyMethod, r.target.name), attribute.Int(telemetry.KeyAttempt, r.attempt))
		telemetry.End(span, err)
		return m, err
	}
}

// logged writes each call at debug level: a failure belongs to the caller, who
// knows what it means.
func logged(log *slog.Logger, next sender) sender {
	return func(ctx context.Context, r *request) (*nats.Msg, error) {
		m, err := next(ctx, r)
		if !log.Enabled(ctx, slog.LevelDebug) {
			return m, err
		}
		attrs := []slog.Attr{
			slog.String(telemetry.KeyMethod, r.target.name),
			slog.Duration(telemetry.KeyDuration, time.Since(r.start)), slog.Int(telemetry.KeyAttempt, r.attempt),
		}
		if err != nil {
			attrs = append(attrs, slog.String(telemetry.KeyError, err.Error()))
		}
		log.LogAttrs(ctx, slog.LevelDebug, "called", attrs...)
		return m, err
	}
}

// measure counts calls, failures and retries and their time.
func measure(m callMetrics, next sender) sender {
	return func(ctx context.Context, r *request) (*nats.Msg, error) {
		reply, err := next(ctx, r)
		m.seconds.Observe(time.Since(r.start).Seconds())
		if err != nil {
			m.failures.WithLabelValues(contract.AsError(err).Code.String()).Inc()
		}
		if r.attempt > 1 {
			m.retries.Add(float64(r.attempt - 1))
		}
		return reply, err
	}
}

// retry repeats a call that may be repeated as its policy says.
func retry(e *policy.Executor, next sender) sender {
	attempt := func(ctx context.Context, r *request, try int) (*nats.Msg, error) {
		r.attempt = try
		return next(ctx, r)
	}
	return func(ctx context.Context, r *request) (*nats.Msg, error) {
		return policy.Repeat(ctx, e, r.call, r, attempt)
	}
}

// hedged asks again what is slow. Each attempt gets a request of its own, as they run at
// the same time.
func hedged(e *policy.Executor, next sender) sender {
	attempt := func(ctx context.Context, r *request) (*nats.Msg, error) {
		own := *r
		own.hedged, own.msg.Header = true, maps.Clone(r.msg.Header)
		return next(ctx, &own)
	}
	return func(ctx context.Context, r *request) (*nats.Msg, error) {
		if !r.call.Reads || !e.Hedges() {
			return next(ctx, r)
		}
		return policy.Race(ctx, e, r.call, r, attempt)
	}
}

// guarded holds each attempt against the limits and the breaker of the destination.
func guarded(e *policy.Executor, next sender) sender {
	return func(ctx context.Context, r *request) (*nats.Msg, error) {
		return policy.Guard(ctx, e, r.call, r, next)
	}
}

// failed reports whether an error counts against the destination: a connection that is
// down and a call that is not allowed are this side's affair.
func failed(err error) bool {
	return policy.Failed(err) && !errors.Is(err, ErrDisconnected) && !errors.Is(err, ErrDenied)
}

// timeout bounds an attempt by the call's deadline and by what the policy gives it, and
// tells the server how much that is. Usual is the time-out of which the text is kept.
func timeout(usual time.Duration, e *policy.Executor, next sender) sender {
	usualText := strconv.FormatInt(usual.Milliseconds(), 10)
	return func(ctx context.Context, r *request) (*nats.Msg, error) {
		if r.attempt > 1 || r.hedged {
			r.timeout = time.Until(r.deadline)
		}
		if most := e.Timeout(); most > 0 && most < r.timeout {
			r.timeout = most
		}
		if r.timeout < time.Millisecond {
			return nil, errTimeRanOut(ctx, r)
		}
		r.timeoutValue[0] = usualText
		if r.timeout != usual {
			r.timeoutValue[0] = strconv.FormatInt(r.timeout.Milliseconds(), 10)
		}
		r.msg.Header[contract.HeaderTimeout] = r.timeoutValue[:]
		return next(ctx, r)
	}
}

// send is one attempt: publish, and wait for the reply, the deadline or the caller.
func (c *Client) send(ctx context.Context, r *request) (*nats.Msg, error) {
	w, err := c.inbox.expect(r.target.subject)
	if err != nil {
		return nil, err
	}
	r.msg.Reply = w.reply()
	if err := c.conn.NATS().PublishMsg(&r.msg); err != nil {
		c.inbox.abandon(w)
		return nil, publishError(r, err)
	}
	m, err := w.wait(ctx, r)
	c.inbox.abandon(w)
	if err != nil {
		return nil, err
	}
	if len(m.Header) == 0 {
		return m, nil
	}
	if len(m.Data) == 0 && m.Header.Get("Status") == "503" {
		return nil, ErrNoResponders.Sayf("nobody serves %s now", r.target.name)
	}
	if e := replyError(m); e != nil {
		return nil, e
	}
	return m, nil
}

func publishError(r *request, err error) error {
	switch {
	case errors.Is(err, nats.ErrMaxPayload):
		return contract.ErrInvalid.Sayf("the request to %s is larger than the NATS server takes", r.target.name)
	case errors.Is(err, nats.ErrConnectionClosed), errors.Is(err, nats.ErrConnectionDraining), errors.Is(err, nats.ErrReconnectBufExceeded):
		return ErrDisconnected.Sayf("the call of %s was not sent: %v", r.target.name, err)
	default:
		return contract.ErrInternal.Sayf("the call of %s was not sent: %v", r.target.name, err)
	}
}

// errTimeRanOut is ctx's error when that has ended, else deadline_exceeded.
func errTimeRanOut(ctx context.Context, r *request) error {
	if err := context.Cause(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return contract.ErrDeadline.Sayf("%s did not answer in time; whether it did the work is unknown", r.target.name)
}

type clientMetrics struct {
	seconds  *prometheus.HistogramVec
	failures *prometheus.CounterVec
	retries  *prometheus.CounterVec
}

// callMetrics are those of one method.
type callMetrics struct {
	seconds  prometheus.Observer
	failures *prometheus.CounterVec
	retries  prometheus.Counter
}

func newClientMetrics(t *telemetry.Telemetry) clientMetrics {
	return clientMetrics{
		seconds:  t.Histogram("rpc_client_seconds", "Time of a call, retries included.", telemetry.Latency(), "method"),
		failures: t.Counter("rpc_client_errors_total", "Calls that ended with an error, by code.", "method", "code"),
		retries:  t.Counter("rpc_client_retries_total", "Attempts beyond the first.", "method"),
	}
}

func (m clientMetrics) of(method string) callMetrics {
	return callMetrics{
		seconds:  m.seconds.WithLabelValues(method),
		failures: m.failures.MustCurryWith(prometheus.Labels{"method": method}),
		retries:  m.retries.WithLabelValues(method),
	}
}
