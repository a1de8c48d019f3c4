package bustest

import (
	"errors"
	"net"
	"sync"
	"testing"
)

// Link is a TCP proxy on loopback for tests of a bad network. What goes through it can be
// held back, thrown away or cut off.
type Link struct {
	listener net.Listener
	to       string

	mu     sync.Mutex
	moved  *sync.Cond // when held changes or a pair is closed
	held   bool
	closed bool
	pairs  map[*pair]bool
	copies sync.WaitGroup
}

// pair is one connection through a link.
type pair struct {
	client, server net.Conn
	deaf           bool // what the server says is thrown away
	cut            bool
}

// NewLink leads to an address until the test ends.
func NewLink(t testing.TB, to string) *Link {
	t.Helper()
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), "tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &Link{listener: listener, to: to, pairs: map[*pair]bool{}}
	l.moved = sync.NewCond(&l.mu)
	l.copies.Go(l.accept)
	t.Cleanup(l.close)
	return l
}

// Addr is where to connect instead of to the link's end.
func (l *Link) Addr() string { return l.listener.Addr().String() }

// Port is the port of Addr.
func (l *Link) Port() int {
	if a, ok := l.listener.Addr().(*net.TCPAddr); ok {
		return a.Port
	}
	return 0
}

// Hold stops everything in both directions, as a network does that has parted: nobody is
// told. New connections are taken and nothing comes out of them.
func (l *Link) Hold() { l.hold(true) }

// Release lets everything go on that was held, and what was sent meanwhile arrive.
func (l *Link) Release() { l.hold(false) }

func (l *Link) hold(held bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held = held
	l.moved.Broadcast()
}

// Deafen throws away what the server says from now on, on the connections that there are.
// What the client says still arrives. Only Cut ends this: bytes are missing.
func (l *Link) Deafen() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for p := range l.pairs {
		p.deaf = true
	}
}

// Cut closes every connection. New ones are as if nothing had been.
func (l *Link) Cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for p := range l.pairs {
		p.close()
	}
	l.moved.Broadcast()
}

func (p *pair) close() {
	p.cut = true
	_ = p.client.Close()
	_ = p.server.Close()
}

func (l *Link) close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	_ = l.listener.Close()
	l.Cut()
	l.copies.Wait()
}

func (l *Link) accept() {
	for {
		client, err := l.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			l.copies.Go(func() { l.connect(client) })
		}
	}
}

// connect opens the far half. While the link is held the far end hears of nobody.
func (l *Link) connect(client net.Conn) {
	l.mu.Lock()
	for l.held && !l.closed {
		l.moved.Wait()
	}
	l.mu.Unlock()
	var dialer net.Dialer
	server, err := dialer.Dial("tcp4", l.to)
	if err != nil {
		_ = client.Close()
		return
	}
	p := &pair{client: client, server: server}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		p.close()
		return
	}
	l.pairs[p] = true
	l.copies.Go(func() { l.pump(p, client, server, false) })
	l.copies.Go(func() { l.pump(p, server, client, true) })
}

// pump copies one direction until either end is closed.
func (l *Link) pump(p *pair, from, to net.Conn, answers bool) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if err != nil || !l.pass(p) {
			break
		}
		l.mu.Lock()
		drop := p.deaf && answers
		l.mu.Unlock()
		if drop {
			continue
		}
		if _, err := to.Write(buf[:n]); err != nil {
			break
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	p.close()
	delete(l.pairs, p)
}

// pass waits while the link is held; false when the connection was cut.
func (l *Link) pass(p *pair) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.held && !p.cut {
		l.moved.Wait()
	}
	return !p.cut
}
