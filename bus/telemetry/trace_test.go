package telemetry_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

func TestHeadersCarryTraceAndActor(t *testing.T) {
	t.Parallel()
	actor := contract.Actor{Who: "gateway", For: "c1", Scopes: []string{"orders:write"}, Request: "r1"}
	in := nats.Header{contract.HeaderTrace: {parent}, contract.HeaderActor: {actor.Encode()}}
	ctx, err := telemetry.Extract(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(actor, telemetry.ActorFrom(ctx)); diff != "" {
		t.Error(diff)
	}
	out := nats.Header{}
	telemetry.Inject(ctx, out)
	if diff := cmp.Diff(in, out); diff != "" {
		t.Error(diff)
	}
}

func TestUnreadableHeaders(t *testing.T) {
	t.Parallel()
	for name, values := range map[string][]string{
		"garbage": {"%zz"}, "two": {"who=a", "who=b"}, "long": {"who=" + strings.Repeat("a", 5000)},
	} {
		_, err := telemetry.Extract(t.Context(), nats.Header{contract.HeaderActor: values})
		var e *contract.Error
		if !errors.As(err, &e) || e.Code != contract.Unauthenticated {
			t.Errorf("%s: %v, want unauthenticated", name, err)
		}
	}
	ctx, err := telemetry.Extract(t.Context(), nats.Header{contract.HeaderTrace: {"00-zz"}})
	if err != nil || trace.SpanContextFromContext(ctx).IsValid() {
		t.Errorf("a bad traceparent starts no trace: %v", err)
	}
}

func TestSilenceCostsNothing(t *testing.T) {
	tel, ctx, h := telemetry.Nop(), t.Context(), nats.Header{}
	allocs := testing.AllocsPerRun(100, func() {
		ctx2, err := telemetry.Extract(ctx, h)
		ctx3, span := tel.Start(ctx2, "orders.place", trace.SpanKindServer)
		telemetry.Inject(ctx3, h)
		telemetry.End(span, err)
	})
	if allocs != 0 || len(h) != 0 {
		t.Errorf("%v allocations and headers %v, want none", allocs, h)
	}
}

func TestSpansGoToTheProcessor(t *testing.T) {
	t.Parallel()
	recorder := tracetest.NewSpanRecorder()
	tel, err := telemetry.New(telemetry.Config{Service: "orders", Writer: &strings.Builder{}, Processor: recorder})
	if err != nil {
		t.Fatal(err)
	}
	ctx := telemetry.ExtractTrace(t.Context(), nats.Header{contract.HeaderTrace: {parent}})
	_, span := tel.Start(ctx, "orders.place", trace.SpanKindServer)
	telemetry.End(span, errors.New("boom\x1b"))
	if err := tel.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	ended := recorder.Ended()
	if len(ended) != 1 {
		t.Fatalf("%d spans, want one", len(ended))
	}
	s := ended[0]
	if s.Name() != "orders.place" || s.Parent().SpanID().String() != "b7ad6b7169203331" {
		t.Errorf("span %s under %s", s.Name(), s.Parent().SpanID())
	}
	if diff := cmp.Diff(sdktrace.Status{Code: codes.Error, Description: `boom\u001b`}, s.Status()); diff != "" {
		t.Error(diff)
	}
	if name, _ := s.Resource().Set().Value("service.name"); name.AsString() != "orders" {
		t.Errorf("service.name is %q", name.AsString())
	}
}

func TestMetricsAreSharedAndServed(t *testing.T) {
	t.Parallel()
	tel := telemetry.Nop()
	for range 2 { // as two services of one process do
		tel.Histogram("call_seconds", "Calls.", telemetry.Latency(), "service").WithLabelValues("orders").Observe(0.001)
		tel.Counter("calls_total", "Calls.", "service").WithLabelValues("orders").Inc()
		tel.Gauge("running", "Calls now.", "service").WithLabelValues("orders").Inc()
	}
	rec := httptest.NewRecorder()
	tel.Handler().ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for _, line := range []string{
		`mesh_call_seconds_count{service="orders"} 2`,
		`mesh_calls_total{service="orders"} 2`,
		`mesh_running{service="orders"} 2`,
	} {
		if !strings.Contains(rec.Body.String(), line+"\n") {
			t.Errorf("/metrics lacks %s:\n%s", line, rec.Body)
		}
	}
}

func TestForSharesEverythingButTheName(t *testing.T) {
	t.Parallel()
	tel, buf := jsonLogger(t)
	other := tel.For("payments")
	if other.Registry != tel.Registry || other.Service() != "payments" || tel.Service() != "orders" {
		t.Errorf("For: %q and %q", other.Service(), tel.Service())
	}
	other.Logger.Info("x")
	if got := decodeLine(t, buf)[telemetry.KeyService]; got != "payments" {
		t.Errorf("service is %v: %s", got, buf)
	}
	if strings.Count(buf.String(), `"service"`) != 1 {
		t.Errorf("the name appears twice: %s", buf)
	}
}
