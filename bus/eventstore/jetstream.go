package eventstore

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

const (
	readTimeout    = 2 * time.Second // of one read; the reader tries again
	rangePage      = 256
	codeNoMessage  = 10037
	headerPending  = "Nats-Num-Pending"
	headerExpected = "Nats-Expected-Last-Subject-Sequence"
)

// JetStreamLog is a [Log] over one stream. The stream must allow direct get, which
// streams made by bus.Provision do.
type JetStreamLog struct {
	conn            *bus.Conn
	stream          string
	direct, leading string // request subjects: direct get by subject, leader read
	info            string // and what the leader says of itself
	lease           *lease
}

// NewJetStreamLog returns the log in the named stream; it does not look whether the
// stream exists.
func NewJetStreamLog(conn *bus.Conn, stream string) *JetStreamLog {
	prefix := apiPrefix(conn.JetStream().Options())
	l := &JetStreamLog{
		conn: conn, stream: stream,
		direct:  prefix + "DIRECT.GET." + stream + ".",
		leading: prefix + "STREAM.MSG.GET." + stream,
		info:    prefix + "STREAM.INFO." + stream,
	}
	l.lease = &lease{ask: l.askLeader, lost: conn.Lost}
	return l
}

func apiPrefix(o jetstream.JetStreamOptions) string {
	switch {
	case o.APIPrefix != "" && o.APIPrefix[len(o.APIPrefix)-1] == '.':
		return o.APIPrefix
	case o.APIPrefix != "":
		return o.APIPrefix + "."
	case o.Domain != "":
		return "$JS." + o.Domain + ".API."
	}
	return jetstream.DefaultAPIPrefix
}

// Telemetry is the connection's.
func (l *JetStreamLog) Telemetry() *telemetry.Telemetry { return l.conn.Telemetry() }

// Append implements [Log]. Without a connection it sends nothing: a message that
// waits for a reconnect could be stored after its deadline.
func (l *JetStreamLog) Append(ctx context.Context, m Message, expect uint64) (uint64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if nc := l.conn.NATS(); !nc.IsConnected() {
		if nc.IsClosed() {
			return 0, fmt.Errorf("append to %s: %w", m.Subject, nats.ErrConnectionClosed)
		}
		return 0, fmt.Errorf("append to %s: %w: not connected", m.Subject, bus.ErrNoStream)
	}
	ack, err := l.conn.Appender().Append(ctx, &nats.Msg{Subject: m.Subject, Header: m.Header, Data: m.Data}, expect)
	if err != nil {
		return 0, err
	}
	if ack.Duplicate {
		return 0, fmt.Errorf("append to %s: %w: answered as a duplicate", m.Subject, bus.ErrUnknown)
	}
	return ack.Sequence, nil
}

// Last implements [Log]: it asks the stream's leader, and does not believe one whom others
// may have replaced.
func (l *JetStreamLog) Last(ctx context.Context, subject string) (Message, error) {
	return l.leader(ctx, subject, `{"last_by_subj":"`+subject+`"}`)
}

// leader asks for one message. Its answer is JSON, in which a message's own headers
// cannot pass for the server's.
func (l *JetStreamLog) leader(ctx context.Context, subject, what string) (Message, error) {
	err := l.lease.take(ctx)
	var resp *nats.Msg
	if err == nil {
		resp, err = l.request(ctx, l.leading, []byte(what))
	}
	if err == nil {
		err = l.lease.covers()
	}
	if err != nil {
		return Message{}, fmt.Errorf("read %s: %w", subject, err)
	}
	r, ok := plainReply(resp.Data)
	if !ok {
		if err := contract.UnmarshalLenient(resp.Data, &r); err != nil {
			return Message{}, fmt.Errorf("read %s: answer: %w", subject, err)
		}
	}
	return r.last(subject)
}

