package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/telemetry"
	"github.com/ordermesh/ordermesh/contracts/idem"
)

// HeaderRequest names a request in the answer and in every log of the mesh. A caller may
// give one that is an id.
const HeaderRequest = "X-Request-ID"

type metrics struct {
	seconds  *prometheus.HistogramVec
	inFlight prometheus.Gauge
}

func newMetrics(t *telemetry.Telemetry) metrics {
	return metrics{
		seconds:  t.Histogram("http_seconds", "Time of a request of the API.", telemetry.Latency(), "verb", "route", "status"),
		inFlight: t.Gauge("http_in_flight", "Requests of the API that run now.").WithLabelValues(),
	}
}

// serve is what surrounds every answer, outermost first: name → headers → trace → log and
// measure → no panic → bounds → answer.
func (s *Service) serve(pattern string, answer func(*response, *http.Request)) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		began := time.Now()
		w := &response{ResponseWriter: rw, requestID: r.Header.Get(HeaderRequest)}
		if !contract.ValidID(w.requestID) {
			w.requestID = idem.Fresh()
		}
		harden(w.Header())
		w.Header().Set(HeaderRequest, w.requestID)
		if s.draining.Load() {
			w.Header().Set("Connection", "close")
		}
		ctx := telemetry.ExtractTrace(r.Context(), map[string][]string{
			contract.HeaderTrace: r.Header["Traceparent"], "tracestate": r.Header["Tracestate"],
		})
		ctx, span := s.tel.Start(ctx, verb(r)+" "+pattern, trace.SpanKindServer)
		ctx = telemetry.WithActor(ctx, contract.Actor{Request: w.requestID})
		defer func() {
			var failure error
			if w.problem != nil && w.status >= http.StatusInternalServerError {
				failure = w.problem.Error
			}
			span.SetAttributes(attribute.String(telemetry.KeyRequest, w.requestID), attribute.Int(telemetry.KeyStatus, w.status))
			telemetry.End(span, failure)
			s.tell(ctx, w, r, pattern, time.Since(began))
		}()
		defer s.survive(ctx, w)
		s.bounded(w, r.WithContext(ctx), answer)
	})
}

// survive turns a panic into an answer, if there is none yet.
func (s *Service) survive(ctx context.Context, w *response) {
	reason := recover()
	if reason == nil {
		return
	}
	s.tel.Logger.LogAttrs(ctx, slog.LevelError, "a request panicked", slog.String(telemetry.KeyPanic, fmt.Sprint(reason)), telemetry.Stack(1))
	if w.status == 0 {
		w.fail(problemOf(contract.ErrInternal))
	}
}

// bounded answers within the bounds of the instance.
func (s *Service) bounded(w *response, r *http.Request, answer func(*response, *http.Request)) {
	leave, err := s.enter(r.ContentLength > largeBody)
	if err != nil {
		w.Header().Set("Connection", "close") // nobody reads what is still to come
		w.fail(problemOf(err))
		return
	}
	defer leave()
	answer(w, r)
}

// verb is the request's method if it is a usual one: it becomes a label.
func verb(r *http.Request) string {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return r.Method
	}
	return "other"
}

// tell measures a request and writes it into the log.
func (s *Service) tell(ctx context.Context, w *response, r *http.Request, pattern string, took time.Duration) {
	s.metrics.seconds.WithLabelValues(verb(r), pattern, strconv.Itoa(w.status)).Observe(took.Seconds())
	level := slog.LevelInfo
	if w.status >= http.StatusInternalServerError {
		level = slog.LevelWarn
	}
	if !s.tel.Logger.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{
		slog.String(telemetry.KeyVerb, verb(r)), slog.String(telemetry.KeyPath, r.URL.Path[:min(len(r.URL.Path), maxLoggedPath)]),
		slog.Int(telemetry.KeyStatus, w.status), slog.Int(telemetry.KeyBytes, w.size), slog.Duration(telemetry.KeyDuration, took),
	}
	if p := w.problem; p != nil {
		attrs = append(attrs, slog.String(telemetry.KeyReason, p.Reason))
	}
	s.tel.Logger.LogAttrs(ctx, level, "request", attrs...)
}

// maxLoggedPath is how much of a path is logged; that of a route is shorter.
const maxLoggedPath = 200

// answer reads a request, asks its service and passes on what that says.
func (s *Service) answer(w *response, r *http.Request, to *route) {
	actor, err := s.cfg.Identify(r)
	if err != nil {
		w.fail(problemOf(err))
		return
	}
	actor.Request = w.requestID
	q, p := to.read(w, r)
	if p != nil {
		w.fail(p)
		return
	}
	timeout := s.cfg.Settings().Timeout
	if q.timeout > 0 {
		timeout = q.timeout
	}
	ctx, cancel := context.WithTimeout(telemetry.WithActor(r.Context(), actor), timeout)
	defer cancel()
	defer context.AfterFunc(s.work, cancel)()
	body, err := s.call(ctx, to.method, q.body, q.command)
	if err != nil {
		if e := contract.AsError(err); e.Code == contract.Internal {
			s.tel.Logger.LogAttrs(ctx, slog.LevelError, "a call failed",
				slog.String(telemetry.KeyMethod, to.method.FullName()), slog.String(telemetry.KeyError, err.Error()))
		}
		w.fail(problemOf(err))
		return
	}
	w.reply(r, to, body)
}
