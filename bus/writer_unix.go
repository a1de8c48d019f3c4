//go:build unix

package bus

import (
	"net"
	"syscall"
)

// quickWriter writes to a socket what it takes without waiting. It is for one goroutine
// at a time.
type quickWriter struct {
	raw  syscall.RawConn
	try  func(fd uintptr) bool
	data []byte
	n    int
}

// newQuickWriter returns nil for what is no socket.
func newQuickWriter(conn net.Conn) *quickWriter {
	socket, ok := conn.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return nil
	}
	w := &quickWriter{raw: raw}
	w.try = func(fd uintptr) bool {
		w.n, _ = syscall.Write(int(fd), w.data)
		return true
	}
	return w
}

// write returns how many bytes are on their way. An error shows at the next write that
// waits.
func (w *quickWriter) write(p []byte) int {
	w.data, w.n = p, 0
	_ = w.raw.Write(w.try)
	w.data = nil
	return max(w.n, 0)
}
