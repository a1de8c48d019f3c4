package natsd

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

const lockName = "natsd.lock"

// storeLock keeps a second server out of a store directory. The lock is the
// kernel's: it goes away with its process however that ends.
type storeLock struct {
	once sync.Once
	file *os.File
	err  error
}

func lockStore(dir string) (*storeLock, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fail(ErrStoreUnusable, "the store directory %s cannot be created (%v): choose another or fix its permissions", dir, cause(err))
	}
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fail(ErrStoreUnusable, "the store directory %s is not writable (%v): choose another or fix its permissions", dir, cause(err))
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		holder, _ := io.ReadAll(io.LimitReader(f, 32)) // empty: then the sentence does without
		_ = f.Close()
		return nil, fail(ErrStoreInUse, "the store directory %s is in use by another server%s: stop that one or choose another directory", dir, holding(string(holder)))
	}
	if err == nil {
		err = errors.Join(f.Truncate(0), writeAt(f, strconv.Itoa(os.Getpid())))
	}
	if err != nil {
		_ = f.Close()
		return nil, fail(ErrStoreUnusable, "the store directory %s cannot be locked (%v): choose one on a local file system", dir, cause(err))
	}
	return &storeLock{file: f}, nil
}

func writeAt(f *os.File, text string) error {
	_, err := f.WriteAt([]byte(text), 0)
	return err
}

func holding(pid string) string {
	if pid = strings.TrimSpace(pid); pid == "" {
		return ""
	}
	return " (process " + pid + ")"
}

// cause is the system's own word without the path, which the sentence has already.
func cause(err error) error {
	if p, ok := errors.AsType[*os.PathError](err); ok {
		return p.Err
	}
	return err
}

// release frees the directory. It unlocks and does not leave that to Close: a process
// that is being started right now holds a copy of the open file for a moment. The
// file stays: removing it would let two servers hold locks on two different files of
// the same name.
func (l *storeLock) release() error {
	l.once.Do(func() {
		l.err = errors.Join(syscall.Flock(int(l.file.Fd()), syscall.LOCK_UN), l.file.Close())
	})
	return l.err
}
