package main

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"

	gatewayservice "github.com/ordermesh/ordermesh/services/gateway"
)

// sites are the HTTP listeners of a process: the one for callers, and the one for those who
// operate it. Both may be missing.
type sites struct {
	open, admin *webServer
	local       bool // only this machine can reach them, and all who use it may know everything
}

// listenSites opens the addresses of --http and --admin.
func listenSites(ctx context.Context, open, admin string) (s sites, err error) {
	if s.open, err = listenHTTP(ctx, open, "--http"); err != nil {
		return sites{}, err
	}
	if s.admin, err = listenHTTP(ctx, admin, "--admin"); err != nil {
		s.open.stop()
		return sites{}, err
	}
	return s, nil
}

// start serves. Health is on both. What is only for those who operate the process, its
// metrics and the state of its parts, is on the second; on the first if that is not for
// callers, or if there is no second and nobody else can reach it.
func (s sites) start(h *health, services []*hosted, log *slog.Logger) {
	open, front := h.handler(), frontOf(services)
	switch {
	case front == nil:
	case s.open == nil && !s.local:
		log.Warn("the gateway has no address and answers nobody: give one with --http, such as --http :8080")
	case s.local && s.admin == nil:
		open = beside(front, open, "/livez", "/readyz", "/metrics")
	default:
		open = beside(front, h.outside(), "/livez", "/readyz")
	}
	admin := h.handler()
	if s.local {
		open, admin = onlyLocal(open), onlyLocal(admin)
	}
	s.open.start(open, log)
	s.admin.start(admin, log)
}

// stop closes both ports.
func (s sites) stop() {
	s.open.stop()
	s.admin.stop()
}

// beside serves some paths with own and everything else with front. It is no ServeMux, which
// would redirect the paths that the gateway refuses.
func beside(front, own http.Handler, paths ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if slices.Contains(paths, r.URL.Path) {
			own.ServeHTTP(w, r)
			return
		}
		front.ServeHTTP(w, r)
	})
}

// frontOf finds the service that answers HTTP itself; nil if there is none.
func frontOf(services []*hosted) http.Handler {
	for _, h := range services {
		if h.desc.Name == gatewayName {
			return http.HandlerFunc(h.serveHTTP)
		}
	}
	return nil
}

// serveHTTP passes a request to the service once it is built.
func (h *hosted) serveHTTP(w http.ResponseWriter, r *http.Request) {
	if front := h.front.Load(); front != nil {
		(*front).ServeHTTP(w, r)
		return
	}
	w.Header().Set("Retry-After", "1")
	reply(w, http.StatusServiceUnavailable, "starting\n")
}

// outside is what callers are told about the process: whether it lives and takes work.
func (h *health) outside() http.Handler {
	all := h.handler()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.URL.RawQuery = "" // no ?verbose
		all.ServeHTTP(w, r)
	})
}

// onlyLocal refuses requests that name another host: a page of another site whose name
// leads to this machine is not a user of this machine.
func onlyLocal(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		address, err := netip.ParseAddr(host)
		if host != "localhost" && (err != nil || !address.IsLoopback()) {
			reply(w, http.StatusForbidden, "this is 127.0.0.1 alone: use that name\n")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// newServer has the bounds of the gateway, whatever it serves.
func newServer(h http.Handler, log *slog.Logger) *http.Server {
	return gatewayservice.NewServer(h, log)
}
