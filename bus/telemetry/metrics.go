package telemetry

import (
	"errors"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Namespace is the prefix of every metric's name.
const Namespace = "mesh"

// Latency is the set of buckets for durations in seconds: 50 µs for one hop on a
// loopback up to 30 s for an election, about 2.2 times apart.
func Latency() []float64 {
	return []float64{
		.00005, .0001, .00025, .0005, .001, .0025, .005, .01, .025, .05,
		.1, .25, .5, 1, 2.5, 5, 10, 30,
	}
}

// Sizes is the set of buckets for counts such as records in a commit.
func Sizes() []float64 { return []float64{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024} }

// Histogram returns the histogram mesh_<name> with the given buckets and labels;
// the second call for a name returns what the first one made. Resolve its children
// once with WithLabelValues, not for each observation.
func (t *Telemetry) Histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return register(t, prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: Namespace, Name: name, Help: help, Buckets: buckets,
	}, labels))
}

// Counter is [Telemetry.Histogram] for a counter; its name should end in _total.
func (t *Telemetry) Counter(name, help string, labels ...string) *prometheus.CounterVec {
	return register(t, prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: Namespace, Name: name, Help: help,
	}, labels))
}

// Gauge is [Telemetry.Histogram] for a gauge.
func (t *Telemetry) Gauge(name, help string, labels ...string) *prometheus.GaugeVec {
	return register(t, prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Namespace: Namespace, Name: name, Help: help,
	}, labels))
}

// register adds a collector or returns the one that is there. Two collectors that
// share a name and differ otherwise are a programming error and panic.
func register[C prometheus.Collector](t *Telemetry, c C) C {
	err := t.Registry.Register(c)
	if already, ok := errors.AsType[prometheus.AlreadyRegisteredError](err); ok {
		if existing, ok := already.ExistingCollector.(C); ok {
			return existing
		}
	}
	if err != nil {
		panic("telemetry: " + err.Error())
	}
	return c
}

// Handler serves the registry in the Prometheus text format, for /metrics.
func (t *Telemetry) Handler() http.Handler {
	return promhttp.HandlerFor(t.Registry, promhttp.HandlerOpts{Registry: t.Registry})
}
