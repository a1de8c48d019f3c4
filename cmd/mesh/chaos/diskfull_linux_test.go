package chaos

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// smallDisk mounts a disk of its own, of so many MiB.
func smallDisk(t *testing.T, size int) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("a full disk: mounting a small one takes root")
	}
	dir := filepath.Join(t.TempDir(), "small")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+strconv.Itoa(size)+"m"); err != nil {
		t.Skipf("a full disk: a small one cannot be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmount %s: %v", dir, errors.Join(err, syscall.Unmount(dir, syscall.MNT_DETACH)))
		}
	})
	return dir
}

// fill takes all the room that is left.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	block := make([]byte, 64<<10)
	for len(block) > 0 {
		if _, err := f.Write(block); errors.Is(err, syscall.ENOSPC) {
			block = block[:len(block)/2]
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// F19: the disk under the server is full. Orders are refused as unavailable and not
// acknowledged, the process says that it is not ready and why, and when there is room again
// and the server was restarted nothing acknowledged is lost.
func TestTheDiskIsFull(t *testing.T) {
	t.Parallel()
	if ScaleFromEnv() == Short {
		t.Skip("MESH_CHAOS=ci fills a disk")
	}
	dir := smallDisk(t, 64)
	r := newRig(t, Plain)
	r.mesh.data = filepath.Join(dir, "data")
	r.mesh.http = net.JoinHostPort("127.0.0.1", strconv.Itoa(freePort(t)))
	r.up()
	r.stock(5, 1_000_000)
	if err := r.load(Load{Name: "before", Orders: 100, Clients: 16, Mix: everything, CancelDelay: 50 * time.Millisecond})(); err != nil {
		t.Fatal(err)
	}
	fill(t, filepath.Join(dir, "balloon"))
	during := r.shape(Load{Name: "during", Orders: 500})
	refused, unanswered, acked := 0, 0, 0
	full := time.Now()
	unready := time.Duration(0)
	var why string
	for i := 0; (unready == 0 || refused < 3) && time.Since(full) < clusterPatience; i++ {
		p := during.plan(i)
		var answer placed
		err := r.client.CallWithin(t.Context(), 2*time.Second, "svc.orders.place", p.key, p.order, &answer)
		var told *contract.Error
		switch {
		case err == nil:
			acked++
			if err := r.ledger.Placed(Entry{OrderID: answer.OrderID, Key: p.key, Token: p.order.Payment.Token}); err != nil {
				t.Fatal(err)
			}
		case !errors.As(err, &told):
			unanswered++
		case told.Code == contract.Unavailable || told.Code == contract.Deadline || told.Code == contract.Exhausted:
			refused++
		default:
			t.Fatalf("with a full disk an order was answered with %v", err)
		}
		ready, text, err := Ready(t.Context(), r.mesh.http)
		if err != nil {
			t.Fatal(err)
		}
		if !ready && unready == 0 {
			unready, why = time.Since(full), text
		}
	}
	t.Logf("disk full: %d orders refused, %d unanswered, %d still acknowledged; not ready after %v", refused, unanswered, acked, unready.Round(time.Millisecond))
	if unready == 0 {
		t.Errorf("a process on a full disk went on to say that it is ready")
	}
	if !strings.Contains(why, "[-] nats") {
		t.Errorf("it does not say that the server is the reason: %s", why)
	}
	if refused == 0 {
		t.Error("no order was refused")
	}
	if err := os.Remove(filepath.Join(dir, "balloon")); err != nil {
		t.Fatal(err)
	}
	r.mesh.Kill() // a full disk needs a restart of the server
	r.up()
	if err := r.load(Load{Name: "after", Orders: 100, Clients: 16})(); err != nil {
		t.Fatal(err)
	}
	r.clean(time.Minute)
	r.mesh.Kill() // before its disk goes away
}
