package cache

import (
	"math/rand/v2"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ordermesh/ordermesh/bus/telemetry"
)

// level is where an answer came from.
type level int

const (
	levelNear   level = iota // the process
	levelRemote              // Redis
	levelSource
	levelStale // expired, because the source failed
	levelNone  // an error
	levels
)

var levelNames = [levels]string{"l1", "l2", "source", "stale", "none"}

// Troubles with the remote level.
const (
	troubleRead    = "read"
	troubleWrite   = "write"
	troubleSkipped = "skipped" // the breaker is open, or too many writes are on their way
	troubleGarbage = "garbage" // not one of our records
)

// ageSample is how many near hits go by for each whose age is measured.
const ageSample = 64

type metrics struct {
	answers [levels]prometheus.Counter
	ages    [levels]prometheus.Observer
	trouble map[string]prometheus.Counter
	loads   prometheus.Observer
}

func newMetrics(tel *telemetry.Telemetry, name string) *metrics {
	m := &metrics{trouble: map[string]prometheus.Counter{}}
	answers := tel.Counter("cache_reads_total", "Reads by the level that answered: l1, l2, source, stale, none.", "cache", "level")
	ages := tel.Histogram("cache_age_seconds", "Age of what was answered; one in 64 of level l1.", ageBuckets(), "cache", "level")
	for l := range levels {
		m.answers[l], m.ages[l] = answers.WithLabelValues(name, levelNames[l]), ages.WithLabelValues(name, levelNames[l])
	}
	trouble := tel.Counter("cache_remote_trouble_total", "Uses of the remote level that came to nothing.", "cache", "kind")
	for _, kind := range []string{troubleRead, troubleWrite, troubleSkipped, troubleGarbage} {
		m.trouble[kind] = trouble.WithLabelValues(name, kind)
	}
	m.loads = tel.Histogram("cache_load_seconds", "Reads of the source.", telemetry.Latency(), "cache").WithLabelValues(name)
	return m
}

func ageBuckets() []float64 { return []float64{.001, .01, .1, 1, 10, 60, 300, 3600} }

// near counts a hit on the fast path.
func (m *metrics) near(age int64) {
	m.answers[levelNear].Inc()
	if rand.Uint32()%ageSample == 0 {
		m.ages[levelNear].Observe(time.Duration(age).Seconds())
	}
}

func (m *metrics) answer(l level, age int64) {
	m.answers[l].Inc()
	if l != levelNone {
		m.ages[l].Observe(time.Duration(age).Seconds())
	}
}
