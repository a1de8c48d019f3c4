package judge

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ordermesh/ordermesh/bus/contract"
)

const (
	lookTimeout = 10 * time.Second
	batch       = 4096 // messages on their way at once
	silence     = 30 * time.Second
)

// server reads the streams of a NATS server.
type server struct{ js jetstream.JetStream }

func newServer(nc *nats.Conn) (*server, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, fmt.Errorf("use JetStream: %w", err)
	}
	return &server{js}, nil
}

// last asks the stream's leader: another replica may be behind.
func (s *server) last(ctx context.Context, stream string) (uint64, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	st, err := s.js.Stream(ctx, stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	if st.CachedInfo().State.Msgs == 0 {
		return 0, true, nil
	}
	return lastMessage(ctx, s.js, stream)
}

// lastMessage asks for the message itself: the stream's last sequence may belong to
// one that is gone.
func lastMessage(ctx context.Context, js jetstream.JetStream, stream string) (uint64, bool, error) {
	m, err := js.Conn().RequestWithContext(ctx, "$JS.API.STREAM.MSG.GET."+stream, []byte(`{"last_by_subj":">"}`))
	if err != nil {
		return 0, true, err
	}
	return parseLast(m.Data)
}

// each reads with one ordered consumer, many messages at a time.
func (s *server) each(ctx context.Context, stream string, upTo uint64, hear func(message)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	consumer, err := s.js.OrderedConsumer(ctx, stream, jetstream.OrderedConsumerConfig{})
	if err != nil {
		return err
	}
	messages, err := consumer.Messages(jetstream.PullMaxMessages(batch), jetstream.PullExpiry(5*time.Second), jetstream.PullHeartbeat(time.Second))
	if err != nil {
		return err
	}
	defer messages.Stop()
	for {
		m, err := messages.Next(jetstream.NextMaxWait(silence))
		if err != nil {
			return err
		}
		meta, err := m.Metadata()
		if err != nil {
			return err
		}
		seq := meta.Sequence.Stream
		if seq <= upTo {
			hear(message{Stream: stream, Subject: m.Subject(), Sequence: seq, Header: m.Headers(), Data: m.Data()})
		}
		if seq >= upTo {
			return ctx.Err()
		}
	}
}

// parseLast reads the server's answer to "the last message of a subject".
func parseLast(data []byte) (sequence uint64, exists bool, err error) {
	var answer struct {
		Message struct {
			Sequence uint64 `json:"seq"`
		} `json:"message"`
		Error *struct {
			Code        int    `json:"code"`
			Description string `json:"description"`
		} `json:"error"`
	}
	if err := contract.UnmarshalLenient(data, &answer); err != nil {
		return 0, true, err
	}
	if answer.Error == nil {
		return answer.Message.Sequence, true, nil
	}
	if answer.Error.Code == 404 { // messages, but none that matches
		return 0, true, nil
	}
	return 0, true, fmt.Errorf("%s (%d)", answer.Error.Description, answer.Error.Code)
}
