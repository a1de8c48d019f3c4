package flow

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/contract"
)

// What is left of a flow that has ended: for a while its whole journal, then a result
// record in the place of the journal and a gravestone in the place of its inputs, and at
// last nothing. The record says enough to answer a second start; the gravestone keeps
// the inbox from looking like one that was never used, and outlives the record.
const (
	defaultKeep   = 7 * 24 * time.Hour
	defaultResult = 30 * 24 * time.Hour

	// outlives is how much longer than the result record the gravestone stays. One that
	// is older than freshGrave is renewed before the record is written.
	outlives   = time.Hour
	freshGrave = 10 * time.Minute

	// smallResult is the largest result that the record itself has.
	smallResult = 4 << 10
)

// Headers that have the server remove what came before on the subject, and the message
// itself after a time.
const (
	headerRollup = "Nats-Rollup"
	headerTTL    = "Nats-TTL"
	rollupSub    = "sub"
)

// retention is how long what stays, by the options of the worker.
type retention struct {
	keep   time.Duration // the journal, after the end
	result time.Duration // the result record, after that
	orphan time.Duration // a large value that nothing refers to
}

func defaultRetention() retention {
	return retention{keep: defaultKeep, result: defaultResult, orphan: time.Hour}
}

// WithKeep sets how long the journal of a flow is kept after its end, for people who
// look at it; the default is seven days. What is left then is a result record, see
// [WithKeepResult]. Flows that run, wait or are stuck are never touched.
func WithKeep(d time.Duration) Option {
	return func(o *workerOptions) error {
		if d <= 0 {
			return fmt.Errorf("flow: journals are to be kept for %v: it must be longer than nothing", d)
		}
		o.retention.keep = d
		return nil
	}
}

// WithKeepResult sets how long the result of a flow is remembered after its journal has
// gone; the default is thirty days. As long as it is, starting the id again finds that
// result; afterwards it starts the flow anew.
func WithKeepResult(d time.Duration) Option {
	return func(o *workerOptions) error {
		if d < time.Second {
			return fmt.Errorf("flow: results are to be kept for %v: it must be a second or longer", d)
		}
		o.retention.result = d
		return nil
	}
}

// errBusy reports that an instance cannot be condensed now: somebody has still to hear
// of its end, or writes to it.
var errBusy = errors.New("not now")

// condense replaces what an instance that has ended left behind: first its inputs by a
// gravestone, then its journal by a result record. Both are compare-and-append, so that
// nothing is removed that was not looked at, and after a crash in between the journal is
// still there and is condensed again.
func (e *engine) condense(ctx context.Context, p page, last Stored, r retention) error {
	if err := e.bury(ctx, p, r); err != nil {
		return err
	}
	record, err := e.resultRecord(ctx, p, last.Time)
	if err != nil {
		return err
	}
	return e.send(ctx, &nats.Msg{Subject: last.Subject, Data: record, Header: nats.Header{
		headerRollup: {rollupSub}, headerTTL: {seconds(r.result)},
	}}, last.Sequence)
}

// resultRecord is the journal of an instance without its story.
func (e *engine) resultRecord(ctx context.Context, p page, ended time.Time) ([]byte, error) {
	record := page{
		V: pageVersion, Status: p.Status, Writer: "retention", N: 1,
		Result: p.Result, Ref: p.Ref, Error: p.Error, Reason: p.Reason, Ended: ended.UnixMilli(),
	}
	record.origin = origin{Flow: p.Flow, ID: p.ID, Version: p.Version, Start: p.Start, Hash: p.Hash, At: p.At, Gen: p.Gen}
	if len(record.Result) > smallResult {
		record.Ref = payloadName(e.service, p.Flow, p.ID, record.Result)
		if err := e.payloads.PutPayload(ctx, record.Ref, record.Result); err != nil {
			return nil, err
		}
		record.Result = nil
	}
	return contract.Marshal(record)
}

// bury replaces the inputs of an instance by a gravestone.
func (e *engine) bury(ctx context.Context, p page, r retention) error {
	inbox := e.inbox(p.Flow, p.ID)
	last, err := e.log.Last(ctx, inbox)
	if err != nil {
		return err
	}
	if headerOf(last.Header, headerKind) == string(inputGone) && time.Since(last.Time) < freshGrave {
		return nil
	}
	if len(parentsOf(p.Replies)) > 0 && !e.heard(ctx, p, last.Sequence) {
		return errBusy
	}
	return e.send(ctx, &nats.Msg{Subject: inbox, Header: nats.Header{
		headerKind: {string(inputGone)}, headerRollup: {rollupSub}, headerTTL: {seconds(r.result + outlives)},
	}}, last.Sequence)
}

// heard reports whether the parent of an instance was told of its end: its start is
// acknowledged only then.
func (e *engine) heard(ctx context.Context, p page, sequence uint64) bool {
	return e.acknowledged == nil || e.acknowledged(ctx, partitionOf(p.Flow, p.ID, e.partitions), sequence)
}

// acknowledged asks whether every input of a partition up to a sequence was.
func (s *session) acknowledged(ctx context.Context, p int, sequence uint64) bool {
	consumer, err := s.w.conn.JetStream().Consumer(ctx, contract.FlowStream, s.w.consumer(p).Name)
	if err != nil {
		return false
	}
	info := consumer.CachedInfo()
	return info.AckFloor.Stream >= sequence || (info.NumAckPending == 0 && info.NumPending == 0)
}

// seconds writes a time to live.
func seconds(d time.Duration) string {
	return strconv.FormatInt(int64(max(d, time.Second)/time.Second), 10) + "s"
}

// condensed reports whether the page is a result record.
func (p *page) condensed() bool { return p.Ended > 0 }

// joined deals with a start whose inbox is not empty by what the journal says; done is
// false when there is no journal.
func (c *Client) joined(ctx context.Context, name, id, hash, reply string) (done bool, err error) {
	last, err := c.log.Last(ctx, contract.FlowLog(c.service, name, id))
	if err != nil {
		return false, unavailable(err)
	}
	if last.Sequence == 0 {
		return false, nil
	}
	p, err := decodePage(last.Data)
	switch {
	case err != nil:
		return false, fmt.Errorf("the flow %s %s: %w", name, id, err)
	case p.Hash != hash:
		return true, ErrOtherInput
	case reply == "":
		return true, nil
	case p.Status.Ended():
		// Not asked of a worker: the inbox stays as it is.
		c.answered(&nats.Msg{Subject: reply, Data: encodeOutcome(ending{
			Status: p.Status, Result: p.Result, Ref: p.Ref, Error: p.Error, Reason: p.Reason,
		})})
		return true, nil
	}
	return true, c.send(ctx, inputAttach, name, id, reply, nil)
}

// surelyPending is up to which age a start without a journal has not begun. An older
// one may be left of an instance that was forgotten since.
const surelyPending = time.Hour

// isConflict reports that the subject has moved on.
func isConflict(err error) bool { return errors.Is(err, bus.ErrConflict) }

// needs reports whether a journal may refer to a large value.
func (p *page) needs(ref string) bool { return !p.condensed() || p.Ref == ref }
