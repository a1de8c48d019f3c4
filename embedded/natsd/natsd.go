package natsd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

const (
	host           = "127.0.0.1"
	defaultPort    = 4222
	defaultMemory  = 128 << 20
	startTimeout   = 20 * time.Second
	globalAccount  = server.DEFAULT_GLOBAL_ACCOUNT
	defaultName    = "ordermesh"
	anyPort        = -1
	responseBudget = 128
	tlsTimeout     = 5 * time.Second // of a handshake
)

// Config says how to run one server. Only StoreDir is required.
type Config struct {
	// Name of the server; default "ordermesh".
	Name string
	// Port on 127.0.0.1; 0 is 4222 and -1 any free port.
	Port int
	// StoreDir holds JetStream's files; it is created when missing.
	StoreDir string
	// MaxMemory and MaxStore bound JetStream in bytes; by default 128 MiB and
	// three quarters of the free disk.
	MaxMemory, MaxStore int64
	// SyncAlways makes every write reach the disk before its acknowledgement: a
	// power cut loses nothing, and throughput falls to a fifth or less.
	SyncAlways bool
	// Users who may connect. Without any, everybody may do everything.
	Users []User
	// DefaultUser names the user that a client without credentials becomes; with
	// users and no default such clients are refused.
	DefaultUser string
	// Operator replaces Users: users are signed by its accounts.
	Operator *Operator
	// TLS is nil for plain text.
	TLS *TLS
	// Logger receives what the server reports; nil discards it. The server's
	// notices are debug lines here: they are about NATS, not about the mesh.
	Logger *slog.Logger `json:"-"`
}

// The ways to fail at start that a caller may want to explain further, for example
// by naming its own flag.
var (
	ErrPortTaken     = errors.New("port taken")
	ErrStoreInUse    = errors.New("store directory in use")
	ErrStoreUnusable = errors.New("store directory not writable")
	ErrConfig        = errors.New("bad server configuration")
)

// reason is a sentence for people that still compares equal to its kind.
type reason struct {
	kind error
	text string
}

func (r *reason) Error() string { return r.text }
func (r *reason) Unwrap() error { return r.kind }

func fail(kind error, format string, args ...any) error {
	return &reason{kind, fmt.Sprintf(format, args...)}
}

// Server is a running nats-server.
type Server struct {
	srv      *server.Server
	lock     *storeLock
	port     int
	accounts []string // whose streams LeadsStream looks at
}

// Start runs a server and returns once it answers.
func Start(cfg Config) (*Server, error) {
	return start(node{Config: cfg})
}

// node is a server with its place in a cluster; the zero place is none.
type node struct {
	Config
	RoutePort  int   `json:"route_port,omitempty"`
	RoutePorts []int `json:"route_ports,omitempty"`
	Detour     bool  `json:"detour,omitempty"` // RoutePorts lead elsewhere first: no node may learn of a shorter way
}

func start(n node) (*Server, error) {
	opts, err := n.options()
	if err != nil {
		return nil, err
	}
	if err := portFree(opts.Port); err != nil {
		return nil, err
	}
	lock, err := lockStore(n.StoreDir)
	if err != nil {
		return nil, err
	}
	if err := n.operate(opts); err != nil {
		return nil, errors.Join(err, lock.release())
	}
	srv, err := launch(opts, n.Logger)
	if err != nil {
		return nil, errors.Join(err, lock.release())
	}
	port := opts.Port
	if addr, ok := srv.Addr().(*net.TCPAddr); ok {
		port = addr.Port
	}
	return &Server{srv: srv, lock: lock, port: port, accounts: n.accountKeys()}, nil
}

// launch starts the server with these options and waits until it answers.
func launch(opts *server.Options, logger *slog.Logger) (*server.Server, error) {
	srv, err := server.NewServer(opts)
	if err != nil {
		return nil, fail(ErrConfig, "the embedded NATS server cannot be configured: %v", err)
	}
	log := newAdapter(logger)
	srv.SetLoggerV2(log, false, false, false)
	srv.Start() // returns when the listener stands or after the first fatal error
	fatal := log.fatal()
	if fatal == "" && srv.ReadyForConnections(startTimeout) {
		return srv, nil
	}
	srv.Shutdown()
	srv.WaitForShutdown()
	if fatal == "" {
		return nil, fmt.Errorf("the embedded NATS server did not answer within %s: look at its log and at the disk that holds %s", startTimeout, opts.StoreDir)
	}
	return nil, fmt.Errorf("the embedded NATS server cannot start: %s", fatal)
}

// URL is where clients connect.
func (s *Server) URL() string { return s.srv.ClientURL() }

// Port is the port that clients connect to.
func (s *Server) Port() int { return s.port }

// InProcessConn connects without a socket, as nats.InProcessServer wants it. Such
// a connection is not authenticated well: a refused login looks like a broken pipe.
func (s *Server) InProcessConn() (net.Conn, error) { return s.srv.InProcessConn() }

// LeadsStream reports whether this server leads the stream, in whatever account it is.
// A single server leads whatever it has.
func (s *Server) LeadsStream(stream string) bool {
	if !s.srv.JetStreamIsClustered() {
		return true
	}
	return slices.ContainsFunc(s.accounts, func(account string) bool { return s.srv.JetStreamIsStreamLeader(account, stream) })
}

// leadsMeta reports whether this server leads its cluster.
func (s *Server) leadsMeta() bool { return s.srv.JetStreamIsLeader() }

// current reports whether this server knows all that the cluster agreed on.
func (s *Server) current() bool { return s.srv.JetStreamIsCurrent() }

// Healthy reports why the server or its JetStream is not in order, nil if it is.
func (s *Server) Healthy() error {
	if h := s.srv.Healthz(&server.HealthzOptions{}); h.Error != "" {
		return fmt.Errorf("the embedded NATS server is not healthy: %s", h.Error)
	}
	return nil
}

// Shutdown stops the server and frees its port and store. It returns ctx's error
// when that ends first; the server then still finishes in the background. A second
// call waits for the first.
func (s *Server) Shutdown(ctx context.Context) error {
	done := make(chan error, 1)
	go func() {
		s.srv.Shutdown()
		s.srv.WaitForShutdown()
		done <- s.lock.release()
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("the embedded NATS server is still stopping: %w", ctx.Err())
	}
}
