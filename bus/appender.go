package bus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/failpoint"
)

// NoExpectation appends whatever the subject's last sequence is.
const NoExpectation uint64 = math.MaxUint64

// How an append can end other than well.
var (
	// ErrConflict: the subject's last message is not the expected one. Nothing of
	// this try was stored, but an earlier try of the same append may have been.
	ErrConflict = errors.New("the subject has moved on")
	// ErrUnknown: no answer came. Whether the message is stored is unknown.
	ErrUnknown = errors.New("no acknowledgement; the append may be stored")
	// ErrNoStream: nobody stores this subject now. Nothing was stored.
	ErrNoStream = errors.New("no stream stores this subject, or it has no leader now")
)

const (
	headerExpectSubject = "Nats-Expected-Last-Subject-Sequence"

	codeWrongSequence         = 10071 // the expectation does not hold
	codeWrongSequenceConstant = 10164 // R3: another write to the subject is on its way

	ackTimeout = 5 * time.Second
	sweepEvery = 250 * time.Millisecond
	shards     = 32
)

// APIError is a refusal by the server that is neither a conflict nor a missing
// stream, such as a full stream (10077). Nothing was stored.
type APIError struct {
	Code        int    // HTTP-like status
	ErrCode     int    // JetStream error code
	Description string // the server's words
}

// Error gives the server's description with its number.
func (e *APIError) Error() string {
	return fmt.Sprintf("the stream refused the append: %s (%d)", e.Description, e.ErrCode)
}

// Ack is the server's acknowledgement that a message is stored. It does not mean
// that the disk was synced, unless the server runs with sync_interval: always.
type Ack struct {
	Stream    string
	Sequence  uint64
	Duplicate bool // an earlier try with the same Nats-Msg-Id is stored at Sequence
}

// Appender publishes to streams and matches acknowledgements to publishers over
// one subscription, so that thousands of appends can be on their way at once for
// the price of one inbox. It keeps no order between appends; a caller has at most
// one conditional append in flight per subject.
type Appender struct {
	conn    *Conn
	prefix  string
	sub     *nats.Subscription
	next    atomic.Uint64
	shards  [shards]shard
	stop    chan struct{}
	stopped sync.WaitGroup
	once    sync.Once
	unwatch func()
}

type shard struct {
	mu      sync.Mutex
	waiting map[uint64]*flight
}

type flight struct {
	subject string
	expires time.Time
	done    func(Ack, error)
}

func newAppender(c *Conn) (*Appender, error) {
	a := &Appender{conn: c, prefix: c.nc.NewInbox() + ".", stop: make(chan struct{})}
	for i := range a.shards {
		a.shards[i].waiting = map[uint64]*flight{}
	}
	sub, err := c.nc.Subscribe(a.prefix+"*", a.acknowledged)
	if err != nil {
		return nil, fmt.Errorf("subscribe to acknowledgements: %w", err)
	}
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		return nil, fmt.Errorf("subscribe to acknowledgements: %w", err)
	}
	a.sub = sub
	a.unwatch = c.WatchDenied(a.denied)
	a.stopped.Go(a.sweep)
	return a, nil
}

// Append publishes msg to its literal subject and waits for the acknowledgement.
// expect is the stream sequence of the subject's last message, 0 for "none yet", or
// NoExpectation. msg.Reply and the expectation header are overwritten. When ctx
// ends first the error wraps ErrUnknown and ctx's error.
func (a *Appender) Append(ctx context.Context, msg *nats.Msg, expect uint64) (Ack, error) {
	type result struct {
		ack Ack
		err error
	}
	ch := make(chan result, 1)
	token, err := a.start(msg, expect, func(ack Ack, err error) { ch <- result{ack, err} })
	if err != nil {
		return Ack{}, err
	}
	select {
	case r := <-ch:
		return r.ack, r.err
	case <-ctx.Done():
		if a.take(token) != nil {
			return Ack{}, fmt.Errorf("%w: %w", ErrUnknown, ctx.Err())
		}
		r := <-ch
		return r.ack, r.err
	}
}

// Start publishes msg and returns; done is called exactly once with the outcome, on
// the goroutine that reads acknowledgements or looks after time-outs: it must not
// block, and it may call Start. When Start itself returns an error nothing was sent
// and done is never called.
func (a *Appender) Start(msg *nats.Msg, expect uint64, done func(Ack, error)) error {
	_, err := a.start(msg, expect, done)
	return err
}

func (a *Appender) start(msg *nats.Msg, expect uint64, done func(Ack, error)) (uint64, error) {
	if expect != NoExpectation && !failpoint.NoCAS {
		if msg.Header == nil {
			msg.Header = nats.Header{}
		}
		msg.Header[headerExpectSubject] = []string{strconv.FormatUint(expect, 10)}
	} else {
		delete(msg.Header, headerExpectSubject) // of an earlier try
	}
	token := a.next.Add(1)
	msg.Reply = a.prefix + strconv.FormatUint(token, 36)
	s := &a.shards[token%shards]
	f := &flight{subject: msg.Subject, expires: time.Now().Add(ackTimeout), done: done}
	s.mu.Lock()
	s.waiting[token] = f
	s.mu.Unlock()
	if err := a.conn.nc.PublishMsg(msg); err != nil {
		if a.take(token) == nil {
			return token, nil // already answered, by close or a lost connection
		}
		if errors.Is(err, nats.ErrReconnectBufExceeded) || errors.Is(err, nats.ErrConnectionReconnecting) {
			err = fmt.Errorf("%w: no connection", ErrNoStream)
		}
		return token, fmt.Errorf("append to %s: %w", msg.Subject, err)
	}
	return token, nil
}

