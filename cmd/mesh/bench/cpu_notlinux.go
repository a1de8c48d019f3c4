//go:build !linux

package bench

import "time"

// cpuOf is not known on this system.
func cpuOf(int) time.Duration { return 0 }
