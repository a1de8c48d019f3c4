package snapshot

import (
	"context"
	"fmt"
	"io"

	"github.com/nats-io/nats.go"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// incoming is the server's own copy of a stream while it comes, without consumers.
type incoming struct {
	*archiveReader
	config contract.Raw
	chunks *chunks
}

func (i *incoming) close() { _ = i.chunks.sub.Unsubscribe() } // or the connection is gone, and it with it

// receive asks the stream's leader for a copy of the stream as it is now.
func (s *source) receive(ctx context.Context, stream string) (*incoming, error) {
	sub, err := s.nc.SubscribeSync(s.nc.NewInbox())
	if err != nil {
		return nil, fmt.Errorf("receive a copy of %s: %w", stream, err)
	}
	in := &incoming{chunks: &chunks{ctx: ctx, sub: sub, stream: stream}}
	if err := in.begin(s, stream); err != nil {
		in.close()
		return nil, fmt.Errorf("receive a copy of %s: %w", stream, err)
	}
	return in, nil
}

func (i *incoming) begin(s *source, stream string) error {
	question := struct {
		Deliver     string `json:"deliver_subject"`
		NoConsumers bool   `json:"no_consumers"`
	}{i.chunks.sub.Subject, true}
	var answer streamInfo
	err := s.ask(i.chunks.ctx, "STREAM.SNAPSHOT."+stream, question, &answer)
	if err != nil {
		return err
	}
	i.config = answer.Config
	i.archiveReader, err = openArchive(i.chunks)
	return err
}

// chunks are the pieces of a copy as a reader, each asked for by answering the one
// before.
type chunks struct {
	ctx    context.Context //nolint:containedctx // of the call that reads; a Reader has no other way
	sub    *nats.Subscription
	stream string
	rest   []byte
	over   bool
}

// Read hands the next bytes on.
func (c *chunks) Read(p []byte) (int, error) {
	for len(c.rest) == 0 {
		if c.over {
			return 0, io.EOF
		}
		if err := c.more(); err != nil {
			return 0, err
		}
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

func (c *chunks) more() error {
	ctx, cancel := context.WithTimeout(c.ctx, stalled)
	defer cancel()
	msg, err := c.sub.NextMsgWithContext(ctx)
	if err != nil {
		return fmt.Errorf("the server stopped sending %s: %w", c.stream, err)
	}
	if len(msg.Data) == 0 {
		c.over = true
		if status := msg.Header.Get("Status"); status != "" && status != "204" {
			return fmt.Errorf("the server could not copy %s: %s", c.stream, msg.Header.Get("Description"))
		}
		return nil
	}
	c.rest = msg.Data
	if msg.Reply == "" {
		return nil
	}
	return msg.Respond(nil)
}
