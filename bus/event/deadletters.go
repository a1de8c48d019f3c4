package event

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/contract"
)

// ErrNoDeadLetter reports an id under which there is no dead letter (any more).
var ErrNoDeadLetter = contract.NewError(contract.NotFound, "no_dead_letter", "there is no dead letter with this id")

// DeadLetter is an event that a consumer gave up.
type DeadLetter struct {
	ID       uint64    // sequence in stream DLQ; what Show, Replay and Drop take
	At       time.Time // when it was given up
	Stream   string    // where the event is
	Consumer string    // who gave it up
	Service  string    // whose consumer it is
	Subject  string    // the original's
	Sequence uint64    // the original's
	Time     time.Time // when the original was stored
	Index    int       // of the event in its commit
	EventID  string    // "" when the commit could not be read
	Type     string
	Cause    string // one of the Cause constants
	Reason   string // the last error, for people
	Failures int    // how often a handler failed
	Attempts int    // how often the server delivered it
	Header   nats.Header
	Body     []byte
}

// DeadLetters is the operator's view of stream DLQ: look, try again, throw away.
type DeadLetters struct{ conn *bus.Conn }

// NewDeadLetters needs a user that may read and delete messages of stream DLQ and,
// for Replay, publish to the inboxes of services.
func NewDeadLetters(conn *bus.Conn) *DeadLetters { return &DeadLetters{conn} }

// DeadFilter selects dead letters; zero values select all.
type DeadFilter struct {
	Stream, Consumer string
	After            uint64 // continue after this id
	Limit            int    // 0 is 100
}

// List returns dead letters in the order in which they were given up. Another page
// follows when as many as the limit came back: continue after the last id.
func (l *DeadLetters) List(ctx context.Context, f DeadFilter) ([]DeadLetter, error) {
	for field, token := range map[string]string{"/stream": f.Stream, "/consumer": f.Consumer} {
		if token != "" && !contract.ValidID(token) {
			return nil, contract.ErrInvalid.At(field).Sayf("%q is not a name", token)
		}
	}
	if f.Limit <= 0 {
		f.Limit = 100
	}
	stream, err := l.stream(ctx)
	if err != nil {
		return nil, err
	}
	subject := contract.DeadLetter(orAny(f.Stream), orAny(f.Consumer))
	var list []DeadLetter
	for seq := f.After + 1; len(list) < f.Limit; {
		m, err := stream.GetMsg(ctx, seq, jetstream.WithGetMsgSubject(subject))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("list dead letters: %w", err)
		}
		list = append(list, parseDeadLetter(m))
		seq = m.Sequence + 1
	}
	return list, nil
}

// Show returns one dead letter with its body, or ErrNoDeadLetter.
func (l *DeadLetters) Show(ctx context.Context, id uint64) (DeadLetter, error) {
	stream, err := l.stream(ctx)
	if err != nil {
		return DeadLetter{}, err
	}
	m, err := stream.GetMsg(ctx, id)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return DeadLetter{}, ErrNoDeadLetter
	}
	if err != nil {
		return DeadLetter{}, fmt.Errorf("read dead letter %d: %w", id, err)
	}
	return parseDeadLetter(m), nil
}

// Replay hands the event to its consumer once more, waits for the outcome, and drops
// the letter when the event was handled. The consumer must be running. The event
// comes outside of any order. Any other outcome is the error, and the letter stays.
func (l *DeadLetters) Replay(ctx context.Context, id uint64) error {
	letter, err := l.Show(ctx, id)
	if err != nil {
		return err
	}
	if err := l.ask(ctx, letter); err != nil {
		return fmt.Errorf("replay dead letter %d at %s: %w", id, letter.Consumer, err)
	}
	return l.Drop(ctx, id)
}

// Drop removes a dead letter for good. A letter that is gone already is no error.
func (l *DeadLetters) Drop(ctx context.Context, id uint64) error {
	stream, err := l.stream(ctx)
	if err != nil {
		return err
	}
	if err = stream.DeleteMsg(ctx, id); err == nil {
		return nil
	}
	if _, gone := stream.GetMsg(ctx, id); errors.Is(gone, jetstream.ErrMsgNotFound) {
		return nil
	}
	return fmt.Errorf("drop dead letter %d: %w", id, err)
}

func (l *DeadLetters) stream(ctx context.Context) (jetstream.Stream, error) {
	s, err := l.conn.JetStream().Stream(ctx, contract.DLQStream)
	if err != nil {
		return nil, fmt.Errorf("open stream %s: %w", contract.DLQStream, err)
	}
	return s, nil
}

func orAny(token string) string {
	if token == "" {
		return "*"
	}
	return token
}

func parseDeadLetter(m *jetstream.RawStreamMsg) DeadLetter {
	h := m.Header
	number := func(key string) uint64 {
		n, _ := strconv.ParseUint(h.Get(key), 10, 63)
		return n
	}
	stored, _ := time.Parse(time.RFC3339Nano, h.Get(headerTime))
	return DeadLetter{
		ID: m.Sequence, At: m.Time, Header: h, Body: m.Data,
		Stream: h.Get(headerStream), Consumer: h.Get(headerConsumer), Service: h.Get(headerService),
		Subject: h.Get(headerSubject), Sequence: number(headerSequence), Time: stored,
		Index: int(number(headerEvent)), EventID: h.Get(headerEventID), Type: h.Get(headerType), //nolint:gosec // 63 bits
		Cause: h.Get(headerCause), Reason: h.Get(headerReason),
		Failures: int(number(headerFailures)), Attempts: int(number(headerAttempts)), //nolint:gosec // 63 bits
	}
}
