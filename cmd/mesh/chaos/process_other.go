//go:build unix && !linux

package chaos

import "syscall"

// attributes put the child into a group of its own.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

func spawn(start func() error) error { return start() }
