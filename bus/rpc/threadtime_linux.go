package rpc

import (
	"bytes"
	"strconv"
	"syscall"
	"time"
)

// threadTime is the processor time that the calling thread has used, and how long it has
// waited for a processor while it could run: 0 on kernels that do not tell.
func threadTime() (used, delayed time.Duration, ok bool) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_THREAD, &u); err != nil {
		return 0, 0, false
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), runDelay(), true
}

// runDelay is the second number of the thread's schedstat.
func runDelay() time.Duration {
	file, err := syscall.Open("/proc/thread-self/schedstat", syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return 0
	}
	defer syscall.Close(file) //nolint:errcheck // it was only read
	var buf [64]byte
	n, err := syscall.Read(file, buf[:])
	if err != nil {
		return 0
	}
	fields := bytes.Fields(buf[:n])
	if len(fields) < 2 {
		return 0
	}
	ns, err := strconv.ParseInt(string(fields[1]), 10, 64)
	if err != nil {
		return 0
	}
	return time.Duration(ns)
}
