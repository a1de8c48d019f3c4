package telemetry

import (
	"context"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// Tracing reports whether spans go anywhere. Code on a hot path asks before it
// collects attributes.
func (t *Telemetry) Tracing() bool { return t.tracing }

// Start begins a span. Without a tracer it returns ctx and a span that does
// nothing, and costs nothing.
func (t *Telemetry) Start(ctx context.Context, name string, kind trace.SpanKind) (context.Context, trace.Span) {
	if !t.tracing {
		return ctx, noop.Span{}
	}
	return t.Tracer.Start(ctx, name, trace.WithSpanKind(kind))
}

// End ends a span and marks it failed when err is not nil.
func End(span trace.Span, err error) {
	if err != nil {
		span.SetStatus(codes.Error, Escape(err.Error()))
	}
	span.End()
}
