package bus

import (
	"context"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

// dialTimeout bounds one try to connect to one address.
const dialTimeout = 2 * time.Second

// DefaultURL is where Dial looks when Config.URL is empty.
const DefaultURL = nats.DefaultURL

// Config says where and as whom to connect. Only Service is required.
type Config struct {
	URL       string               // comma-separated server addresses; "" means DefaultURL
	Service   string               // names the connection and its inbox prefix; a valid id
	User      string               // with Password: a user of the server
	Password  string               //
	Creds     string               // path of a credentials file (JWT and seed), instead of a user; read at every connect
	TLS       TLS                  // zero: as the URL and the server say, with the system's CAs
	Telemetry *telemetry.Telemetry // nil discards everything
	Options   []nats.Option        // applied last
}

// Conn is one service's connection. It is safe for concurrent use.
type Conn struct {
	service   string
	nc        *nats.Conn
	js        jetstream.JetStream
	telemetry *telemetry.Telemetry
	appender  *Appender
	closed    chan struct{}
	lost      atomic.Uint64

	mu        sync.Mutex
	nextWatch int
	watchers  map[int]func(Denied)
	reports   map[string]*func() any
	refused   string // why the last try to reconnect failed
}

// Denied reports that the server refused a subject for lack of permission.
type Denied struct {
	Op      string // "publish" or "subscription"
	Subject string
}

// Error says what was refused and where to allow it.
func (d Denied) Error() string {
	return fmt.Sprintf("the server denied the %s to %q: the service's descriptor must name it", d.Op, d.Subject)
}

// Dial connects. While nobody listens at the address it keeps trying until ctx
// ends, because services start in any order. What waiting does not change ends it at once
// with [ErrRefused]: a refused login, a certificate that is not trusted, expired
// credentials. A connection that stands and is lost tries for ever, with the files as they
// are then, and logs why it is refused. Errors never show a password.
func Dial(ctx context.Context, cfg Config) (*Conn, error) {
	if !contract.ValidID(cfg.Service) {
		return nil, fmt.Errorf("bus: service name %q cannot be used: 1 to %d of A-Z a-z 0-9 _ -", cfg.Service, contract.MaxID)
	}
	if cfg.URL == "" {
		cfg.URL = DefaultURL
	}
	if cfg.Telemetry == nil {
		cfg.Telemetry = telemetry.Nop()
	}
	c := &Conn{service: cfg.Service, telemetry: cfg.Telemetry, closed: make(chan struct{}), watchers: map[int]func(Denied){}}
	if err := c.connect(ctx, cfg); err != nil {
		return nil, err
	}
	js, err := jetstream.New(c.nc)
	if err != nil {
		c.nc.Close()
		return nil, fmt.Errorf("bus: %w", err)
	}
	c.js = &deniable{js, c}
	appender, err := newAppender(c)
	if err != nil {
		c.nc.Close()
		return nil, err
	}
	c.mu.Lock() // the connection may be lost already
	defer c.mu.Unlock()
	c.appender = appender
	return c, nil
}

// connect dials with pauses that grow from 50 ms to 1 s.
func (c *Conn) connect(ctx context.Context, cfg Config) error {
	pause := 50 * time.Millisecond
	for {
		if err := cfg.check(time.Now()); err != nil {
			return err
		}
		nc, err := nats.Connect(cfg.URL, c.options(cfg)...)
		if err == nil {
			c.nc = nc
			return nil
		}
		if refused := cfg.refuses(err); refused != nil {
			return refused
		}
		if !retryDial(err) {
			return fmt.Errorf("connect to NATS at %s as %s: %w", Redacted(cfg.URL), cfg.Service, withoutURL(err))
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("connect to NATS at %s: %w; is the server running there?", Redacted(cfg.URL), withoutURL(err))
		case <-time.After(pause):
			pause = min(2*pause, time.Second)
		}
	}
}

func retryDial(err error) bool {
	var netErr interface{ Timeout() bool }
	return errors.Is(err, nats.ErrNoServers) || errors.Is(err, nats.ErrTimeout) ||
		errors.Is(err, nats.ErrConnectionClosed) || errors.As(err, &netErr)
}

func (c *Conn) options(cfg Config) []nats.Option {
	opts := []nats.Option{
		nats.Name(cfg.Service),
		nats.CustomInboxPrefix(contract.InboxPrefix(cfg.Service)),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(100 * time.Millisecond),
		nats.ReconnectJitter(100*time.Millisecond, 200*time.Millisecond),
		nats.Timeout(dialTimeout),
		nats.SetCustomDialer(&dialer{Dialer: net.Dialer{Timeout: dialTimeout}}),
		nats.PingInterval(10 * time.Second),
		nats.ReconnectBufSize(-1), // what cannot be sent now fails now: nothing is stored after its deadline
		nats.ErrorHandler(func(nc *nats.Conn, sub *nats.Subscription, err error) {
			if !c.refusedAgain(cfg, err) {
				c.asyncError(nc, sub, err)
			}
		}),
		nats.IgnoreAuthErrorAbort(), // credentials that were rotated come back as a new file
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) { c.refusedAgain(cfg, err) }),
		nats.DisconnectErrHandler(c.disconnected),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			c.mu.Lock()
			c.refused = ""
			c.mu.Unlock()
			c.telemetry.Logger.Info("connected again", "url", nc.ConnectedUrlRedacted())
		}),
		nats.ClosedHandler(func(*nats.Conn) { close(c.closed) }),
	}
	if cfg.User != "" {
		opts = append(opts, nats.UserInfo(cfg.User, cfg.Password))
	}
	if cfg.Creds != "" {
		opts = append(opts, nats.UserCredentials(cfg.Creds))
	}
	opts = append(opts, cfg.TLS.options()...)
	return append(append(opts, cfg.Options...), batchInProcess)
}

