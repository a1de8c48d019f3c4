package flow

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/contract"
)

// Log is where journals are kept: a stream of a JetStream server, or memory in
// flowtest. Both run the same engine.
type Log interface {
	// Append stores msg if the last message of its subject has the sequence expect (0
	// for none). done is called exactly once, possibly before Append returns, and must
	// not block. Errors wrap bus.ErrConflict (the subject moved on), bus.ErrUnknown (it
	// may be stored) or bus.ErrNoStream (it is not). The message may be used again
	// once done was called.
	Append(msg *nats.Msg, expect uint64, done func(sequence uint64, err error))
	// Last returns the last message of a literal subject as its leader knows it; a
	// subject without messages gives a zero Stored and no error.
	Last(ctx context.Context, subject string) (Stored, error)
	// At returns the message with this sequence.
	At(ctx context.Context, sequence uint64) (Stored, error)
	// Next returns the subject's first message from a sequence on, or a zero Stored.
	Next(ctx context.Context, subject string, from uint64) (Stored, error)
}

// Stored is a message of a [Log].
type Stored struct {
	Subject  string
	Sequence uint64
	Header   nats.Header
	Data     []byte
	Time     time.Time
}

// readTimeout bounds one read of a log.
const readTimeout = 3 * time.Second

// streamLog is the FLOW stream.
type streamLog struct{ conn *bus.Conn }

// Append pipelines through the connection's appender.
func (l streamLog) Append(msg *nats.Msg, expect uint64, done func(uint64, error)) {
	err := l.conn.Appender().Start(msg, expect, func(a bus.Ack, err error) { done(a.Sequence, err) })
	if err != nil {
		done(0, err)
	}
}

// Last asks the stream's leader: another replica may not have the message yet.
func (l streamLog) Last(ctx context.Context, subject string) (Stored, error) {
	return l.get(ctx, getRequest{LastBySubject: subject})
}

// At asks the stream's leader.
func (l streamLog) At(ctx context.Context, sequence uint64) (Stored, error) {
	s, err := l.get(ctx, getRequest{Sequence: sequence})
	if err == nil && s.Sequence == 0 {
		return s, fmt.Errorf("message %d of the stream %s: %w", sequence, contract.FlowStream, errNoMessage)
	}
	return s, err
}

// Next asks the stream's leader.
func (l streamLog) Next(ctx context.Context, subject string, from uint64) (Stored, error) {
	return l.get(ctx, getRequest{Sequence: from, NextBySubject: subject})
}

type getRequest struct {
	Sequence      uint64 `json:"seq,omitzero"`
	LastBySubject string `json:"last_by_subj,omitzero"`
	NextBySubject string `json:"next_by_subj,omitzero"`
}

type getResponse struct {
	Message *struct {
		Subject  string    `json:"subject"`
		Sequence uint64    `json:"seq"`
		Header   []byte    `json:"hdrs"`
		Data     []byte    `json:"data"`
		Time     time.Time `json:"time"`
	} `json:"message"`
	Error *struct {
		Code        int    `json:"code"`
		ErrCode     int    `json:"err_code"`
		Description string `json:"description"`
	} `json:"error"`
}

func (l streamLog) get(ctx context.Context, req getRequest) (Stored, error) {
	return leaderGet(ctx, l.conn, contract.FlowStream, req)
}

// leaderGet asks the leader of a stream for a message; it is zero when there is none.
func leaderGet(ctx context.Context, conn *bus.Conn, stream string, req getRequest) (Stored, error) {
	body, err := contract.Marshal(req)
	if err != nil {
		return Stored{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	answer, err := conn.Request(ctx, "$JS.API.STREAM.MSG.GET."+stream, body)
	if errors.Is(err, nats.ErrNoResponders) {
		return Stored{}, fmt.Errorf("read the stream %s: %w", stream, bus.ErrNoStream)
	}
	if err != nil {
		return Stored{}, fmt.Errorf("read the stream %s: %w", stream, err)
	}
	return readStored(stream, answer.Data)
}

func readStored(stream string, data []byte) (Stored, error) {
	var r getResponse
	if err := contract.UnmarshalLenient(data, &r); err != nil {
		return Stored{}, fmt.Errorf("read the stream %s: %w", stream, err)
	}
	if r.Error != nil {
		if r.Error.Code == 404 {
			return Stored{}, nil
		}
		return Stored{}, fmt.Errorf("read the stream %s: %s (%d)", stream, r.Error.Description, r.Error.ErrCode)
	}
	if r.Message == nil {
		return Stored{}, fmt.Errorf("read the stream %s: empty answer", stream)
	}
	s := Stored{Subject: r.Message.Subject, Sequence: r.Message.Sequence, Data: r.Message.Data, Time: r.Message.Time}
	if len(r.Message.Header) == 0 {
		return s, nil
	}
	h, err := nats.DecodeHeadersMsg(r.Message.Header)
	if err != nil {
		return Stored{}, fmt.Errorf("read the stream %s: %w", stream, err)
	}
	s.Header = h
	return s, nil
}
