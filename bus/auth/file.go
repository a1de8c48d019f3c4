package auth

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/nats-io/nkeys"
)

const (
	folderMode = 0o700
	secretMode = 0o600
	publicMode = 0o644
)

// write replaces a file as a whole: a reader sees the old or the new one, also after a crash.
func write(path string, mode fs.FileMode, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), folderMode); err != nil {
		return fmt.Errorf("cannot make the folder of %s (%w): choose one that you may write to", path, cause(err))
	}
	if err := replace(path, mode, content); err != nil {
		return fmt.Errorf("cannot write %s (%w): look at the folder's permissions and the disk", path, cause(err))
	}
	return nil
}

func replace(path string, mode fs.FileMode, content []byte) (err error) {
	temp, err := os.CreateTemp(filepath.Dir(path), ".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(temp.Name())
		}
	}()
	_, err = temp.Write(content)
	err = errors.Join(err, temp.Chmod(mode), temp.Sync(), temp.Close())
	if err != nil {
		return err
	}
	return os.Rename(temp.Name(), path)
}

// read returns a file of the folder.
func read(path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", path, cause(err))
	}
	return text, nil
}

// CheckSecret refuses a file that others than its owner may read, by its name.
func CheckSecret(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("cannot read %s: %w", path, cause(err))
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return fmt.Errorf("%s may be read by others (mode %04o): chmod 600 it, and rotate what it is for if others use this machine", path, mode)
	}
	return nil
}

// readKey reads a private key that nobody else may read.
func readKey(path string) (nkeys.KeyPair, error) {
	if err := CheckSecret(path); err != nil {
		return nil, err
	}
	seed, err := read(path)
	if err != nil {
		return nil, err
	}
	defer clear(seed)
	pair, err := nkeys.ParseDecoratedNKey(seed)
	if err != nil {
		return nil, fmt.Errorf("%s holds no key: put back a copy of it, or rotate", path)
	}
	return pair, nil
}

// newKey makes a key of a kind and keeps it.
func newKey(path string, create func() (nkeys.KeyPair, error)) (nkeys.KeyPair, error) {
	pair, err := create()
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	seed, err := pair.Seed()
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	line := append(slices.Clone(seed), '\n') // seed is the pair's own memory
	defer clear(line)
	return pair, write(path, secretMode, line)
}

func publicKey(pair nkeys.KeyPair) (string, error) {
	key, err := pair.PublicKey()
	if err != nil {
		return "", fmt.Errorf("read a key: %w", err)
	}
	return key, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// cause is the system's own word without the path, which the sentence has already.
func cause(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	return err
}
