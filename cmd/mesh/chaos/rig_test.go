package chaos

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/ordermesh/ordermesh/embedded/natsd"
)

// binaries is set once, before any test runs.
var binaries *Binaries

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	natsd.ChildMain()
	sideBySide()
	var err error
	if binaries, err = NewBinaries(os.Getenv("MESH_CHAOS_RACE") == "1"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	if err := binaries.Remove(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// sideBySide runs more of the short tests at once than there are processors, unless
// the command line says how many: most of their time they wait for a parcel, a lease or
// an election. The long ones keep the processors busy.
func sideBySide() {
	flag.Parse()
	chosen := ScaleFromEnv() != Short
	flag.Visit(func(f *flag.Flag) { chosen = chosen || f.Name == "test.parallel" })
	if !chosen {
		_ = flag.Set("test.parallel", strconv.Itoa(4*runtime.GOMAXPROCS(0))) // a number is never refused
	}
}

// rig is a mesh under test with a client and a ledger.
type rig struct {
	*testing.T
	mesh   *Mesh
	client *Client
	ledger *Ledger
	skus   []string
	seed   uint64
}

func newRig(t *testing.T, v Variant) *rig {
	t.Helper()
	return newRigOf(t, v, NewMesh(t, built(t, v)))
}

func built(t *testing.T, v Variant) string {
	t.Helper()
	path, err := binaries.Path(t.Context(), v)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// newRigOf adds a client and a ledger to a mesh.
func newRigOf(t *testing.T, v Variant, m *Mesh) *rig {
	t.Helper()
	r := &rig{T: t, mesh: m, seed: seed(t)}
	t.Logf("%s build, MESH_CHAOS_SEED=%d", v, r.seed)
	var err error
	if r.ledger, err = NewLedger(filepath.Join(t.ArtifactDir(), "acknowledged.txt")); err != nil {
		t.Fatal(err)
	}
	if r.client, err = Dial(r.mesh.URL()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.client.Close()
		if err := r.ledger.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func seed(t *testing.T) uint64 {
	t.Helper()
	text := os.Getenv("MESH_CHAOS_SEED")
	if text == "" {
		return rand.Uint64()
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("MESH_CHAOS_SEED: %v", err)
	}
	return n
}

// up starts the mesh or fails the test.
func (r *rig) up(env ...string) {
	r.Helper()
	if err := r.mesh.Up(r.Context(), env...); err != nil {
		r.Fatal(err)
	}
}

// stock puts products on the shelves, quantity of each.
func (r *rig) stock(products int, quantity int64) {
	r.Helper()
	for i := range products {
		r.stockOne(fmt.Sprintf("SKU-%02d", i), quantity)
	}
}

func (r *rig) stockOne(sku string, quantity int64) {
	r.Helper()
	p := product{SKU: sku, Name: "Thing " + sku, Price: money{Amount: 1299, Currency: "EUR"}}
	if err := r.client.Insist(r.Context(), "svc.catalog.put", "put-"+sku, p, nil); err != nil {
		r.Fatalf("put product %s: %v", sku, err)
	}
	a := adjustment{SKU: sku, Delta: quantity, Reason: "delivery"}
	if err := r.client.Insist(r.Context(), "svc.inventory.adjust", "adjust-"+sku, a, nil); err != nil {
		r.Fatalf("stock product %s: %v", sku, err)
	}
	r.skus = append(r.skus, sku)
}

// shape gives a load the rig's products and seed.
func (r *rig) shape(l Load) Load {
	l.SKUs, l.Seed = r.skus, r.seed
	return l
}

// load runs a load beside the test; wait returns its result.
func (r *rig) load(l Load) (wait func() error) {
	l = r.shape(l)
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(r.Context())
	go func() { done <- l.Run(ctx, r.client, r.ledger) }()
	finished := make(chan struct{})
	var err error
	go func() {
		err = <-done
		close(finished)
	}()
	r.Cleanup(func() {
		cancel()
		<-finished
	})
	return func() error {
		<-finished
		return err
	}
}

// mostBroken is how many broken promises are worth reading.
const mostBroken = 40

// clean waits until everything is at rest and fails the test unless every promise
// was kept.
func (r *rig) clean(limit time.Duration) Verdict {
	r.Helper()
	v := r.verdict(limit)
	for i, b := range v.Broken {
		if i == mostBroken {
			r.Errorf("and %d more", len(v.Broken)-i)
			break
		}
		r.Error(b)
	}
	if n := r.client.Internal.Load(); n > 0 {
		r.Errorf("%d requests were answered with an internal error", n)
	}
	return v
}

func (r *rig) verdict(limit time.Duration) Verdict {
	r.Helper()
	v, err := Rest(r.Context(), r.client, r.ledger, limit)
	if err != nil {
		r.Fatal(err)
	}
	r.Log(v)
	return v
}

// numberFromEnv is a number that the environment may set otherwise.
func numberFromEnv(t *testing.T, name string, usual int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return usual
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s=%s is not a number above 0", name, text)
	}
	return n
}
