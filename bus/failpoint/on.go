//go:build failpoint

package failpoint

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

// Enabled reports whether this build can crash on purpose.
const Enabled = true

var armed = parse(os.Getenv("MESH_FAILPOINT"))

type point struct {
	name string
	left atomic.Int64
}

// parse reads "<name>" or "<name>:<n>": crash at the n-th time, counted from 1.
// "list" prints the name of each point as it is passed.
func parse(spec string) *point {
	name, count, _ := strings.Cut(spec, ":")
	p := &point{name: name}
	n, err := strconv.ParseInt(count, 10, 64)
	if err != nil || n < 1 {
		n = 1
	}
	p.left.Store(n)
	return p
}

// Hit kills the process with SIGKILL when the armed point is reached often enough.
func Hit(name string) {
	switch armed.name {
	case "":
		return
	case "list":
		fmt.Fprintln(os.Stderr, "failpoint:", name)
	case name:
		if armed.left.Add(-1) == 0 {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
}
