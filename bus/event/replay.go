package event

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

// replayTimeout bounds a replay whose caller set no deadline.
const replayTimeout = 30 * time.Second

var (
	errNotRunning = contract.ErrUnavailable.Sayf("no process runs this consumer now")
	errLater      = contract.ErrUnavailable.Sayf("the consumer says that it is too early")
	errHeld       = contract.ErrUnavailable.Sayf("the consumer is handling this message already")
)

// replayInbox is where a consumer takes dead letters back: inside its service's own
// inbox, so that nobody but an operator and the service itself may write there.
func replayInbox(service, stream, consumer string) string {
	return contract.InboxPrefix(service) + ".replay." + stream + "." + consumer
}

// serveReplays takes dead letters back until the returned function is called.
func (c *core) serveReplays() (stop func()) {
	sub, err := c.conn.NATS().QueueSubscribe(replayInbox(c.conn.Service(), c.info.Stream, c.durable), c.durable, c.replay)
	if err != nil {
		c.log.Warn("dead letters cannot be replayed", telemetry.KeyError, err.Error())
		return func() {}
	}
	return func() { _ = sub.Unsubscribe() }
}

// replay runs on the subscription's goroutine.
func (c *core) replay(m *nats.Msg) {
	answer := func(err error) { respondReplay(c, m, err) }
	sequence, err := strconv.ParseUint(m.Header.Get(headerSequence), 10, 63)
	index, err2 := strconv.ParseUint(m.Header.Get(headerEvent), 10, 31)
	if err := errors.Join(err, err2); err != nil {
		answer(contract.ErrInvalid.Sayf("not a dead letter: %v", err))
		return
	}
	original := &nats.Msg{Subject: m.Header.Get(headerSubject), Header: keptHeaders(m.Header), Data: m.Data}
	d := &delivery{
		msg: original, sequence: sequence, attempt: 1, next: int(index),
		only:   m.Header.Get(headerEventID) != "",
		answer: func(v verdict) { answer(outcomeError(v)) },
	}
	if c.lanes != nil {
		d.place(c.info)
	}
	c.mu.Lock()
	busy, stopping := c.held[sequence] != nil, c.draining.Load()
	var runnable *delivery
	if !busy && !stopping {
		runnable = c.take(d)
	}
	c.mu.Unlock()
	switch {
	case stopping:
		answer(errStopping)
	case busy:
		answer(errHeld)
	case runnable != nil:
		c.work <- runnable
	}
}

func outcomeError(v verdict) error {
	switch v.kind {
	case kindDone:
		return nil
	case kindLater:
		return errLater
	case kindRetry, kindReject:
	}
	return v.err
}

// respondReplay sends the outcome as any error crosses the wire: code and reason of a
// contract error; the text of others, because the caller is an operator.
func respondReplay(c *core, m *nats.Msg, err error) {
	reply := &nats.Msg{Subject: m.Reply, Header: nats.Header{}}
	if err != nil {
		e := contract.AsError(err)
		if e.Reason == contract.ErrInternal.Reason {
			e = contract.ErrInternal.Sayf("%s", oneLine(err.Error()))
		}
		reply.Header[contract.HeaderErrorCode] = []string{strconv.Itoa(int(e.Code))}
		reply.Header[contract.HeaderError] = []string{oneLine(e.Message)}
		reply.Data = contract.EncodeError(e)
	}
	if err := c.conn.NATS().PublishMsg(reply); err != nil {
		c.log.Warn("cannot answer a replay", telemetry.KeyError, err.Error())
	}
}

// ask sends a letter to its consumer and waits for the outcome.
func (l *DeadLetters) ask(ctx context.Context, letter DeadLetter) error {
	if !contract.ValidID(letter.Service) || !contract.ValidID(letter.Stream) || !contract.ValidID(letter.Consumer) {
		return contract.ErrInvalid.Sayf("the letter does not say whose it is")
	}
	ctx, cancel := context.WithTimeout(ctx, replayTimeout)
	defer cancel()
	header := keptHeaders(letter.Header)
	for key, value := range map[string]string{
		headerSubject: letter.Subject, headerSequence: strconv.FormatUint(letter.Sequence, 10), headerEvent: strconv.Itoa(letter.Index), headerEventID: letter.EventID,
	} {
		header[key] = []string{value}
	}
	reply, err := l.conn.NATS().RequestMsgWithContext(ctx, &nats.Msg{
		Subject: replayInbox(letter.Service, letter.Stream, letter.Consumer), Header: header, Data: letter.Body,
	})
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return errNotRunning
	case err != nil:
		return fmt.Errorf("no outcome: %w", err)
	case reply.Header.Get(contract.HeaderErrorCode) != "":
		return contract.DecodeError(reply.Data, reply.Header.Get(contract.HeaderError))
	}
	return nil
}
