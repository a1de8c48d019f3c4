//go:build !linux

package rpc

import "time"

// threadTime would be the processor time of the calling thread.
func threadTime() (used, delayed time.Duration, ok bool) { return 0, 0, false }
