package bus

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strconv"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
)

// What was written arrives in order, also what was written just before closing.
func TestWhatIsWrittenArrivesInOrder(t *testing.T) {
	t.Parallel()
	ours, theirs := net.Pipe()
	c := newBatchConn(ours)
	arrived := make(chan []byte, 1)
	go func() {
		all, _ := io.ReadAll(theirs)
		arrived <- all
	}()
	var want bytes.Buffer
	for i := range 10_000 {
		line := []byte(strconv.Itoa(i) + "\n")
		want.Write(line)
		if n, err := c.Write(line); err != nil || n != len(line) {
			t.Fatalf("wrote %d of %d bytes: %v", n, len(line), err)
		}
		clear(line) // the caller's buffer is its own again
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if got := <-arrived; !bytes.Equal(got, want.Bytes()) {
		t.Errorf("%d bytes arrived, want %d in order", len(got), want.Len())
	}
	if _, err := c.Write([]byte("late")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a write after closing: %v", err)
	}
}

// Who reads from a connection that cannot be written to hears of it.
func TestABrokenWriteEndsTheReader(t *testing.T) {
	t.Parallel()
	ours, theirs := net.Pipe()
	broken := errors.New("broken")
	c := newBatchConn(brokenConn{ours, broken})
	if _, err := c.Write([]byte("lost")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("read from a broken connection")
	}
	<-c.ended
	if _, err := c.Write([]byte("more")); !errors.Is(err, broken) {
		t.Errorf("a write after a broken one: %v", err)
	}
	_ = c.Close()
	_ = theirs.Close()
}

type brokenConn struct {
	net.Conn
	err error
}

func (b brokenConn) Write([]byte) (int, error) { return 0, b.err }

// A peer that reads nothing holds up writers beyond the backlog; closing lets them go.
func TestABacklogEnds(t *testing.T) {
	t.Parallel()
	ours, theirs := net.Pipe()
	defer func() { _ = theirs.Close() }()
	c := newBatchConn(ours)
	chunk := make([]byte, writeBacklog/4)
	var writing sync.WaitGroup
	full := make(chan struct{})
	writing.Go(func() {
		for i := 0; ; i++ {
			if i == 4 {
				close(full) // as much as may wait for sure
			}
			if _, err := c.Write(chunk); err != nil {
				return
			}
		}
	})
	<-full
	_ = c.Close()
	writing.Wait()
}

// The client library forgets a connection whose greeting failed: the next dial ends it.
func TestADialGivesUpTheConnectionBefore(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	d := &dialer{}
	forgotten, err := d.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	current, err := d.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = current.Close() }()
	c, ok := forgotten.(*batchConn)
	if !ok {
		t.Fatalf("dialled a %T", forgotten)
	}
	<-c.ended
	if _, err := forgotten.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a write to the connection that was given up: %v", err)
	}
	if _, err := current.Write([]byte("x")); err != nil {
		t.Errorf("a write to the present one: %v", err)
	}
}

// pipes hands out one end of a pipe for each dial.
type pipes struct{ made []net.Conn }

func (p *pipes) InProcessConn() (net.Conn, error) {
	ours, theirs := net.Pipe()
	p.made = append(p.made, theirs)
	return ours, nil
}

// A connection to a server in the process writes like any other, unless somebody dials in
// a way of their own.
func TestAConnectionInTheProcessIsBatched(t *testing.T) {
	t.Parallel()
	server := &pipes{}
	for _, batched := range []bool{true, false} {
		o := nats.Options{InProcessServer: server, CustomDialer: &dialer{}}
		if !batched {
			o.CustomDialer = nil
		}
		if err := batchInProcess(&o); err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second gives up the first
			conn, err := o.InProcessServer.InProcessConn()
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			if _, ok := conn.(*batchConn); ok != batched {
				t.Errorf("connected with a %T", conn)
			}
		}
	}
	if n, err := server.made[0].Read(make([]byte, 1)); err == nil {
		t.Errorf("read %d bytes from a connection that was given up", n)
	}
}
