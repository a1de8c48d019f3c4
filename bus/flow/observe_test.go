package flow_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/flow"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

// locked is a writer for several goroutines.
type locked struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *locked) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// A step belongs to the trace and acts for the actor of whoever started the flow;
// metrics count by flow and status; a failed attempt and a panic are in the log.
func TestWhatAFlowTells(t *testing.T) {
	t.Parallel()
	var logs locked
	spans := tracetest.NewSpanRecorder()
	tel, err := telemetry.New(telemetry.Config{Service: service, Writer: &logs, Level: slog.LevelDebug, Processor: spans})
	if err != nil {
		t.Fatal(err)
	}
	b := bustest.Server(t, bustest.WithStreams(streams()...))
	tries := 0
	actors := make(chan contract.Actor, 9)
	def := flow.Define("told", 1, func(run *flow.Run, in args) (result, error) {
		return flow.Step(run, "say", func(ctx context.Context) (result, error) {
			actors <- telemetry.ActorFrom(ctx)
			switch tries++; tries {
			case 1:
				return result{}, errors.New("no connection to the far side")
			case 2:
				panic("a passing defect")
			}
			return result(in), nil
		}, flow.WithRetry(flow.Retry{First: 1e6}))
	})
	start(t, b.Dial(t, bustest.WithService(service), bustest.WithTelemetry(tel)), []flow.Registered{def})
	provider := sdktrace.NewTracerProvider()
	ctx, root := provider.Tracer("test").Start(within(t), "request")
	ctx = telemetry.WithActor(ctx, contract.Actor{Who: "gateway", For: "c1"})
	if _, err := flow.Do(ctx, flow.NewClient(b.Dial(t), service), def, "a", args{"x"}); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if a := <-actors; a.For != "c1" || a.Who != "gateway" {
			t.Errorf("a step acts for %+v", a)
		}
	}
	ended := spans.Ended()
	if len(ended) != 3 {
		t.Errorf("%d spans, want one for each attempt", len(ended))
	}
	for _, s := range ended {
		if s.SpanContext().TraceID() != root.SpanContext().TraceID() || s.Name() != "told say" || s.SpanKind() != trace.SpanKindInternal {
			t.Errorf("span %s of trace %s", s.Name(), s.SpanContext().TraceID())
		}
	}
	for _, words := range []string{"no connection to the far side", "a passing defect", `"flow":"told"`, `"flow_id":"a"`, `"step":"say"`, `"stack":`, root.SpanContext().TraceID().String()} {
		if !strings.Contains(logs.String(), words) {
			t.Errorf("the log does not say %s:\n%s", words, logs.String())
		}
	}
	for series, want := range map[string]float64{
		`mesh_flow_started_total flow=told service=shop`:                1,
		`mesh_flow_ended_total flow=told service=shop status=completed`: 1,
		`mesh_flow_ended_total flow=told service=shop status=failed`:    0,
		`mesh_flow_step_retries_total flow=told service=shop`:           2,
		`mesh_flow_running flow=told service=shop`:                      0,
		`mesh_flow_queued flow=told service=shop`:                       0,
		`mesh_flow_waiting flow=told service=shop`:                      0,
		`mesh_flow_seconds flow=told service=shop status=completed`:     1,
		`mesh_flow_step_seconds flow=told outcome=error service=shop`:   2,
		`mesh_flow_step_seconds flow=told outcome=ok service=shop`:      1,
		`mesh_flow_partitions service=shop`:                             16,
	} {
		bustest.Eventually(t, patience, func() bool { return gathered(t, tel)[series] == want }, series, " to be ", want)
	}
}

// gathered returns every series as "name label=value …"; a histogram's is its count.
func gathered(t *testing.T, tel *telemetry.Telemetry) map[string]float64 {
	t.Helper()
	families, err := tel.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetName() + "=" + l.GetValue()
			}
			all[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return all
}
