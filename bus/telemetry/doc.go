// Package telemetry is how the mesh tells what it does: structured logs, traces
// and metrics, and the headers that carry a trace and an actor from one process
// to the next.
//
// It is for the packages of the library and for services. It is not an exporter:
// whoever starts a process hands in a writer for logs, a span processor or a
// tracer provider for traces, and serves [Telemetry.Handler] for metrics.
//
// It promises three things. What nobody listens to costs nothing: without a
// tracer there are no spans and no allocations for them, and [Nop] discards
// everything. Every log line written with a context carries the trace, the
// request, the actor and the command that the context carries. And no logged
// string can forge a line or move the cursor of a terminal: control characters,
// ANSI sequences and bidirectional marks are escaped.
package telemetry
