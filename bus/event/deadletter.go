package event

import (
	"context"
	"errors"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

// Why an event became a dead letter.
const (
	CauseRejected = "rejected" // the handler said that it can never work
	CauseFailures = "failures" // it failed too often
	CauseDamaged  = "damaged"  // a commit that cannot be decoded
	CauseNewer    = "newer"    // parked: a newer version wrote it; replay it with a newer build
)

// Headers of a dead letter, beside the original's own. Its body is the original's. A
// letter that would be too large has neither of the original's.
const (
	headerStream   = "Mesh-Dead-Stream"
	headerConsumer = "Mesh-Dead-Consumer"
	headerService  = "Mesh-Dead-Service"
	headerSubject  = "Mesh-Dead-Subject"
	headerSequence = "Mesh-Dead-Sequence"
	headerTime     = "Mesh-Dead-Time"
	headerEvent    = "Mesh-Dead-Event" // index of the event within the commit
	headerEventID  = "Mesh-Dead-Event-Id"
	headerType     = "Mesh-Dead-Type"
	headerCause    = "Mesh-Dead-Cause"
	headerReason   = "Mesh-Dead-Reason"
	headerFailures = "Mesh-Dead-Failures"
	headerAttempts = "Mesh-Dead-Attempts"

	deadPrefix  = "Mesh-Dead-"
	maxReason   = 1024
	buryTimeout = 5 * time.Second
)

var errStopping = contract.ErrUnavailable.Sayf("the consumer is stopping; try again")

// bury stores a dead letter. It returns nil only when the letter is acknowledged;
// until then the message must not be.
func (c *core) bury(ctx context.Context, d *delivery, v verdict) error {
	if v.cause == "" {
		if v.cause = CauseRejected; v.kind == kindRetry {
			v.cause = CauseFailures
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), buryTimeout)
	defer cancel()
	letter := c.letter(d, v)
	ack, err := c.conn.Appender().Append(ctx, letter, bus.NoExpectation)
	if _, refused := errors.AsType[*bus.APIError](err); refused || errors.Is(err, nats.ErrMaxPayload) {
		// Perhaps it is too large with what a letter adds; the original stays in its stream.
		letter.Data = nil
		maps.DeleteFunc(letter.Header, func(key string, _ []string) bool { return !hasPrefixFold(key, deadPrefix) })
		ack, err = c.conn.Appender().Append(ctx, letter, bus.NoExpectation)
	}
	if err != nil {
		return err
	}
	c.metrics.dead.WithLabelValues(v.cause).Inc()
	c.log.ErrorContext(ctx, "an event is a dead letter now", telemetry.KeySubject, d.msg.Subject,
		telemetry.KeySequence, d.sequence, telemetry.KeyEvent, v.typ, telemetry.KeyReason, v.cause,
		telemetry.KeyAttempt, d.failures, "dead_letter", ack.Sequence, telemetry.KeyError, v.err.Error())
	return nil
}

func (c *core) letter(d *delivery, v verdict) *nats.Msg {
	m := &nats.Msg{Subject: contract.DeadLetter(c.info.Stream, c.durable), Header: keptHeaders(d.msg.Header), Data: d.msg.Data}
	for key, value := range map[string]string{
		headerStream: c.info.Stream, headerConsumer: c.durable, headerService: c.conn.Service(), headerSubject: d.msg.Subject,
		headerSequence: strconv.FormatUint(d.sequence, 10),
		headerTime:     time.Unix(0, d.stored).UTC().Format(time.RFC3339Nano),
		headerEvent:    strconv.Itoa(v.index), headerEventID: v.id, headerType: v.typ,
		headerCause: v.cause, headerReason: reason(v.err),
		headerFailures: strconv.Itoa(d.failures), headerAttempts: strconv.Itoa(d.attempt),
	} {
		if value != "" {
			m.Header[key] = []string{oneLine(value)}
		}
	}
	return m
}

// keptHeaders copies headers without the server's own, which would make the server
// act on the copy, and without those of an earlier dead letter.
func keptHeaders(h nats.Header) nats.Header {
	kept := make(nats.Header, len(h)+12)
	for key, values := range h {
		if !hasPrefixFold(key, "Nats-") && !hasPrefixFold(key, deadPrefix) {
			kept[key] = values
		}
	}
	return kept
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// reason is what people read; a contract error also says its code.
func reason(err error) string {
	if e, ok := errors.AsType[*contract.Error](err); ok {
		return e.Code.String() + ": " + err.Error()
	}
	return err.Error()
}

// oneLine makes text fit for a header.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if len(s) > maxReason {
		s = strings.ToValidUTF8(s[:maxReason], "") + "…"
	}
	return s
}