// refusedAgain logs why the connection does not come back, once for each reason in a row;
// false when err is something else.
func (c *Conn) refusedAgain(cfg Config, err error) bool {
	why := cfg.refuses(err)
	if why == nil {
		return false
	}
	if found := cfg.check(time.Now()); found != nil {
		why = found
	}
	c.mu.Lock()
	again := c.refused == why.Error()
	c.refused = why.Error()
	c.mu.Unlock()
	if !again {
		c.telemetry.Logger.Error("the connection is refused, trying on", telemetry.KeyError, why.Error())
	}
	return true
}

// Lost counts how often the connection was lost: between two equal answers everything
// went to the same server.
func (c *Conn) Lost() uint64 { return c.lost.Load() }

func (c *Conn) disconnected(_ *nats.Conn, err error) {
	c.lost.Add(1)
	if err != nil {
		c.telemetry.Logger.Warn("connection lost, reconnecting", telemetry.KeyError, err.Error())
	}
	c.mu.Lock()
	appender := c.appender
	c.mu.Unlock()
	if appender != nil {
		appender.failAll(fmt.Errorf("%w: connection lost", ErrUnknown))
	}
}

var deniedText = regexp.MustCompile(`(?i)permissions violation for (publish|subscription) to "([^"]+)"`)

func (c *Conn) asyncError(_ *nats.Conn, sub *nats.Subscription, err error) {
	if m := deniedText.FindStringSubmatch(err.Error()); m != nil && errors.Is(err, nats.ErrPermissionViolation) {
		d := Denied{Op: strings.ToLower(m[1]), Subject: m[2]}
		c.telemetry.Logger.Error("permission denied", "operation", d.Op, telemetry.KeySubject, d.Subject)
		c.mu.Lock()
		watchers := make([]func(Denied), 0, len(c.watchers))
		for _, w := range c.watchers {
			watchers = append(watchers, w)
		}
		c.mu.Unlock()
		for _, w := range watchers {
			w(d)
		}
		return
	}
	attrs := []any{telemetry.KeyError, err.Error()}
	if sub != nil {
		attrs = append(attrs, telemetry.KeySubject, sub.Subject)
	}
	c.telemetry.Logger.Warn("NATS reported an error", attrs...)
}

// WatchDenied calls f for every subject that the server refuses from now on, until
// stop is called. f runs on the connection's callback goroutine and must not block.
func (c *Conn) WatchDenied(f func(Denied)) (stop func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	id := c.nextWatch
	c.nextWatch++
	c.watchers[id] = f
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.watchers, id)
	}
}

// NATS returns the underlying connection.
func (c *Conn) NATS() *nats.Conn { return c.nc }

// JetStream returns the JetStream context of the connection.
func (c *Conn) JetStream() jetstream.JetStream { return c.js }

// Service is the name given to Dial.
func (c *Conn) Service() string { return c.service }

// Telemetry is where the connection's user logs and measures; never nil.
func (c *Conn) Telemetry() *telemetry.Telemetry { return c.telemetry }

// Appender is the connection's compare-and-append.
func (c *Conn) Appender() *Appender { return c.appender }

// Drain waits for the acknowledgements of appends on their way, lets running
// subscriptions finish, flushes what was published and closes. When ctx ends first the
// connection is closed at once and ctx's error returned.
func (c *Conn) Drain(ctx context.Context) error {
	c.appender.settle(ctx) // draining takes the interest in acknowledgements away
	if err := c.nc.Drain(); err != nil {
		c.Close()
		if errors.Is(err, nats.ErrConnectionClosed) {
			return nil
		}
		return fmt.Errorf("drain the connection: %w", err)
	}
	select {
	case <-c.closed:
		c.appender.close()
		return nil
	case <-ctx.Done():
		c.Close()
		return fmt.Errorf("drain the connection: %w", ctx.Err())
	}
}

// Close ends the connection at once. Appends on their way end with ErrUnknown.
func (c *Conn) Close() {
	c.nc.Close()
	<-c.closed
	c.appender.close()
}
