//go:build !linux

package forgetful

import "errors"

// ErrUnavailable reports that this system cannot mount a disk.
var ErrUnavailable = errors.New("a file system can be mounted on Linux only")

// Mount is there on Linux.
func Mount(*Disk, string) (unmount func() error, err error) { return nil, ErrUnavailable }
