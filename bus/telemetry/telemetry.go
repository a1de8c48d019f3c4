package telemetry

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.opentelemetry.io/otel/attribute"
	sdkresource "go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

const scopeName = "github.com/ordermesh/ordermesh/bus"

// Config says where telemetry goes. The zero value logs to standard error at info
// level, keeps metrics in a registry of its own and records no traces.
type Config struct {
	Service string       // name in every line, span and metric
	Writer  io.Writer    // logs; nil is os.Stderr. A terminal gets colours, anything else JSON
	Level   slog.Leveler // nil is info

	Registry *prometheus.Registry // nil makes one that also measures the Go runtime and the process

	// TracerProvider makes the spans. Processor is the shorter way: a provider is
	// built around it that obeys the OTEL_* environment (sampler, limits, resource
	// attributes, service name, OTEL_SDK_DISABLED). With neither there are no spans.
	TracerProvider trace.TracerProvider
	Processor      sdktrace.SpanProcessor
}

// Telemetry is what a process or a service tells with. Its fields are never nil.
type Telemetry struct {
	Logger   *slog.Logger
	Registry *prometheus.Registry
	Tracer   trace.Tracer

	service  string
	base     *slog.Logger // without the service's name
	tracing  bool
	shutdown func(context.Context) error
}

// New returns telemetry as cfg says.
func New(cfg Config) (*Telemetry, error) {
	if cfg.TracerProvider != nil && cfg.Processor != nil {
		return nil, errors.New("telemetry: give a tracer provider or a span processor, not both")
	}
	t := Nop()
	t.service = cfg.Service
	if cfg.Registry != nil {
		t.Registry = cfg.Registry
	} else {
		t.Registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	}
	w := cfg.Writer
	if w == nil {
		w = os.Stderr
	}
	t.base = slog.New(NewHandler(w, cfg.Level))
	t.Logger = t.base
	if cfg.Service != "" {
		t.Logger = t.base.With(KeyService, cfg.Service)
	}
	if err := t.trace(cfg); err != nil {
		return nil, err
	}
	return t, nil
}

func (t *Telemetry) trace(cfg Config) error {
	provider := cfg.TracerProvider
	if cfg.Processor != nil && os.Getenv("OTEL_SDK_DISABLED") != "true" {
		res, err := traceResource(cfg.Service)
		if err != nil {
			return err
		}
		own := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(cfg.Processor), sdktrace.WithResource(res))
		provider, t.shutdown = own, own.Shutdown
	}
	if provider == nil {
		return nil
	}
	t.Tracer, t.tracing = provider.Tracer(scopeName), true
	return nil
}

// traceResource describes the process; OTEL_RESOURCE_ATTRIBUTES and
// OTEL_SERVICE_NAME win over the given name.
func traceResource(service string) (*sdkresource.Resource, error) {
	named, err := sdkresource.Merge(sdkresource.Default(), sdkresource.NewSchemaless(attribute.String("service.name", service)))
	if err != nil {
		return nil, err
	}
	return sdkresource.Merge(named, sdkresource.Environment())
}

// Nop returns telemetry that discards everything. It has a registry of its own, so
// that packages need not ask whether there is one.
func Nop() *Telemetry {
	discard := slog.New(slog.DiscardHandler)
	return &Telemetry{
		Logger:   discard,
		base:     discard,
		Registry: prometheus.NewRegistry(),
		Tracer:   noop.NewTracerProvider().Tracer(scopeName),
		shutdown: func(context.Context) error { return nil },
	}
}

// For returns the same telemetry under the name of another service of the process:
// logs carry that name, the registry and the tracer are shared.
func (t *Telemetry) For(service string) *Telemetry {
	c := *t
	c.service, c.shutdown = service, func(context.Context) error { return nil }
	c.Logger = t.base.With(KeyService, service)
	return &c
}

// Service is the name that metrics carry as label "service".
func (t *Telemetry) Service() string { return t.service }

// Shutdown exports what is still in memory.
func (t *Telemetry) Shutdown(ctx context.Context) error { return t.shutdown(ctx) }
