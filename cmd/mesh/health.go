package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"syscall"

	"github.com/ordermesh/ordermesh/bus/telemetry"
)

// component is one thing that must work for the process to be ready.
type component struct {
	name     string
	check    func() error
	troubles func() []string // what is wrong with it that does not keep it from work; may be nil
}

// health answers /livez, /readyz and /metrics for one process.
type health struct {
	components []component
	telemetry  *telemetry.Telemetry
	draining   atomic.Bool
}

func newHealth(t *telemetry.Telemetry, services []*hosted, more ...component) *health {
	h := &health{telemetry: t, components: more}
	for _, s := range services {
		h.components = append(h.components, component{s.desc.Name, s.check, s.troubles})
	}
	return h
}

func (h *health) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { reply(w, http.StatusOK, "alive\n") })
	mux.HandleFunc("GET /readyz", h.readyz)
	mux.Handle("GET /metrics", h.telemetry.Handler())
	return mux
}

// readyz says whether to send work here; with ?verbose it lists every component,
// and what is wrong that does not keep one from its work, such as a view that stands
// still.
func (h *health) readyz(w http.ResponseWriter, r *http.Request) {
	status, verdict, details := http.StatusOK, "ready", ""
	if h.draining.Load() {
		status, verdict = http.StatusServiceUnavailable, "draining"
	}
	for _, c := range h.components {
		if err := c.check(); err != nil {
			details += fmt.Sprintf("[-] %s: %v\n", c.name, err)
			if status == http.StatusOK {
				status, verdict = http.StatusServiceUnavailable, "not ready"
			}
			continue
		}
		details += fmt.Sprintf("[+] %s\n", c.name)
		if c.troubles == nil {
			continue
		}
		for _, trouble := range c.troubles() {
			details += fmt.Sprintf("[!] %s: %s\n", c.name, trouble)
		}
	}
	if !r.URL.Query().Has("verbose") {
		details = ""
	}
	reply(w, status, details+verdict+"\n")
}

func reply(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text)) // the client may be gone
}

// webServer serves a handler on a listener that was opened before anything else
// was started, so that a taken port is found first.
type webServer struct {
	listener net.Listener
	server   *http.Server
}

// listenHTTP opens the address of a flag; "" is no HTTP at all and gives nil.
func listenHTTP(ctx context.Context, address, flag string) (*webServer, error) {
	if address == "" {
		return nil, nil //nolint:nilnil // no address, no server: both are asked for
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, usagef("%s is taken by another program: stop it or choose another address with %s", address, flag)
	}
	if err != nil {
		return nil, usagef("cannot serve HTTP on %q (%w): choose another address with %s", address, err, flag)
	}
	return &webServer{listener: listener}, nil
}

// url is where to reach the server; "" for none.
func (s *webServer) url() string {
	if s == nil {
		return ""
	}
	return "http://" + s.listener.Addr().String()
}

// start serves until stop is called.
func (s *webServer) start(handler http.Handler, log *slog.Logger) {
	if s == nil {
		return
	}
	s.server = newServer(handler, log)
	go func() { _ = s.server.Serve(s.listener) }() // ends with stop
}

// stop closes the port and lets running answers finish for a moment.
func (s *webServer) stop() {
	switch {
	case s == nil:
	case s.server == nil:
		_ = s.listener.Close()
	default:
		ctx, cancel := context.WithTimeout(context.Background(), lastSteps/2)
		defer cancel()
		if s.server.Shutdown(ctx) != nil {
			_ = s.server.Close()
		}
	}
}
