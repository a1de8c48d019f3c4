package eventstore

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/ordermesh/ordermesh/bus/telemetry"
)

// outcome says how a request ended.
type outcome uint8

const (
	changed outcome = iota
	nothing
	repeated
	refused
	read
	failed
	outcomes
)

var outcomeNames = [outcomes]string{"changed", "nothing", "repeated", "refused", "read", "failed"}

// metrics are resolved once for each entity kind.
type metrics struct {
	requests  [outcomes]prometheus.Counter
	conflicts prometheus.Counter
	resends   prometheus.Counter
	foreign   prometheus.Counter
	group     prometheus.Observer
	append    prometheus.Observer
	load      prometheus.Observer
}

func newMetrics(t *telemetry.Telemetry, entity string) metrics {
	m := metrics{
		conflicts: t.Counter("entity_conflicts_total", "Appends refused because another process appended first.", "entity").WithLabelValues(entity),
		resends:   t.Counter("entity_resends_total", "Appends sent again because their outcome was not clear.", "entity").WithLabelValues(entity),
		foreign:   t.Counter("entity_foreign_messages_total", "Messages on entities' subjects that are no commits.", "entity").WithLabelValues(entity),
		group:     t.Histogram("entity_group_commands", "Commands that share one append.", telemetry.Sizes(), "entity").WithLabelValues(entity),
		append:    t.Histogram("entity_append_seconds", "Time from sending an append until it is stored.", telemetry.Latency(), "entity").WithLabelValues(entity),
		load:      t.Histogram("entity_load_seconds", "Time to load an entity that was not in memory.", telemetry.Latency(), "entity").WithLabelValues(entity),
	}
	requests := t.Counter("entity_requests_total", "Commands and reads of entities by outcome.", "entity", "outcome")
	for i := range m.requests {
		m.requests[i] = requests.WithLabelValues(entity, outcomeNames[i])
	}
	return m
}
