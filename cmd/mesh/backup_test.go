package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/contracts/orders"
)

// TestBackupRehearsal: a mesh is copied while orders come in and is gone afterwards. A
// scratch server gets the copy, hashes are compared, and services that start on it finish
// what was under way: every order that was acknowledged before the backup is there and
// delivered, and every promise holds.
func TestBackupRehearsal(t *testing.T) {
	t.Parallel()
	mesh := startMesh(t, "dev", "--ephemeral", "--nats-port", "0", "--http", "127.0.0.1:0", "--seed=false")
	s := shop{t, mesh.connect()}
	s.stock("TEA-001", 1299, 1_000_000)
	const before = 30
	load := beginLoad(t, s)
	bustest.Eventually(t, patience, func() bool { return load.acknowledged.Load() >= before })
	acked := load.list()
	dir := filepath.Join(t.TempDir(), "copy")
	if code, out := runMesh(t, "backup", dir, "--nats", mesh.note.NATS); code != exitGood {
		t.Fatalf("mesh backup: exit code %d\n%s", code, out)
	}
	load.end()
	if code := mesh.stop(); code != exitGood {
		t.Errorf("the mesh ended with %d", code)
	}

	scratch := bustest.Server(t)
	code, out := runMesh(t, "restore", dir, "--verify", "--json", "--nats", scratch.URL())
	if code != exitGood {
		t.Fatalf("mesh restore: exit code %d\n%s", code, out)
	}
	var answer restored
	if err := contract.Unmarshal([]byte(strings.TrimSpace(out)), &answer); err != nil {
		t.Fatal(err)
	}
	if len(answer.Verified) != len(answer.Streams) || len(answer.Streams) < len(contract.Streams(descriptors(allServices())...)) {
		t.Errorf("%d of %d streams were compared", len(answer.Verified), len(answer.Streams))
	}
	if code, out := runMesh(t, "restore", dir, "--nats", scratch.URL()); code != exitUsage || !strings.Contains(out, "ORDERS") {
		t.Errorf("a second restore: exit code %d\n%s", code, out)
	}
	startMesh(t, append(append([]string{"run"}, serviceNames()...), "--nats", scratch.URL())...)
	s = shop{t, dial(t, scratch.URL())}
	if order := s.ended(s.place(orderJSON("TEA-001", 1, "tok_ok")).OrderID); order.Status != orders.Delivered {
		t.Errorf("a new order is %s", order.Status)
	}
	comesToRest(t, scratch.URL())
	file := filepath.Join(t.TempDir(), "acked.txt")
	if err := os.WriteFile(file, []byte(strings.Join(acked, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out := runMesh(t, "verify", "--at-rest", "--acked", file, "--nats", scratch.URL()); code != exitGood {
		t.Errorf("mesh verify: exit code %d\n%s", code, out)
	}
}

// load places orders until it ends.
type load struct {
	stop         chan struct{}
	acknowledged atomic.Int64
	placing      sync.WaitGroup
	mu           sync.Mutex
	ids          []string
}

func beginLoad(t *testing.T, s shop) *load {
	t.Helper()
	l := &load{stop: make(chan struct{})}
	for worker := range 2 {
		l.placing.Go(func() {
			pace := time.NewTicker(25 * time.Millisecond) // the machine has more to do than this
			defer pace.Stop()
			for i := 0; ; i++ {
				select {
				case <-l.stop:
					return
				case <-pace.C:
				}
				id := fmt.Sprintf("load-%d-%d", worker, i)
				body := strings.Replace(orderJSON("TEA-001", 1, "tok_ok"), "{", fmt.Sprintf(`{"order_id":%q,`, id), 1)
				if _, refused := s.ask("orders.place", body); refused == nil {
					l.mu.Lock()
					l.ids = append(l.ids, id)
					l.mu.Unlock()
					l.acknowledged.Add(1)
				}
			}
		})
	}
	t.Cleanup(l.end)
	return l
}

// list is what was acknowledged so far.
func (l *load) list() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.ids...)
}

func (l *load) end() {
	select {
	case <-l.stop:
	default:
		close(l.stop)
	}
	l.placing.Wait()
}
