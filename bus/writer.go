package bus

import (
	"net"
	"runtime"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// writeBacklog is how many bytes may wait for the network before whoever
	// publishes has to wait, too.
	writeBacklog = 1 << 20
	// keptBuffer is the largest buffer that is kept for the next write.
	keptBuffer = 256 << 10
	// writeTimeout bounds one write to the network; the deadline is renewed when half
	// of it has passed, as setting it costs as much as a small write saves.
	writeTimeout = time.Minute
	// closeTimeout bounds what closing waits for.
	closeTimeout = time.Second
)

// dialer connects one nats.Conn with a batchConn in between.
//
// nats.go forgets a connection whose greeting fails while it reconnects and leaves it
// to the garbage collector; a goroutine would keep it for ever. There is one connection
// at a time, so each dial gives up the one before.
type dialer struct {
	net.Dialer

	mu   sync.Mutex
	last *batchConn
}

// Dial is net.Dialer's.
func (d *dialer) Dial(network, address string) (net.Conn, error) {
	conn, err := d.Dialer.Dial(network, address)
	if err != nil {
		return nil, err
	}
	return d.batch(conn), nil
}

// batch gives up the connection before and puts a batchConn on this one.
func (d *dialer) batch(conn net.Conn) net.Conn {
	c := newBatchConn(conn)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.last != nil {
		d.last.abandon()
	}
	d.last = c
	return c
}

// batchInProcess is an option that does for a connection to a server in the process what
// the dialer does for others.
func batchInProcess(o *nats.Options) error {
	if d, ok := o.CustomDialer.(*dialer); ok && o.InProcessServer != nil {
		o.InProcessServer = &inProcess{server: o.InProcessServer, dialer: d}
	}
	return nil
}

// inProcess connects with a batchConn in between.
type inProcess struct {
	server nats.InProcessConnProvider
	dialer *dialer
}

// InProcessConn is the server's.
func (p *inProcess) InProcessConn() (net.Conn, error) {
	conn, err := p.server.InProcessConn()
	if err != nil {
		return nil, err
	}
	return p.dialer.batch(conn), nil
}

// batchConn lets a goroutine of its own do the writing, in the order of the calls.
//
// nats.go writes with the connection's lock held, and its flusher runs as soon as the
// first publisher waits: under load that is one message per system call, with all
// other publishers waiting for it. Here a write is a copy, and before the goroutine
// takes what has gathered it lets those run who are about to add to it. A request
// costs a third less, and an idle connection loses nothing.
//
// What was written and not sent when the connection breaks is lost, like what lies in
// a socket's buffer: nobody may conclude from a write that something arrived. An error
// closes the connection, so that its reader hears of it at once.
type batchConn struct {
	net.Conn
	ended chan struct{} // the goroutine has

	mu       sync.Mutex
	changed  sync.Cond // pending, sending, closing or err
	pending  []byte    // written and not taken by the goroutine
	spare    []byte    // empty, for pending
	sending  bool      // the goroutine is about to take or send
	closing  bool
	deadline time.Time // of writes to the network
	err      error     // why nothing can be written any more
}

func newBatchConn(conn net.Conn) *batchConn {
	c := &batchConn{Conn: conn, ended: make(chan struct{})}
	c.changed.L = &c.mu
	go c.send()
	return c
}

// Write takes a copy of p. It waits only while much is waiting already.
func (c *batchConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.pending) > writeBacklog && c.err == nil && !c.closing {
		c.changed.Wait()
	}
	switch {
	case c.err != nil:
		return 0, c.err
	case c.closing:
		return 0, net.ErrClosed
	}
	c.pending = append(c.pending, p...)
	if !c.sending {
		c.changed.Broadcast()
	}
	return len(p), nil
}

// send writes to the network until the connection is closed or broken.
func (c *batchConn) send() {
	defer close(c.ended)
	for c.await() {
		runtime.Gosched()
		batch := c.take()
		_, err := c.Conn.Write(batch)
		c.sent(batch, err)
		if err != nil {
			_ = c.Conn.Close()
			return
		}
	}
}

// await waits for something to send; false when there will be nothing more.
func (c *batchConn) await() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.pending) == 0 && !c.closing {
		c.changed.Wait()
	}
	c.sending = len(c.pending) > 0
	return c.sending
}

// take returns what has gathered.
func (c *batchConn) take() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); !c.closing && c.deadline.Sub(now) < writeTimeout/2 {
		c.deadline = now.Add(writeTimeout)
		_ = c.Conn.SetWriteDeadline(c.deadline) // an error comes again with the write
	}
	batch := c.pending
	c.pending, c.spare = c.spare, nil
	return batch
}

// sent notes how the write of a batch ended.
func (c *batchConn) sent(batch []byte, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sending, c.err = false, err
	if cap(batch) <= keptBuffer {
		c.spare = batch[:0]
	}
	c.changed.Broadcast()
}

// Close sends what was written, if that goes quickly, and closes.
func (c *batchConn) Close() error {
	c.mu.Lock()
	if !c.closing {
		c.closing = true
		_ = c.Conn.SetWriteDeadline(time.Now().Add(closeTimeout)) // an error comes again with the write
		c.changed.Broadcast()
	}
	c.mu.Unlock()
	<-c.ended
	return c.Conn.Close()
}

// abandon closes without sending what was written.
func (c *batchConn) abandon() {
	c.mu.Lock()
	c.closing, c.pending = true, nil
	c.changed.Broadcast()
	c.mu.Unlock()
	_ = c.Conn.Close() // it may be closed already
}

// SetDeadline bounds reads: writes to the network have a time-out of their own.
func (c *batchConn) SetDeadline(t time.Time) error { return c.SetReadDeadline(t) }

// SetWriteDeadline does nothing, see SetDeadline.
func (c *batchConn) SetWriteDeadline(time.Time) error { return nil }
