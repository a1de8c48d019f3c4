package chaos

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ordermesh/ordermesh/bus/contract"
)

const tryTimeout = 5 * time.Second

// Client calls a mesh that comes and goes, with nothing but NATS and JSON.
type Client struct {
	nc *nats.Conn
	js jetstream.JetStream
	// Internal counts answers with code internal: a defect, even if it heals.
	Internal atomic.Int64
	// Tries counts requests, repeated ones included.
	Tries atomic.Int64

	mu   sync.Mutex
	lost chan struct{} // closed when the connection is lost, so that no try waits for a dead server
}

// Dial returns a client that connects as soon as a server listens and again each
// time one comes back. opts say as whom, where that matters.
func Dial(url string, opts ...nats.Option) (*Client, error) {
	c := &Client{lost: make(chan struct{})}
	nc, err := nats.Connect(url, append([]nats.Option{nats.Name("chaos"),
		nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.ReconnectWait(20 * time.Millisecond),
		nats.PingInterval(time.Second), nats.MaxPingsOutstanding(3), // a frozen server is left
		nats.ReconnectJitter(0, 0), nats.ReconnectBufSize(-1), nats.IgnoreAuthErrorAbort(),
		nats.DisconnectErrHandler(func(*nats.Conn, error) { c.disconnected() }),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}), // each shows as a try that fails
	}, opts...)...)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", url, err)
	}
	c.nc = nc
	if c.js, err = jetstream.New(nc); err != nil {
		nc.Close()
		return nil, fmt.Errorf("connect to %s: %w", url, err)
	}
	return c, nil
}

func (c *Client) disconnected() {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.lost)
	c.lost = make(chan struct{})
}

// whileConnected returns a context that ends when the connection is lost.
func (c *Client) whileConnected(ctx context.Context) (context.Context, context.CancelFunc) {
	c.mu.Lock()
	lost := c.lost
	c.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	go func() {
		select {
		case <-lost:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// JetStream gives access to the streams.
func (c *Client) JetStream() jetstream.JetStream { return c.js }

// NATS is the connection itself.
func (c *Client) NATS() *nats.Conn { return c.nc }

// Close ends the connection.
func (c *Client) Close() {
	c.nc.Close()
}

// Call asks once. A *contract.Error is the service's answer; any other error means
// that nobody answered, and whether the request was carried out is unknown.
func (c *Client) Call(ctx context.Context, subject, key string, request, response any) error {
	return c.CallWithin(ctx, 0, subject, key, request, response)
}

// CallWithin is Call that tells the service how much time it has; 0 says nothing.
func (c *Client) CallWithin(ctx context.Context, within time.Duration, subject, key string, request, response any) error {
	body, err := contract.Marshal(request)
	if err != nil {
		return fmt.Errorf("encode the request to %s: %w", subject, err)
	}
	msg := &nats.Msg{Subject: subject, Data: body, Header: nats.Header{}}
	if key != "" {
		msg.Header.Set(contract.HeaderCommand, key)
	}
	if within > 0 {
		msg.Header.Set(contract.HeaderTimeout, strconv.FormatInt(within.Milliseconds(), 10))
	}
	ctx, cancel := c.whileConnected(ctx)
	defer cancel()
	c.Tries.Add(1)
	answer, err := c.nc.RequestMsgWithContext(ctx, msg)
	if err != nil {
		return fmt.Errorf("%s: %w", subject, err)
	}
	if answer.Header.Get(contract.HeaderErrorCode) != "" {
		return contract.DecodeError(answer.Data, answer.Header.Get(contract.HeaderError))
	}
	if response == nil {
		return nil
	}
	return contract.UnmarshalLenient(answer.Data, response)
}

// Insist repeats a call with the same key until the answer is final: success, or a
// refusal that repeating cannot change.
func (c *Client) Insist(ctx context.Context, subject, key string, request, response any) error {
	pause := 5 * time.Millisecond
	for {
		err := c.Call(ctx, subject, key, request, response)
		if err == nil || contract.IsRefusal(err) {
			return err
		}
		var answer *contract.Error
		if errors.As(err, &answer) && answer.Code == contract.Internal {
			c.Internal.Add(1)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("gave up: %w (last: %w)", ctx.Err(), err)
		case <-time.After(pause):
			pause = min(2*pause, 250*time.Millisecond)
		}
	}
}
