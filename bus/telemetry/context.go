package telemetry

import (
	"context"
	"log/slog"

	"go.opentelemetry.io/otel/trace"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// scope is a context that carries who acts and for which command. Both live in one
// value, so that a call costs one allocation and a look-up one step.
type scope struct {
	context.Context //nolint:containedctx // it is a context
	actor           contract.Actor
	command         string
}

type scopeKey struct{}

func (s *scope) Value(key any) any {
	if _, ok := key.(scopeKey); ok {
		return s
	}
	return s.Context.Value(key)
}

func scopeOf(ctx context.Context) *scope {
	s, _ := ctx.Value(scopeKey{}).(*scope)
	return s
}

// WithCall returns a context in which actor acts and command is being worked on.
func WithCall(ctx context.Context, actor contract.Actor, command string) context.Context {
	return &scope{Context: ctx, actor: actor, command: command}
}

// WithActor returns a context in which actor acts.
func WithActor(ctx context.Context, actor contract.Actor) context.Context {
	return WithCall(ctx, actor, CommandFrom(ctx))
}

// ActorFrom returns who acts; the zero value is the mesh itself for nobody.
func ActorFrom(ctx context.Context) contract.Actor {
	if s := scopeOf(ctx); s != nil {
		return s.actor
	}
	return contract.Actor{}
}

// WithCommand returns a context in which the command with this id is worked on.
func WithCommand(ctx context.Context, id string) context.Context {
	return WithCall(ctx, ActorFrom(ctx), id)
}

// CommandFrom returns the id of the command that is worked on, "" for none.
func CommandFrom(ctx context.Context) string {
	if s := scopeOf(ctx); s != nil {
		return s.command
	}
	return ""
}

// contextAttrs lists what the context says about a log line.
func contextAttrs(ctx context.Context) []slog.Attr {
	var attrs []slog.Attr
	if sc := trace.SpanContextFromContext(ctx); sc.IsValid() {
		attrs = append(attrs, slog.String(KeyTrace, sc.TraceID().String()), slog.String(KeySpan, sc.SpanID().String()))
	}
	s := scopeOf(ctx)
	if s == nil {
		return attrs
	}
	for _, a := range [...]slog.Attr{
		slog.String(KeyRequest, s.actor.Request), slog.String(KeyActor, s.actor.Who),
		slog.String(KeyActorFor, s.actor.For), slog.String(KeyCommand, s.command),
	} {
		if a.Value.String() != "" {
			attrs = append(attrs, a)
		}
	}
	return attrs
}
