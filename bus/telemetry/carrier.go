package telemetry

import (
	"context"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// Inject writes what the context carries into the headers of a message: the trace
// (W3C Trace Context) and the actor. A context that carries nothing leaves the
// headers as they are.
func Inject(ctx context.Context, h nats.Header) {
	InjectTrace(ctx, h)
	if s := scopeOf(ctx); s != nil {
		if actor := s.actor.Encode(); actor != "" {
			h[contract.HeaderActor] = []string{actor}
		}
	}
}

// InjectTrace writes the trace alone.
func InjectTrace(ctx context.Context, h nats.Header) {
	if trace.SpanContextFromContext(ctx).IsValid() {
		propagation.TraceContext{}.Inject(ctx, carrier(h))
	}
}

// Extract returns a context with the trace and the actor that a message carries. A
// Mesh-Actor header that cannot be read is an error (Unauthenticated): it must not
// become "nobody in particular".
func Extract(ctx context.Context, h nats.Header) (context.Context, error) {
	ctx = ExtractTrace(ctx, h)
	actor, err := ActorOf(h)
	if err != nil {
		return ctx, err
	}
	if len(h[contract.HeaderActor]) == 0 {
		return ctx, nil
	}
	return WithActor(ctx, actor), nil
}

// ExtractTrace returns a context with the trace that a message carries; a
// traceparent that cannot be read starts no trace.
func ExtractTrace(ctx context.Context, h nats.Header) context.Context {
	if len(h[contract.HeaderTrace]) == 0 {
		return ctx
	}
	return propagation.TraceContext{}.Extract(ctx, carrier(h))
}

// ActorOf reads a message's Mesh-Actor header. Two of them are as bad as one that
// cannot be read.
func ActorOf(h nats.Header) (contract.Actor, error) {
	switch values := h[contract.HeaderActor]; len(values) {
	case 0:
		return contract.Actor{}, nil
	case 1:
		return contract.ParseActor(values[0])
	default:
		return contract.ParseActor("%")
	}
}

// carrier lets OpenTelemetry read and write NATS headers. Keys keep their case.
type carrier nats.Header

func (c carrier) Get(key string) string { return nats.Header(c).Get(key) }
func (c carrier) Set(key, value string) { c[key] = []string{value} }
func (c carrier) Keys() []string {
	keys := make([]string, 0, len(c))
	for k := range c {
		keys = append(keys, k)
	}
	return keys
}
