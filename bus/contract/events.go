package contract

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
)

// ErrUnknownEvent reports an event type that this build does not know: a newer
// version wrote it. Whoever meets it must not decide on the entity.
var ErrUnknownEvent = errors.New("unknown event type")

// EventsInfo is what is known of an entity's events without their types.
type EventsInfo struct {
	Entity  string   // the entity's name, such as "order"
	Stream  string   // the stream that holds it, such as "ORDERS"
	Service string   // the service that owns the stream
	Types   []string // every event type that is written, such as "order.placed.v1"
}

// Subject is the literal subject of one entity: evt.<entity>.<id>. An id that is
// not valid is refused, so that no wildcard ever becomes a subject.
func (i EventsInfo) Subject(id string) (string, error) {
	if err := CheckID("/"+i.Entity+"_id", id); err != nil {
		return "", err
	}
	return "evt." + i.Entity + "." + id, nil
}

// Filter matches every entity of this kind: evt.<entity>.*.
func (i EventsInfo) Filter() string { return "evt." + i.Entity + ".*" }

// EntityID returns the id in an entity's subject, and false for another subject.
func (i EventsInfo) EntityID(subject string) (string, bool) {
	id, ok := strings.CutPrefix(subject, "evt."+i.Entity+".")
	return id, ok && ValidID(id)
}

// Events describes the events of one entity. E is a sealed interface whose
// implementations are the event types; each is registered with [Type].
type Events[E any] struct {
	info   EventsInfo
	byName map[string]func([]byte) (E, error)
	byType map[reflect.Type]string
}

// EventType is one event type of a sealed interface E; see [Type] and [Upcast].
type EventType[E any] struct {
	name   string
	goType reflect.Type // nil for an upcaster: it is read, never written
	decode func([]byte) (E, error)
}

// Type registers the Go type T under its name on the wire, such as
// "order.placed.v1".
func Type[E, T any](name string) EventType[E] {
	return EventType[E]{name: name, goType: reflect.TypeFor[T](), decode: func(data []byte) (E, error) {
		var t T
		if err := UnmarshalLenient(data, &t); err != nil {
			var zero E
			return zero, err
		}
		e, ok := any(t).(E)
		if !ok {
			return e, fmt.Errorf("%T is not an event of this entity", t)
		}
		return e, nil
	}}
}

// Upcast registers an old version of an event that is still in streams: it is
// decoded as Old and lifted into today's event.
func Upcast[E, Old any](name string, lift func(Old) E) EventType[E] {
	return EventType[E]{name: name, decode: func(data []byte) (E, error) {
		var old Old
		if err := UnmarshalLenient(data, &old); err != nil {
			var zero E
			return zero, err
		}
		return lift(old), nil
	}}
}

// NewEvents declares the events of an entity. A type that is registered twice, or
// that does not implement E, panics at start-up.
func NewEvents[E any](service, stream, entity string, types ...EventType[E]) Events[E] {
	ev := Events[E]{
		info:   EventsInfo{Entity: entity, Stream: stream, Service: service},
		byName: make(map[string]func([]byte) (E, error), len(types)),
		byType: make(map[reflect.Type]string, len(types)),
	}
	sealed := reflect.TypeFor[E]()
	for _, t := range types {
		if _, twice := ev.byName[t.name]; twice {
			panic("contract: event type " + t.name + " is registered twice")
		}
		ev.byName[t.name] = t.decode
		if t.goType == nil {
			continue
		}
		if !t.goType.Implements(sealed) {
			panic(fmt.Sprintf("contract: %s does not implement %s", t.goType, sealed))
		}
		ev.byType[t.goType] = t.name
		ev.info.Types = append(ev.info.Types, t.name)
	}
	return ev
}

// Info returns the description without types.
func (ev Events[E]) Info() EventsInfo { return ev.info }

// TypeName returns the name under which an event is written.
func (ev Events[E]) TypeName(e E) (string, error) {
	name, ok := ev.byType[reflect.TypeOf(e)]
	if !ok {
		return "", fmt.Errorf("%T is not registered as an event of %s", e, ev.info.Entity)
	}
	return name, nil
}

// Decode reads an event's data. The error wraps ErrUnknownEvent for a type that
// this build does not know.
func (ev Events[E]) Decode(name string, data []byte) (E, error) {
	decode, ok := ev.byName[name]
	if !ok {
		var zero E
		return zero, fmt.Errorf("%w %q on %s", ErrUnknownEvent, name, ev.info.Entity)
	}
	e, err := decode(data)
	if err != nil {
		return e, fmt.Errorf("event %s: %w", name, err)
	}
	return e, nil
}
