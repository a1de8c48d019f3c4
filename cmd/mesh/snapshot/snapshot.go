// Package snapshot takes a copy of everything that a mesh keeps in JetStream and puts
// it back into an empty server: streams, buckets and object stores with the positions
// of their durable consumers. Sequences stay what they were, for entities and views
// remember them.
//
// It is not a copy of PostgreSQL or Redis, which hold nothing that the streams do not
// give: views stand still when they meet another history and are rebuilt.
//
// What it promises of a copy that is taken while the mesh works:
//
//   - It is the whole mesh at one moment, which its manifest names: a message is in it if
//     it was stored by then. So what an event, a journal or a book says was done is in it,
//     too, in whatever stream, as far as the clocks of the servers agree; how far they do
//     is in the manifest.
//   - Where messages went while they were read (a key that was written again, a journal
//     that began anew) what replaced them is in it instead, though it is a little younger.
//   - The positions of consumers are of just before that moment: some events are handled
//     again, which changes nothing. The consumers of flows begin anew, so that every flow
//     that was under way is woken and sets its timers again.
//   - What was acknowledged to a caller before the copy began is in it.
//   - The outside world is not: a payment provider or a carrier goes on with what it knows.
//     The mesh asks again under the same keys, and the reconciliation finds the rest.
//
// Every file has a hash, and every stream one over sequence, subject, headers and data
// of each message, so a file that is damaged, cut or missing is named, and a restored
// stream can be compared with its copy.
package snapshot

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// source is a server whose JetStream is asked in its own words: the answers hold what
// a client library would drop, such as settings that are newer than it.
type source struct{ nc *nats.Conn }

// How long a question may go unanswered while a cluster elects a leader, and how long
// each try and each piece of a copy may take.
const (
	patience = 30 * time.Second
	tryTime  = 5 * time.Second
	stalled  = 20 * time.Second
	between  = 100 * time.Millisecond
)

// apiError is the server's refusal.
type apiError struct {
	Code        int    `json:"code"`
	ErrCode     int    `json:"err_code"`
	Description string `json:"description"`
}

func (e *apiError) Error() string { return fmt.Sprintf("%s (%d)", e.Description, e.ErrCode) }

// Codes of refusals that mean something.
const (
	codeNoMessage = 10037
	codeOffline   = 503
)

// ask puts a question to $JS.API and decodes the answer; while the cluster has no
// leader for it, it asks again.
func (s *source) ask(ctx context.Context, subject string, question, answer any) error {
	body, err := contract.Marshal(question)
	if err != nil {
		return fmt.Errorf("ask %s: %w", subject, err)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := s.try(ctx, "$JS.API."+subject, body, answer)
		var refused *apiError
		again := errors.Is(err, nats.ErrNoResponders) || errors.Is(err, context.DeadlineExceeded) ||
			errors.As(err, &refused) && refused.Code == codeOffline
		if !again {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("ask $JS.API.%s: %w; may this user use it, and has the cluster a leader?", subject, err)
		case <-time.After(between):
		}
	}
}

func (s *source) try(ctx context.Context, subject string, body []byte, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, tryTime)
	defer cancel()
	msg, err := s.nc.RequestWithContext(ctx, subject, body)
	if err != nil {
		return err
	}
	var head struct {
		Error *apiError `json:"error"`
	}
	if err := contract.UnmarshalLenient(msg.Data, &head); err != nil {
		return fmt.Errorf("the answer to %s: %w", subject, err)
	}
	if head.Error != nil {
		return head.Error
	}
	if err := contract.UnmarshalLenient(msg.Data, answer); err != nil {
		return fmt.Errorf("the answer to %s: %w", subject, err)
	}
	return nil
}

// state is what a stream says of itself, in the form that a restore takes.
type state struct {
	Messages  uint64    `json:"messages"`
	Bytes     uint64    `json:"bytes"`
	FirstSeq  uint64    `json:"first_seq"`
	FirstTime time.Time `json:"first_ts"`
	LastSeq   uint64    `json:"last_seq"`
	LastTime  time.Time `json:"last_ts"`
	Consumers int       `json:"consumer_count"`
}

type streamInfo struct {
	Config contract.Raw `json:"config"`
	State  state        `json:"state"`
	Now    time.Time    `json:"ts"` // by the clock of the stream's leader
}

type page struct {
	Offset int `json:"offset"`
}

