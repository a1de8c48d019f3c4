package rpc

import (
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/micro"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

// endpoint is one method of a server with its numbers.
type endpoint struct {
	info    contract.MethodInfo
	name    string // orders.place
	subject string
	invoke  invocation

	requests, errors, busy atomic.Int64 // busy: nanoseconds spent in handlers
	shorts                 atomic.Int32 // 0..trust: recent handlers that were short
	lastError              atomic.Pointer[contract.Error]
	seconds                prometheus.Observer
	failures               *prometheus.CounterVec
}

type serverMetrics struct {
	seconds  *prometheus.HistogramVec
	failures *prometheus.CounterVec
}

func newServerMetrics(t *telemetry.Telemetry) serverMetrics {
	return serverMetrics{
		seconds: t.Histogram("rpc_server_seconds", "Time from a request's arrival to its reply, waiting included.",
			telemetry.Latency(), "method"),
		failures: t.Counter("rpc_server_errors_total", "Requests answered with an error, by code.", "method", "code"),
	}
}

func newEndpoint(info contract.MethodInfo, invoke invocation, m serverMetrics) *endpoint {
	name := info.FullName()
	return &endpoint{
		info: info, name: name, subject: info.Subject(), invoke: invoke,
		seconds:  m.seconds.WithLabelValues(name),
		failures: m.failures.MustCurryWith(prometheus.Labels{"method": name}),
	}
}

const (
	// shortHandler is what a handler takes that waits for nobody: decode, look into
	// memory, encode. Longer ones are worth a goroutine of their own.
	shortHandler = 40 * time.Microsecond
	// trust bounds the count of short handlers; a method is short above half of it.
	trust = 32
	// distrust is what a long handler takes off: more than one in five, and the
	// method is long; a pause of the machine now and then is forgiven.
	distrust = 4
)

// short reports whether the method's handlers are short as a rule. A method that
// has not been called is taken for long.
func (e *endpoint) short() bool { return e.shorts.Load() > trust/2 }

// observe counts one request: what its handler took, what its caller waited for,
// and how it ended.
func (e *endpoint) observe(handler, total time.Duration, refusal *contract.Error) {
	e.busy.Add(int64(handler))
	switch n := e.shorts.Load(); { // two updates at once may lose one: it does not matter
	case handler >= shortHandler && n > 0:
		e.shorts.Store(max(n-distrust, 0))
	case handler < shortHandler && n < trust:
		e.shorts.Store(n + 1)
	}
	e.count(total, refusal)
}

// stuck is called when a handler that was taken for short holds up the reader.
func (e *endpoint) stuck() { e.shorts.Store(0) }

// refused counts a request that never reached its handler.
func (e *endpoint) refused(refusal *contract.Error, total time.Duration) { e.count(total, refusal) }

func (e *endpoint) count(total time.Duration, refusal *contract.Error) {
	e.requests.Add(1)
	e.seconds.Observe(total.Seconds())
	if refusal != nil {
		e.errors.Add(1)
		e.lastError.Store(refusal)
		e.failures.WithLabelValues(refusal.Code.String()).Inc()
	}
}

// average is the mean time of a handler.
func (e *endpoint) average() time.Duration {
	n := e.requests.Load()
	if n == 0 {
		return 0
	}
	return time.Duration(e.busy.Load() / n)
}

// label is the endpoint's name on $SRV, where a dot is not allowed.
func (e *endpoint) label() string {
	_, method, _ := strings.Cut(e.name, ".")
	return strings.ReplaceAll(method, ".", "_")
}

func (e *endpoint) micro(queue string) micro.EndpointInfo {
	meta := map[string]string{
		"idempotent": fmt.Sprint(e.info.Idempotent),
		"priority":   e.info.Priority.String(),
		"request":    e.info.Request.String(),
		"response":   e.info.Response.String(),
	}
	if e.info.Doc != "" {
		meta["doc"] = e.info.Doc
	}
	return micro.EndpointInfo{Name: e.label(), Subject: e.subject, QueueGroup: queue, Metadata: meta}
}

func (e *endpoint) stats(queue string) *micro.EndpointStats {
	s := &micro.EndpointStats{
		Name: e.label(), Subject: e.subject, QueueGroup: queue,
		NumRequests: int(e.requests.Load()), NumErrors: int(e.errors.Load()),
		ProcessingTime: time.Duration(e.busy.Load()), AverageProcessingTime: e.average(),
	}
	if last := e.lastError.Load(); last != nil {
		s.LastError = fmt.Sprintf("%d:%s", last.Code, headerText(last.Error()))
	}
	return s
}
