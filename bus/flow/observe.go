package flow

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

// metrics are the engine's measurements. Children are resolved when the worker is
// made: nothing is looked up while flows run.
type metrics struct {
	byFlow     map[string]*flowMetrics
	messages   prometheus.Counter
	bytes      prometheus.Counter
	partitions prometheus.Gauge
	condensed  prometheus.Counter
	removed    prometheus.Counter
}

type flowMetrics struct {
	started, resumed, fenced, retries prometheus.Counter
	running, queued, waiting          prometheus.Gauge
	ended                             map[Status]prometheus.Counter
	lasted                            map[Status]prometheus.Observer
	steps, failures                   prometheus.Observer
}

// Buckets in seconds: a flow takes milliseconds or months.
var (
	lastBuckets    = []float64{.001, .005, .025, .1, .5, 1, 5, 30, 120, 600, 3600, 6 * 3600, 86400, 7 * 86400, 30 * 86400}
	attemptBuckets = []float64{.0001, .0005, .001, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 120}
)

// finished counts an instance that has ended or got stuck.
func (f *flowMetrics) finished(s Status, began int64) {
	f.ended[s].Inc()
	f.lasted[s].Observe(max(time.Since(time.UnixMilli(began)), 0).Seconds())
}

// tried measures one attempt of a step.
func (f *flowMetrics) tried(began time.Time, err error) {
	if err != nil {
		f.failures.Observe(time.Since(began).Seconds())
		return
	}
	f.steps.Observe(time.Since(began).Seconds())
}

func newMetrics(t *telemetry.Telemetry, service string, flows catalogue) *metrics {
	m := &metrics{byFlow: map[string]*flowMetrics{}}
	started := t.Counter("flow_started_total", "Flows that began.", "service", "flow")
	resumed := t.Counter("flow_resumed_total", "Flows that were replayed from their journal.", "service", "flow")
	fenced := t.Counter("flow_fenced_total", "Flows that stopped because another worker had them.", "service", "flow")
	retries := t.Counter("flow_step_retries_total", "Attempts of steps that failed and were repeated.", "service", "flow")
	running := t.Gauge("flow_running", "Flows that are executed now.", "service", "flow")
	queued := t.Gauge("flow_queued", "Flows that could be executed and wait for their turn.", "service", "flow")
	waiting := t.Gauge("flow_waiting", "Flows in memory that wait for a time, a signal, a child or their next attempt.", "service", "flow")
	lasted := t.Histogram("flow_seconds", "Time from the start of a flow to its end.", lastBuckets, "service", "flow", "status")
	attempts := t.Histogram("flow_step_seconds", "Time of one attempt of a step or compensation.", attemptBuckets, "service", "flow", "outcome")
	ended := t.Counter("flow_ended_total", "Flows by how they ended.", "service", "flow", "status")
	m.messages = t.Counter("flow_journal_messages_total", "Journal messages stored.", "service").WithLabelValues(service)
	m.bytes = t.Counter("flow_journal_bytes_total", "Bytes of journal messages stored.", "service").WithLabelValues(service)
	m.condensed = t.Counter("flow_condensed_total", "Ended flows of which only the result was kept.", "service").WithLabelValues(service)
	m.removed = t.Counter("flow_values_removed_total", "Large values that nothing needed any more.", "service").WithLabelValues(service)
	m.partitions = t.Gauge("flow_partitions", "Partitions that this worker owns.", "service").WithLabelValues(service)
	for v := range flows {
		f := &flowMetrics{
			started: started.WithLabelValues(service, v.name), resumed: resumed.WithLabelValues(service, v.name),
			fenced: fenced.WithLabelValues(service, v.name), retries: retries.WithLabelValues(service, v.name),
			running: running.WithLabelValues(service, v.name), queued: queued.WithLabelValues(service, v.name),
			waiting: waiting.WithLabelValues(service, v.name),
			steps:   attempts.WithLabelValues(service, v.name, "ok"), failures: attempts.WithLabelValues(service, v.name, "error"),
			ended: map[Status]prometheus.Counter{}, lasted: map[Status]prometheus.Observer{},
		}
		for _, s := range []Status{Completed, Failed, Cancelled, Stuck} {
			f.ended[s] = ended.WithLabelValues(service, v.name, string(s))
			f.lasted[s] = lasted.WithLabelValues(service, v.name, string(s))
		}
		m.byFlow[v.name] = f
	}
	return m
}

// of returns the metrics of a flow; one that is not registered has none.
func (m *metrics) of(name string) *flowMetrics { return m.byFlow[name] }

func (m *metrics) written(size int) {
	m.messages.Inc()
	m.bytes.Add(float64(size))
}

// attrs are the attributes of every log line about the instance.
func (in *instance) attrs(more ...any) []any {
	return append([]any{telemetry.KeyFlow, in.name, telemetry.KeyFlowID, in.id}, more...)
}

func (in *instance) log(level slog.Level, text string, more ...any) {
	ctx := in.base
	if ctx == nil {
		ctx = context.Background()
	}
	in.eng.telemetry.Logger.Log(ctx, level, text, in.attrs(more...)...)
}

func (in *instance) logRetry(step string, tries int, err error) {
	in.log(slog.LevelWarn, "step failed, trying again", telemetry.KeyStep, step, telemetry.KeyAttempt, tries, telemetry.KeyError, err.Error())
	in.eng.metrics.of(in.name).retries.Inc()
}

func (in *instance) logRefused(step string, tries int, err error) {
	in.log(slog.LevelInfo, "step refused", telemetry.KeyStep, step, telemetry.KeyAttempt, tries, telemetry.KeyError, err.Error())
}

func (in *instance) logPanic(step string, value any) {
	in.eng.telemetry.Logger.Error("flow panicked", in.attrs(telemetry.KeyStep, step, "panic", value, telemetry.Stack(2))...)
}

func (in *instance) logStuck(reason string) {
	in.log(slog.LevelError, "flow is stuck", telemetry.KeyReason, reason)
}

// logFailed tells what a caller is not told: the text behind an internal error.
func (in *instance) logFailed(err error) {
	level := slog.LevelInfo
	if !contract.IsRefusal(err) {
		level = slog.LevelError
	}
	in.log(level, "flow failed", telemetry.KeyError, err.Error())
}

func (in *instance) describe(span trace.Span, step string) {
	span.SetAttributes(
		attribute.String(telemetry.KeyFlow, in.name), attribute.String(telemetry.KeyFlowID, in.id),
		attribute.String(telemetry.KeyStep, step),
	)
}
