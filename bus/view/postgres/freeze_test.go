package postgres_test

import (
	"context"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/view/postgres"
	"github.com/ordermesh/ordermesh/embedded/postgres/postgrestest"
)

// TestAFrozenProjectorLosesItsTurn freezes the process that folds for longer than its
// session may be idle; another one goes on. When it thaws it changes nothing.
func TestAFrozenProjectorLosesItsTurn(t *testing.T) {
	t.Parallel()
	if !long() {
		t.Skip("a session may be idle for ten seconds: MESH_LONG=1")
	}
	url := postgrestest.Database(t)
	b := bustest.Server(t, bustest.WithServices(tallying))
	w := newWriter(b.Dial(t))
	store, err := postgres.Open(t.Context(), pool(t, url), table())
	check(t, err)
	frozen := exec.Command(os.Args[0])
	frozen.Env = append(os.Environ(), childEnv+"="+b.URL()+" "+url)
	check(t, frozen.Start())
	t.Cleanup(func() {
		_ = frozen.Process.Kill()
		_ = frozen.Wait()
	})
	reaches := func(sequence uint64) {
		bustest.Eventually(t, waiting, func() bool {
			at, err := store.Checkpoint(context.WithoutCancel(t.Context()))
			check(t, err)
			return at.Sequence >= sequence
		}, "checkpoint ", sequence)
	}
	reaches(w.addMany(t, 500, 50))
	check(t, frozen.Process.Signal(syscall.SIGSTOP))
	p := project(t, b.Dial(t), url)
	run(t, p)
	last := w.addMany(t, 500, 50)
	reaches(last)
	if !p.Status().Leads {
		t.Error("the process that does not stand still does not lead")
	}
	check(t, frozen.Process.Signal(syscall.SIGCONT))
	reaches(w.addMany(t, 500, 50))
	equal(t, store, w)
}
