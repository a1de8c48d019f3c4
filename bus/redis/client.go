package redis

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// ErrURL refuses a URL. What is wrong with it is not said: it may have a password in it.
var ErrURL = errors.New("the URL of Redis cannot be used: write it as redis://user:password@host:6379/0, rediss://… for TLS or unix:///path")

// DefaultPrefix is what the names of all our keys begin with.
const DefaultPrefix = "mesh:"

const (
	connections  = 64
	dialTimeout  = time.Second
	replyTimeout = time.Second // where a caller's context says nothing shorter
)

// Client is a pool of connections to one Redis.
type Client struct {
	rdb    *redis.Client
	prefix string
}

// Option refines a client.
type Option func(*Client) error

// WithPrefix begins the names of all keys otherwise, for several meshes in one Redis.
func WithPrefix(prefix string) Option {
	return func(c *Client) error {
		c.prefix = prefix
		if prefix == "" || len(prefix) > 100 {
			return errors.New("redis: a prefix has 1 to 100 bytes")
		}
		return nil
	}
}

// quiet keeps the client library from writing to the process's standard error: what
// fails is counted and told by whoever asked.
type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}

var silence = sync.OnceFunc(func() { redis.SetLogger(quiet{}) })

// Open prepares connections to the Redis of a URL. It connects to nothing: a Redis that
// is down is a Redis that may come back.
func Open(url string, opts ...Option) (*Client, error) {
	o, err := redis.ParseURL(url)
	if err != nil {
		return nil, ErrURL
	}
	silence()
	o.Protocol, o.DisableIdentity = 2, true
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	o.MaxRetries, o.DialerRetries = -1, 1
	o.ContextTimeoutEnabled = true
	if !strings.Contains(url, "pool_size") {
		o.PoolSize = connections
	}
	if !strings.Contains(url, "dial_timeout") {
		o.DialTimeout = dialTimeout
	}
	if !strings.Contains(url, "read_timeout") {
		o.ReadTimeout = replyTimeout
	}
	if !strings.Contains(url, "write_timeout") {
		o.WriteTimeout = replyTimeout
	}
	c := &Client{rdb: redis.NewClient(o), prefix: DefaultPrefix}
	for _, opt := range opts {
		if err := opt(c); err != nil {
			return nil, errors.Join(err, c.Close())
		}
	}
	return c, nil
}

// Ping reports whether Redis answers.
func (c *Client) Ping(ctx context.Context) error {
	if err := c.rdb.Ping(ctx).Err(); err != nil {
		return fmt.Errorf("the Redis does not answer: %w", err)
	}
	return nil
}

// Close ends the connections.
func (c *Client) Close() error { return c.rdb.Close() }
