package chaos

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
)

// Variant is one way to build the mesh binary: build tags, or "" for none.
type Variant string

// The variants. The sabotaged ones each lack one protection; one of them needs a
// crash at a certain point to do harm.
const (
	Plain      Variant = ""
	Failpoint  Variant = "failpoint"
	NoCAS      Variant = "sabotage_nocas"
	EarlyAck   Variant = "sabotage_earlyack"
	RandomKey  Variant = "sabotage_randomkey,failpoint"
	StaleCache Variant = "sabotage_stalecache"
)

// String names the variant for logs and files.
func (v Variant) String() string {
	if v == Plain {
		return "plain"
	}
	return string(v)
}

// Binaries builds the mesh binary, each variant once and not before it is wanted.
type Binaries struct {
	dir  string
	race bool

	mu    sync.Mutex
	built map[Variant]*binary
}

type binary struct {
	once sync.Once
	path string
	err  error
}

// NewBinaries keeps what it builds in a temporary directory until Remove.
func NewBinaries(race bool) (*Binaries, error) {
	dir, err := os.MkdirTemp("", "mesh-chaos-")
	if err != nil {
		return nil, fmt.Errorf("make a directory for binaries: %w", err)
	}
	return &Binaries{dir: dir, race: race, built: map[Variant]*binary{}}, nil
}

// Path returns the binary of a variant and builds it when it is the first to ask.
func (b *Binaries) Path(ctx context.Context, v Variant) (string, error) {
	b.mu.Lock()
	one := b.built[v]
	if one == nil {
		one = &binary{path: filepath.Join(b.dir, "mesh-"+v.String())}
		b.built[v] = one
	}
	b.mu.Unlock()
	one.once.Do(func() { one.err = b.build(ctx, v, one.path) })
	return one.path, one.err
}

func (b *Binaries) build(ctx context.Context, v Variant, path string) error {
	args := []string{"build", "-ldflags=-s -w", "-o", path}
	switch {
	case changes[v] != nil:
		list, err := overlay(ctx, v, b.dir)
		if err != nil {
			return err
		}
		args = append(args, "-overlay", list)
	case v != Plain:
		args = append(args, "-tags", string(v))
	}
	if b.race {
		args = append(args, "-race")
	}
	args = append(args, "github.com/ordermesh/ordermesh/cmd/mesh")
	out, err := exec.CommandContext(ctx, "go", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("go %v: %w\n%s", args, err, out)
	}
	return nil
}

// Remove deletes everything that was built.
func (b *Binaries) Remove() error { return os.RemoveAll(b.dir) }
