package rpc

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

const (
	// defaultWork is how long a request without Mesh-Timeout may run.
	defaultWork = 30 * time.Second
	// maxWork is the longest Mesh-Timeout that is taken at its word.
	maxWork = 10 * time.Minute
	// maxCommand is the longest command id.
	maxCommand = 255
)

// stamp notes when a request arrived and for which method.
func (s *Server) stamp(msg *nats.Msg) job {
	return job{endpoint: s.bySubject[msg.Subject], msg: msg, arrival: s.clock()}
}

// clock is the time since the server was made: monotonic, and cheaper to read than
// the time of day.
func (s *Server) clock() time.Duration { return time.Since(s.epoch) }

// refuse answers a request for which there is no room. Callers do not come back together:
// up to half of the time is added by chance.
func (s *Server) refuse(j job, after time.Duration) {
	refusal := contract.ErrExhausted.After(after + rand.N(after/2+1))
	s.answer(j, nil, refusal)
	j.endpoint.refused(refusal, s.clock()-j.arrival)
}

// serve runs one request from its header to its reply and returns what the handler took.
func (s *Server) serve(j job) time.Duration {
	var waited time.Duration
	if j.queued {
		waited = s.clock() - j.arrival
	}
	body, err := s.execute(j, waited)
	var refusal *contract.Error
	if err != nil {
		refusal = contract.AsError(err)
	}
	s.answer(j, body, refusal)
	total := s.clock() - j.arrival
	j.endpoint.observe(total-waited, total, refusal)
	return total - waited
}

func (s *Server) execute(j job, waited time.Duration) ([]byte, error) {
	if len(j.msg.Data) > contract.MaxRequestBytes {
		return nil, contract.ErrInvalid.Sayf("the request has %d bytes; at most %d are read", len(j.msg.Data), contract.MaxRequestBytes)
	}
	h, err := readHeader(j.msg.Header)
	if err != nil {
		return nil, err
	}
	if waited >= h.timeout {
		return nil, contract.ErrDeadline.Sayf("the time ran out before the work began")
	}
	call := &callContext{Context: s.work, deadline: s.epoch.Add(j.arrival + h.timeout)}
	defer call.finish()
	ctx := context.Context(call)
	if h.traced {
		ctx = telemetry.ExtractTrace(call, j.msg.Header)
	}
	if h.scoped {
		ctx = telemetry.WithCall(ctx, h.actor, h.command)
	}
	if !s.tel.Tracing() {
		return s.invoke(ctx, j)
	}
	ctx, span := s.tel.Start(ctx, j.endpoint.name, trace.SpanKindServer)
	body, err := s.invoke(ctx, j)
	span.SetAttributes(attribute.String(telemetry.KeyMethod, j.endpoint.name), attribute.String(telemetry.KeyCommand, h.command))
	telemetry.End(span, err)
	return body, err
}

// invoke runs the handler, turns a panic into an error and logs what the caller
// will not be told.
func (s *Server) invoke(ctx context.Context, j job) (body []byte, err error) {
	defer func() {
		if r := recover(); r != nil {
			s.tel.Logger.LogAttrs(ctx, slog.LevelError, "a handler panicked",
				slog.String(telemetry.KeyMethod, j.endpoint.name), slog.String(telemetry.KeyPanic, fmt.Sprint(r)), telemetry.Stack(1))
			body, err = nil, contract.ErrInternal
		}
	}()
	body, err = j.endpoint.invoke(ctx, j.msg.Data)
	if err != nil {
		s.logFailure(ctx, j, err)
	}
	return body, err
}

// logFailure writes what went wrong at a level that fits: refusals are ordinary.
func (s *Server) logFailure(ctx context.Context, j job, err error) {
	level := slog.LevelDebug
	code := contract.AsError(err).Code
	switch {
	case code == contract.Internal:
		level = slog.LevelError
	case !code.Refusal():
		level = slog.LevelWarn
	}
	if log := s.tel.Logger; log.Enabled(ctx, level) {
		log.LogAttrs(ctx, level, "a request failed", slog.String(telemetry.KeyMethod, j.endpoint.name),
			slog.String(telemetry.KeyCode, code.String()), slog.String(telemetry.KeyError, err.Error()))
	}
}

// callHeader is what a request says beside its body.
type callHeader struct {
	timeout time.Duration
	command string
	actor   contract.Actor
	scoped  bool // there is a command or an actor
	traced  bool // there may be a trace
}

func readHeader(h nats.Header) (callHeader, error) {
	c := callHeader{timeout: defaultWork}
	if len(h) == 0 {
		return c, nil
	}
	var err error
	if values := h[contract.HeaderTimeout]; len(values) > 0 {
		if c.timeout, err = parseTimeout(values); err != nil {
			return c, err
		}
		if len(h) == 1 { // as most calls are: three look-ups less
			return c, nil
		}
	}
	c.traced = true
	if values := h[contract.HeaderCommand]; len(values) > 0 {
		if len(values) > 1 || !validCommand(values[0]) {
			return c, errCommand
		}
		c.command, c.scoped = values[0], true
	}
	if len(h[contract.HeaderActor]) > 0 {
		c.scoped = true
		c.actor, err = telemetry.ActorOf(h)
	}
	return c, err
}

var (
	errCommand = contract.NewError(contract.Invalid, "bad_command_id", "the header "+contract.HeaderCommand+
		" must be given once, as 1 to "+strconv.Itoa(maxCommand)+" printable ASCII characters")
	errTimeout = contract.NewError(contract.Invalid, "bad_timeout", "the header "+contract.HeaderTimeout+
		" must be given once, as a whole number of milliseconds")
)

func parseTimeout(values []string) (time.Duration, error) {
	ms, err := strconv.ParseUint(values[0], 10, 63)
	if err != nil || len(values) > 1 {
		return 0, errTimeout
	}
	return time.Duration(min(ms, uint64(maxWork/time.Millisecond))) * time.Millisecond, nil
}

// validCommand reports whether id can travel in a header unchanged.
func validCommand(id string) bool {
	if len(id) == 0 || len(id) > maxCommand || id[0] == ' ' || id[len(id)-1] == ' ' {
		return false
	}
	for i := range len(id) {
		if id[i] < ' ' || id[i] > '~' {
			return false
		}
	}
	return true
}
