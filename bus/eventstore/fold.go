package eventstore

import (
	"errors"
	"fmt"
	"reflect"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

// parseCommit reads a message. The error wraps contract.ErrNotCommit for somebody
// else's message and contract.ErrUnknownEvent for a newer commit format.
func parseCommit(m Message) (contract.CommitHeader, contract.Commit, error) {
	h, err := contract.ParseCommitHeader(m.Header)
	if err != nil {
		return h, contract.Commit{}, err
	}
	c, err := contract.DecodeCommit(m.Data)
	if err == nil && h.Last-h.First+1 != uint64(len(c.Events)) {
		err = fmt.Errorf("%w: %d events in versions %d-%d", contract.ErrNotCommit, len(c.Events), h.First, h.Last)
	}
	return h, c, err
}

// fold applies one message to an image.
func (e *Entity[S, C, E]) fold(subject string, im *image[S], m Message) error {
	h, c, err := parseCommit(m)
	if errors.Is(err, contract.ErrNotCommit) {
		e.report(subject, m, err)
		im.sequence = m.Sequence
		im.since++
		return nil
	}
	if err != nil {
		return newer(subject, err)
	}
	if h.First != im.version+1 {
		return fmt.Errorf("%s: message %d: %w: versions %d-%d after %d", subject, m.Sequence, ErrBrokenHistory, h.First, h.Last, im.version)
	}
	state, version := im.state, im.version
	for _, r := range c.Events {
		event, err := e.events.Decode(r.Type, r.Data)
		if err != nil {
			return newer(subject, err)
		}
		state = e.evolve(state, event)
		version++
		im.window.note(r.Command, version)
	}
	im.state, im.version, im.sequence = state, version, m.Sequence
	im.window.trim()
	im.since++
	if c.State != nil {
		im.snap, im.since = m.Sequence, 0
	}
	return nil
}

// restore makes the state that a message carries the image. It reports false when
// there is none or none that this build understands.
func (e *Entity[S, C, E]) restore(im *image[S], m Message) (bool, error) {
	h, c, err := parseCommit(m)
	switch {
	case errors.Is(err, contract.ErrNotCommit):
		return false, nil
	case err != nil:
		return false, newer(m.Subject, err)
	case c.State == nil || c.State.Schema != e.schema:
		return false, nil
	}
	for _, r := range c.Events { // an unknown type: the state is not what it seems
		if _, err := e.events.Decode(r.Type, r.Data); err != nil {
			return false, newer(m.Subject, err)
		}
	}
	var state S
	if err := contract.UnmarshalLenient(c.State.Data, &state); err != nil {
		e.tel.Logger.Warn("a stored state cannot be read; folding the events instead", telemetry.KeySubject, m.Subject,
			telemetry.KeySequence, m.Sequence, telemetry.KeyError, err.Error())
		return false, nil
	}
	*im = image[S]{
		state: state, version: h.Last, sequence: m.Sequence, snap: m.Sequence,
		window: newWindow(c.State.Commands),
	}
	return true, nil
}

// newer turns what this build cannot read into the error for callers: an event of
// an unknown type is a newer version's, one that cannot be decoded is damage.
func newer(subject string, err error) error {
	if errors.Is(err, contract.ErrUnknownEvent) {
		return fmt.Errorf("%s: %w: %w", subject, ErrNewerVersion, err)
	}
	return fmt.Errorf("%s: %w: %s", subject, ErrBrokenHistory, err.Error()) // not %w: the cause may hold a contract error
}

// checkState panics unless JSON preserves values of type S.
func checkState[S any]() {
	t := reflect.TypeFor[S]()
	if t.Kind() != reflect.Struct && t.Kind() != reflect.Map {
		panic(fmt.Sprintf("eventstore: the state %s is no struct and no map, so it is no JSON object", t))
	}
	if hidden := hiddenField(t, map[reflect.Type]bool{}); hidden != "" {
		panic(fmt.Sprintf("eventstore: the state %s would lose %s: JSON keeps no unexported fields and no interfaces", t, hidden))
	}
}

// hiddenField names what JSON would lose within t, "" for nothing. Types that encode
// themselves are trusted.
func hiddenField(t reflect.Type, seen map[reflect.Type]bool) string {
	for _, method := range [...]string{"MarshalJSON", "MarshalJSONTo", "MarshalText", "AppendText"} {
		if _, ok := reflect.PointerTo(t).MethodByName(method); ok {
			return ""
		}
	}
	if seen[t] {
		return ""
	}
	seen[t] = true
	switch t.Kind() { //nolint:exhaustive // the others hold no fields
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		return hiddenField(t.Elem(), seen)
	case reflect.Interface:
		if t.NumMethod() > 0 {
			return t.String()
		}
	case reflect.Struct:
		for f := range t.Fields() {
			if !f.IsExported() && !f.Anonymous {
				return t.String() + "." + f.Name
			}
			if hidden := hiddenField(f.Type, seen); hidden != "" {
				return hidden
			}
		}
	}
	return ""
}