// Peek implements [Log]: any replica answers, or the leader when the answer is not
// plain.
func (l *JetStreamLog) Peek(ctx context.Context, subject string) (Message, error) {
	resp, err := l.request(ctx, l.direct+subject, nil)
	switch {
	case errors.Is(err, bus.ErrNoStream): // or an empty message that says so
		return l.Last(ctx, subject)
	case err != nil:
		return Message{}, fmt.Errorf("read %s: %w", subject, err)
	case len(resp.Header[jetstream.StreamHeader]) == 0 && resp.Header.Get("Status") == "404":
		return Message{}, nil
	case !plainHeaders(resp.Header):
		return l.Last(ctx, subject)
	}
	m := Message{Subject: subject, Header: resp.Header, Data: resp.Data}
	if m.Sequence, err = strconv.ParseUint(resp.Header.Get(jetstream.SequenceHeader), 10, 64); err != nil {
		return Message{}, fmt.Errorf("read %s: answer without a sequence: %w", subject, err)
	}
	m.Time, _ = time.Parse(time.RFC3339Nano, resp.Header.Get(jetstream.TimeStampHeaer))
	strip(m.Header)
	return m, nil
}

// plainHeaders reports whether the server's headers are all there and the stored
// message had none of them: its own would come first.
func plainHeaders(h nats.Header) bool {
	return len(h[jetstream.StreamHeader]) == 1 && len(h[jetstream.SubjectHeader]) == 1 &&
		len(h[jetstream.SequenceHeader]) == 1 && len(h[jetstream.TimeStampHeaer]) == 1
}

// strip removes the headers that appending and direct get add.
func strip(h nats.Header) {
	for _, name := range [...]string{
		jetstream.StreamHeader, jetstream.SubjectHeader, jetstream.SequenceHeader,
		jetstream.TimeStampHeaer, headerPending, jetstream.LastSequenceHeader, headerExpected,
	} {
		delete(h, name)
	}
}

func (l *JetStreamLog) request(ctx context.Context, subject string, body []byte) (*nats.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	resp, err := l.conn.Request(ctx, subject, body)
	if errors.Is(err, nats.ErrNoResponders) {
		return nil, bus.ErrNoStream
	}
	return resp, err
}

// Range implements [Log] with batched direct gets: any replica answers each page. At
// what is not plain, the leader is asked for the next message.
func (l *JetStreamLog) Range(ctx context.Context, subject string, after uint64) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		for more := true; more; {
			var err error
			after, more, err = l.page(ctx, subject, after, yield)
			if err != nil {
				yield(Message{}, fmt.Errorf("read %s: %w", subject, err))
				return
			}
		}
	}
}

// page yields up to rangePage messages and reports how far it came and whether
// there are more.
func (l *JetStreamLog) page(ctx context.Context, subject string, after uint64, yield func(Message, error) bool) (uint64, bool, error) {
	timed, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	batch, err := jetstreamext.GetBatch(timed, l.conn.JetStream(), l.stream, rangePage,
		jetstreamext.GetBatchSubject(subject), jetstreamext.GetBatchSeq(after+1))
	if err != nil {
		return after, false, err
	}
	got, more := false, false
	for raw, err := range batch {
		if err != nil || !plainHeaders(raw.Header) || len(raw.Header[headerPending]) != 1 {
			return l.next(ctx, subject, after, yield)
		}
		got, after, more = true, raw.Sequence, raw.Header.Get(headerPending) != "0"
		m := Message{Subject: raw.Subject, Sequence: raw.Sequence, Header: raw.Header, Data: raw.Data, Time: raw.Time}
		strip(m.Header)
		if !yield(m, nil) {
			return after, false, nil
		}
	}
	if !got { // the iterator ends without a word at what looks like its end
		return l.next(ctx, subject, after, yield)
	}
	return after, more, nil
}

// next is page for one message, from the leader.
func (l *JetStreamLog) next(ctx context.Context, subject string, after uint64, yield func(Message, error) bool) (uint64, bool, error) {
	m, err := l.leader(ctx, subject, `{"seq":`+strconv.FormatUint(after+1, 10)+`,"next_by_subj":"`+subject+`"}`)
	if err != nil || m.Sequence == 0 {
		return after, false, err
	}
	return m.Sequence, yield(m, nil), nil
}
