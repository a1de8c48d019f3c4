package event

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ordermesh/ordermesh/bus/telemetry"
)

// metrics of one consumer, children resolved once.
type metrics struct {
	outcomes [4]prometheus.Counter // by outcomeKind
	duration prometheus.Observer
	dead     *prometheus.CounterVec // by cause
	foreign  prometheus.Counter
	restarts prometheus.Counter
	lag      prometheus.Gauge
	inFlight prometheus.Gauge

	delivered atomic.Uint64 // messages from the server
	pending   atomic.Uint64 // messages that the server has and has not delivered, by its last word
}

func newMetrics(tel *telemetry.Telemetry, stream, consumer string) *metrics {
	labels := prometheus.Labels{"stream": stream, "consumer": consumer}
	outcomes := tel.Counter("event_handled_total", "Events handled, by outcome.", "stream", "consumer", "outcome").MustCurryWith(labels)
	m := &metrics{
		duration: tel.Histogram("event_handler_seconds", "How long a handler runs for one event.", telemetry.Latency(), "stream", "consumer").With(labels),
		dead:     tel.Counter("event_dead_letters_total", "Events given up, by cause.", "stream", "consumer", "cause").MustCurryWith(labels),
		foreign:  tel.Counter("event_foreign_total", "Messages on an entity's subject that are not commits.", "stream", "consumer").With(labels),
		restarts: tel.Counter("event_pull_restarts_total", "How often a pull had stalled or its consumer was gone.", "stream", "consumer").With(labels),
		lag:      tel.Gauge("event_lag_messages", "Messages that the stream has and the consumer has not delivered.", "stream", "consumer").With(labels),
		inFlight: tel.Gauge("event_in_flight_messages", "Messages that this process holds.", "stream", "consumer").With(labels),
	}
	for kind, name := range map[outcomeKind]string{kindDone: "done", kindRetry: "retry", kindLater: "later", kindReject: "reject"} {
		m.outcomes[kind] = outcomes.WithLabelValues(name)
	}
	return m
}
