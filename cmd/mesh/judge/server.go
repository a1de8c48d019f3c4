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
	last := uint64(0)
	for _, subject := range st.CachedInfo().Config.Subjects {
		sequence, err := lastMessage(ctx, s.js, stream, subject)
		if err != nil {
			return 0, true, err
		}
		last = max(last, sequence)
	}
	return last, true, nil
}

// lastMessage asks for the message itself: the stream's last sequence may belong to
// one that is gone. It asks for each of the stream's own subjects: when the last message
// is gone, the server finds none for ">".
func lastMessage(ctx context.Context, js jetstream.JetStream, stream, subject string) (uint64, error) {
	request, err := contract.Marshal(struct {
		Subject string `json:"last_by_subj"`
	}{subject})
	if err != nil {
		return 0, err
	}
	m, err := js.Conn().RequestWithContext(ctx, "$JS.API.STREAM.MSG.GET."+stream, request)
	if err != nil {
		return 0, err
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
func parseLast(data []byte) (sequence uint64, err error) {
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
		return 0, err
	}
	if answer.Error == nil {
		return answer.Message.Sequence, nil
	}
	if answer.Error.Code == 404 { // messages, but none that matches
		return 0, nil
	}
	return 0, fmt.Errorf("%s (%d)", answer.Error.Description, answer.Error.Code)
}