// streams returns the name of every stream.
func (s *source) streams(ctx context.Context) ([]string, error) {
	var all []string
	for {
		var answer struct {
			Total   int      `json:"total"`
			Streams []string `json:"streams"`
		}
		if err := s.ask(ctx, "STREAM.NAMES", page{len(all)}, &answer); err != nil {
			return nil, fmt.Errorf("list the streams: %w", err)
		}
		all = append(all, answer.Streams...)
		if len(answer.Streams) == 0 || len(all) >= answer.Total {
			return all, nil
		}
	}
}

func (s *source) info(ctx context.Context, stream string) (streamInfo, error) {
	var answer streamInfo
	err := s.ask(ctx, "STREAM.INFO."+stream, struct{}{}, &answer)
	if err != nil {
		err = fmt.Errorf("look at stream %s: %w", stream, err)
	}
	return answer, err
}

// next returns the first message at seq or behind it, as the stream's leader has it;
// none when there is no such message.
func (s *source) next(ctx context.Context, stream string, seq uint64) (*message, error) {
	var answer struct {
		Message struct {
			Subject string    `json:"subject"`
			Seq     uint64    `json:"seq"`
			Data    []byte    `json:"data"`
			Headers []byte    `json:"hdrs"`
			Time    time.Time `json:"time"`
		} `json:"message"`
	}
	question := struct {
		Seq  uint64 `json:"seq"`
		Next string `json:"next_by_subj"`
	}{seq, ">"}
	err := s.ask(ctx, "STREAM.MSG.GET."+stream, question, &answer)
	var refused *apiError
	if errors.As(err, &refused) && refused.ErrCode == codeNoMessage {
		return nil, nil //nolint:nilnil // none is an answer
	}
	if err != nil {
		return nil, fmt.Errorf("read message %d of %s: %w", seq, stream, err)
	}
	m := answer.Message
	return &message{subject: m.Subject, seq: m.Seq, time: m.Time.UnixNano(), header: m.Headers, data: m.Data}, nil
}

// position is how far a consumer has come.
type position struct {
	Consumer uint64 `json:"consumer_seq"`
	Stream   uint64 `json:"stream_seq"`
}

// consumer is a durable consumer in the form that a copy of a stream holds.
type consumer struct {
	Name   string       `json:"-"`
	Config contract.Raw `json:"config"`
	State  struct {
		Delivered position `json:"delivered"`
		AckFloor  position `json:"ack_floor"`
	} `json:"state"`
}

// consumers returns the durable consumers of a stream; those that come and go with a
// process belong to it and not to the mesh. Of what lies above the acknowledgement
// floor everything is delivered again: a cluster does not say what of it is done. replicas
// are the stream's.
func (s *source) consumers(ctx context.Context, stream string, replicas int) ([]consumer, error) {
	var all []consumer
	for seen := 0; ; {
		var answer struct {
			Total     int `json:"total"`
			Consumers []struct {
				Name     string       `json:"name"`
				Config   contract.Raw `json:"config"`
				AckFloor position     `json:"ack_floor"`
			} `json:"consumers"`
		}
		if err := s.ask(ctx, "CONSUMER.LIST."+stream, page{seen}, &answer); err != nil {
			return nil, fmt.Errorf("list the consumers of %s: %w", stream, err)
		}
		for _, info := range answer.Consumers {
			var config struct {
				Durable  string `json:"durable_name"`
				Replicas int    `json:"num_replicas"`
			}
			err := contract.UnmarshalLenient(info.Config, &config)
			if err != nil {
				return nil, fmt.Errorf("consumer %s of %s: %w", info.Name, stream, err)
			}
			if config.Durable == "" {
				continue
			}
			c := consumer{Name: info.Name, Config: info.Config}
			if config.Replicas == replicas { // as many as the stream, however many that will be
				if c.Config, err = withReplicas(info.Config, 0); err != nil {
					return nil, fmt.Errorf("consumer %s of %s: %w", info.Name, stream, err)
				}
			}
			c.State.Delivered, c.State.AckFloor = info.AckFloor, info.AckFloor
			all = append(all, c)
		}
		seen += len(answer.Consumers)
		if len(answer.Consumers) == 0 || seen >= answer.Total {
			return all, nil
		}
	}
}

// withReplicas is a configuration with another number of copies.
func withReplicas(config contract.Raw, replicas int) (contract.Raw, error) {
	var members map[string]contract.Raw
	if err := contract.UnmarshalLenient(config, &members); err != nil {
		return nil, err
	}
	members["num_replicas"] = contract.Raw(strconv.Itoa(replicas))
	return contract.Marshal(members)
}
