package chaos

import (
	"runtime"
	"sync"
	"syscall"
)

// attributes put the child into a group of its own and tie its life to ours.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// spawner is a thread that lives as long as the process. Pdeathsig fires when the
// thread that started the child ends, so children are started by this one alone.
var spawner = sync.OnceValue(func() chan<- func() {
	work := make(chan func())
	go func() {
		runtime.LockOSThread()
		for f := range work {
			f()
		}
	}()
	return work
})

// spawn runs start on the lasting thread.
func spawn(start func() error) error {
	result := make(chan error, 1)
	spawner() <- func() { result <- start() }
	return <-result
}
