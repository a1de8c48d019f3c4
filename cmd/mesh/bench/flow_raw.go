package bench

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ordermesh/ordermesh/bus"
)

// rawTrips stores by hand what a flow stores: its start, the first
// step, and the other steps with the end. Nobody reads it, nobody answers: it is the
// bound that the appends alone set.
type rawTrips struct {
	conn   *bus.Conn
	prefix string
	steps  int
	step   time.Duration
	n      atomic.Int64
}

const (
	rawHead = `{"v":1,"flow":"trip","id":"t1-00000","version":1,"start":100000,"hash":"0123456789abcdef","at":1764000000000,` +
		`"status":"running","writer":"W1OBKCCA0AMSDWVHC0UTQA.0000","n":1,"replies":["_INBOX_caller.flow.W1OBKCCA0AMSDWVHC0UTQA.0000"],"records":[`
	rawStep = `{"i":0,"kind":"step","name":"reserve","at":1764000000000,"tries":1,"out":{"order":"t1-00000","total":2}}`
	rawEnd  = `],"result":{"order":"t1-00000","total":4}}`
)

func (r *rawTrips) do(ctx context.Context, _ int) error {
	id := strconv.FormatInt(r.n.Add(1), 10)
	start := []byte(`{"order":"t1-` + id + `","total":1}`)
	first := []byte(rawHead + rawStep + `]}`)
	last := []byte(rawHead + rawStep + strings.Repeat(","+rawStep, r.steps-1) + rawEnd)
	if _, err := r.append(ctx, "in."+id, start, 0); err != nil {
		return err
	}
	if err := work(ctx, time.Duration(r.steps)*r.step); err != nil {
		return err
	}
	sequence, err := r.append(ctx, "log."+id, first, 0)
	if err != nil {
		return err
	}
	_, err = r.append(ctx, "log."+id, last, sequence)
	return err
}

func (r *rawTrips) append(ctx context.Context, subject string, data []byte, expect uint64) (uint64, error) {
	msg := &nats.Msg{Subject: r.prefix + subject, Data: data, Header: nats.Header{}}
	future, err := r.conn.JetStream().PublishMsgAsync(msg, jetstream.WithExpectLastSequencePerSubject(expect))
	if err != nil {
		return 0, err
	}
	select {
	case ack := <-future.Ok():
		return ack.Sequence, nil
	case err := <-future.Err():
		return 0, fmt.Errorf("raw append: %w", err)
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}
