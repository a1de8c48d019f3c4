package gateway

import (
	"log/slog"
	"net/http"
	"time"
)

// Times and sizes of a connection.
const (
	headerTime = 5 * time.Second  // until the headers are there
	readTime   = 15 * time.Second // until the body is there
	writeTime  = readTime + maxTimeout + 5*time.Second
	idleTime   = time.Minute
	maxHeader  = 12 << 10 // net/http takes up to 4 KiB more: 16 in all
)

// NewServer returns an HTTP server with the bounds that the gateway promises. Larger headers
// are answered 431, slow ones not at all. It logs what goes wrong on connections at debug
// level, as it is the clients' affair.
func NewServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: headerTime, ReadTimeout: readTime, WriteTimeout: writeTime, IdleTimeout: idleTime,
		MaxHeaderBytes: maxHeader, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}