// take removes a flight; whoever gets it calls done.
func (a *Appender) take(token uint64) *flight {
	s := &a.shards[token%shards]
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.waiting[token]
	delete(s.waiting, token)
	return f
}

func (a *Appender) acknowledged(m *nats.Msg) {
	token, err := strconv.ParseUint(m.Subject[len(a.prefix):], 36, 64)
	if err != nil {
		return
	}
	f := a.take(token)
	if f == nil {
		return
	}
	f.done(parseAck(f.subject, m))
}

// plainAck reads the form that nearly every acknowledgement has,
// {"stream":"ORDERS","seq":12}, without a JSON decoder; false for any other form.
func plainAck(data []byte) (Ack, bool) {
	rest, ok := bytes.CutPrefix(data, []byte(`{"stream":"`))
	if !ok {
		return Ack{}, false
	}
	stream, rest, ok := bytes.Cut(rest, []byte(`"`))
	if !ok || bytes.IndexByte(stream, '\\') >= 0 {
		return Ack{}, false
	}
	rest, ok = bytes.CutPrefix(rest, []byte(`, "seq":`))
	if !ok {
		if rest, ok = bytes.CutPrefix(rest, []byte(`,"seq":`)); !ok {
			return Ack{}, false
		}
	}
	digits, ok := bytes.CutSuffix(rest, []byte(`}`))
	if !ok || len(digits) == 0 || len(digits) > 19 {
		return Ack{}, false
	}
	var seq uint64
	for _, d := range digits {
		if d < '0' || d > '9' {
			return Ack{}, false
		}
		seq = seq*10 + uint64(d-'0')
	}
	return Ack{Stream: string(stream), Sequence: seq}, seq > 0
}

type wireAck struct {
	Stream    string `json:"stream"`
	Seq       uint64 `json:"seq"`
	Duplicate bool   `json:"duplicate"`
	Error     *struct {
		Code        int    `json:"code"`
		ErrCode     int    `json:"err_code"`
		Description string `json:"description"`
	} `json:"error"`
}

func parseAck(subject string, m *nats.Msg) (Ack, error) {
	if len(m.Data) == 0 {
		if m.Header.Get("Status") == "503" {
			return Ack{}, fmt.Errorf("append to %s: %w", subject, ErrNoStream)
		}
		return Ack{}, fmt.Errorf("append to %s: %w: empty answer", subject, ErrUnknown)
	}
	if ack, ok := plainAck(m.Data); ok {
		return ack, nil
	}
	var w wireAck
	if err := contract.UnmarshalLenient(m.Data, &w); err != nil {
		return Ack{}, fmt.Errorf("append to %s: %w: %w", subject, ErrUnknown, err)
	}
	switch {
	case w.Error == nil && w.Seq > 0:
		return Ack{Stream: w.Stream, Sequence: w.Seq, Duplicate: w.Duplicate}, nil
	case w.Error == nil:
		return Ack{}, fmt.Errorf("append to %s: %w: answer without a sequence", subject, ErrUnknown)
	case w.Error.ErrCode == codeWrongSequence || w.Error.ErrCode == codeWrongSequenceConstant:
		return Ack{}, fmt.Errorf("append to %s: %w (%d)", subject, ErrConflict, w.Error.ErrCode)
	}
	return Ack{}, fmt.Errorf("append to %s: %w", subject,
		&APIError{Code: w.Error.Code, ErrCode: w.Error.ErrCode, Description: w.Error.Description})
}

// denied ends the appends to a subject that the server refuses.
func (a *Appender) denied(d Denied) {
	a.finish(func(f *flight) bool { return d.Op == "publish" && f.subject == d.Subject }, d)
}

func (a *Appender) failAll(err error) { a.finish(func(*flight) bool { return true }, err) }

// finish ends every flight that match picks.
func (a *Appender) finish(match func(*flight) bool, err error) {
	var ended []*flight
	for i := range a.shards {
		s := &a.shards[i]
		s.mu.Lock()
		for token, f := range s.waiting {
			if match(f) {
				delete(s.waiting, token)
				ended = append(ended, f)
			}
		}
		s.mu.Unlock()
	}
	for _, f := range ended {
		f.done(Ack{}, fmt.Errorf("append to %s: %w", f.subject, err))
	}
}

// sweep ends appends whose acknowledgement is overdue.
func (a *Appender) sweep() {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-a.stop:
			return
		case now := <-tick.C:
			a.finish(func(f *flight) bool { return now.After(f.expires) }, ErrUnknown)
		}
	}
}

// settle waits until nothing is on its way, no longer than an acknowledgement may take.
func (a *Appender) settle(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, ackTimeout)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !a.idle() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (a *Appender) idle() bool {
	for i := range a.shards {
		s := &a.shards[i]
		s.mu.Lock()
		n := len(s.waiting)
		s.mu.Unlock()
		if n > 0 {
			return false
		}
	}
	return true
}

// close ends all flights; the connection is closed already.
func (a *Appender) close() {
	a.once.Do(func() {
		a.unwatch()
		close(a.stop)
		a.stopped.Wait()
		a.failAll(fmt.Errorf("%w: connection closed", ErrUnknown))
	})
}
