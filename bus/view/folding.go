package view

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/event"
	"github.com/ordermesh/ordermesh/bus/internal/pull"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

// message is one message of the stream, as far as it can be read.
type message[E any] struct {
	raw    *nats.Msg
	at     pull.Position
	id     string           // of the entity; "" for a message that is not ours
	first  uint64           // versions of the entity that the message holds
	last   uint64           //
	events []event.Event[E] // those that this build can read
}

// HashOf is the hash of a message in a checkpoint: of its subject, of its place in the
// entity's history, and of its content.
func HashOf(m *nats.Msg) string {
	h := sha256.New()
	for _, part := range []string{m.Subject, m.Header.Get(contract.HeaderVersion), m.Header.Get(contract.HeaderPrev)} {
		_, _ = h.Write([]byte(part + "\x00"))
	}
	_, _ = h.Write(m.Data)
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// readAll decodes what comes until ctx ends or a delivery is missing.
func (p *Projection[E, R]) readAll(ctx context.Context, puller *pull.Puller, read chan<- []message[E]) error {
	delivery := uint64(0)
	for {
		raw := p.next(ctx)
		if raw == nil {
			return nil
		}
		puller.Pull()
		messages := make([]message[E], len(raw))
		for i, m := range raw {
			at, ok := pull.ParsePosition(m.Reply)
			if !ok || at.Delivery != delivery+1 {
				return fmt.Errorf("delivery %d came after %d", at.Delivery, delivery)
			}
			delivery = at.Delivery
			messages[i] = p.read(m, at)
		}
		select {
		case read <- messages:
		case <-ctx.Done():
			return nil
		}
	}
}

// next waits for a message and takes what else is there; nil at the end.
func (p *Projection[E, R]) next(ctx context.Context) []*nats.Msg {
	var messages []*nats.Msg
	select {
	case m := <-p.queue:
		messages = append(messages, m)
	case <-ctx.Done():
		return nil
	}
	for len(messages) < batch {
		select {
		case m := <-p.queue:
			messages = append(messages, m)
		default:
			return messages
		}
	}
	return messages
}

// read decodes a message. Which versions it holds is known even of one whose events are
// damaged or too new.
func (p *Projection[E, R]) read(m *nats.Msg, at pull.Position) message[E] {
	read := message[E]{raw: m, at: at}
	events, err := event.Decode(p.events, m, at.Sequence)
	read.events = events
	if header, bad := contract.ParseCommitHeader(m.Header); bad == nil {
		if id, ours := p.events.Info().EntityID(m.Subject); ours {
			read.id, read.first, read.last = id, header.First, header.Last
		}
	}
	if err != nil {
		p.skipped.Inc()
		p.logger().Warn("a view leaves out what it cannot read", telemetry.KeySubject, m.Subject,
			telemetry.KeySequence, at.Sequence, telemetry.KeyError, err.Error())
	}
	return read
}

// foldAll folds what was read until ctx ends or the store refuses; at follows the
// checkpoint.
func (p *Projection[E, R]) foldAll(ctx context.Context, from source, at *Checkpoint, read <-chan []message[E]) error {
	if p.end > 0 && from.pending == 0 {
		return errEnd
	}
	if at.Sequence > 0 && from.pending == 0 { // no first message will come
		if err := from.missing(*at); err != nil {
			return err
		}
		if err := p.settle(ctx, from, at); err != nil {
			return err
		}
	}
	for first := at.Sequence > 0; ; first = false {
		var messages []message[E]
		select {
		case messages = <-read:
		case <-ctx.Done():
			return nil
		}
		if first {
			var err error
			if messages, err = p.recognize(ctx, from, at, messages); err != nil {
				return err
			}
		}
		if err := p.apply(ctx, from, at, messages); err != nil {
			return err
		}
	}
}

// recognize takes the first message away, which must be the one at the checkpoint.
func (p *Projection[E, R]) recognize(ctx context.Context, from source, at *Checkpoint, messages []message[E]) ([]message[E], error) {
	first := messages[0]
	if first.at.Sequence != at.Sequence {
		return messages, from.missing(*at)
	}
	if at.Hash != "" && at.Hash != HashOf(first.raw) {
		return nil, fmt.Errorf("%w (another message is at %d of %s)", ErrReplaced, at.Sequence, from.stream)
	}
	if messages = messages[1:]; len(messages) > 0 || first.at.Pending > 0 {
		return messages, nil
	}
	return nil, p.settle(ctx, from, at)
}

// missing judges a checkpoint whose message is not in the stream any more. In the same
// stream it was purged with its entity, which is no harm.
func (s source) missing(at Checkpoint) error {
	if at.Stream == "" || at.Stream == s.stream {
		return nil
	}
	return fmt.Errorf("%w (%s has no message at %d; the view has followed %s)", ErrReplaced, s.stream, at.Sequence, at.Stream)
}

// settle says of a view with nothing left to fold that it is well and not behind.
func (p *Projection[E, R]) settle(ctx context.Context, from source, at *Checkpoint) error {
	to := *at
	if to.Behind, to.Halted, to.Stream = 0, "", from.stream; to == *at {
		return nil
	}
	return p.move(ctx, at, to, nil)
}

// apply folds messages into the rows that they touch, up to the first that does not
// follow on its entity's history, and stores all at once.
func (p *Projection[E, R]) apply(ctx context.Context, from source, at *Checkpoint, messages []message[E]) error {
	messages, done := p.untilEnd(messages)
	if len(messages) == 0 {
		return done
	}
	f, err := p.load(ctx, messages)
	if err != nil {
		return err
	}
	folded := 0
	for ; folded < len(messages) && err == nil; folded++ {
		err = f.add(&messages[folded])
	}
	if err != nil { // the last one was not
		folded--
		at.Behind = messages[folded].at.Pending + 1
	}
	if folded == 0 {
		return err
	}
	last := messages[folded-1]
	to := Checkpoint{
		Sequence: last.at.Sequence, Hash: HashOf(last.raw), Stream: from.stream, Generation: at.Generation, Behind: last.at.Pending,
	}
	if stored := p.move(ctx, at, to, f.changes()); stored != nil {
		return stored
	}
	return errors.Join(err, done)
}

// errEnd ends a fold that was to go up to a sequence.
var errEnd = errors.New("the fold has come to its end")

// untilEnd cuts off what comes after the end, and says when that is reached.
func (p *Projection[E, R]) untilEnd(messages []message[E]) ([]message[E], error) {
	if p.end == 0 || len(messages) == 0 {
		return messages, nil
	}
	for i := range messages {
		if messages[i].at.Sequence > p.end {
			return messages[:i], errEnd
		}
	}
	if last := messages[len(messages)-1].at; last.Sequence == p.end || last.Pending == 0 {
		return messages, errEnd
	}
	return messages, nil
}

// move stores changes and the checkpoint.
func (p *Projection[E, R]) move(ctx context.Context, at *Checkpoint, to Checkpoint, changes []Change[R]) error {
	if err := p.store.Apply(ctx, *at, to, changes); err != nil {
		return fmt.Errorf("store rows: %w", err)
	}
	*at = to
	p.set(to)
	return nil
}

// folding are the rows of one batch.
type folding[E, R any] struct {
	p    *Projection[E, R]
	keys []string // of the rows that have changed, in the order of the events
	rows map[string]*Entry[R]
}

// load reads the rows that messages will touch.
func (p *Projection[E, R]) load(ctx context.Context, messages []message[E]) (*folding[E, R], error) {
	f := &folding[E, R]{p: p, rows: make(map[string]*Entry[R], len(messages))}
	keys := make([]string, 0, len(messages))
	for i := range messages {
		if id := messages[i].id; id != "" && f.rows[id] == nil {
			f.rows[id] = &Entry[R]{Key: id}
			keys = append(keys, id)
		}
	}
	rows, err := p.store.Rows(ctx, keys...)
	if err != nil {
		return nil, fmt.Errorf("load rows: %w", err)
	}
	for key, entry := range rows {
		*f.rows[key] = entry
	}
	return f, nil
}

func (f *folding[E, R]) add(m *message[E]) error {
	if m.id == "" {
		return nil
	}
	entry := f.rows[m.id]
	if err := f.follows(entry, m); err != nil {
		return err
	}
	for i := range m.events {
		entry.Row = f.p.fold.Apply(entry.Row, m.events[i])
	}
	entry.Version = m.last
	f.keys = append(f.keys, m.id)
	return nil
}

// follows refuses a message that does not go on where its entity was.
func (f *folding[E, R]) follows(entry *Entry[R], m *message[E]) error {
	if m.first == entry.Version+1 || f.p.acceptGaps {
		return nil
	}
	what := ErrGap
	if m.first <= entry.Version {
		what = ErrReplaced
	}
	return fmt.Errorf("%w (%s was at version %d, and %d comes at %d of the stream)", what, m.raw.Subject, entry.Version, m.first, m.at.Sequence)
}

func (f *folding[E, R]) changes() []Change[R] {
	changes := make([]Change[R], 0, len(f.keys))
	seen := make(map[string]bool, len(f.keys))
	for _, key := range f.keys {
		if !seen[key] {
			seen[key] = true
			changes = append(changes, Change[R]{*f.rows[key], f.p.fold.Lists(f.rows[key].Row)})
		}
	}
	return changes
}
