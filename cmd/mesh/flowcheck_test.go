package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/flow"
	"github.com/ordermesh/ordermesh/contracts/flows"
)

// TestFlowDefinitions: the build can check every flow that a descriptor names, in the
// version that new instances begin with.
func TestFlowDefinitions(t *testing.T) {
	t.Parallel()
	definitions := flowDefinitions()
	for _, d := range descriptors(allServices()) {
		newest := map[string]int{}
		for _, def := range definitions[d.Name] {
			newest[def.Info().Name] = max(newest[def.Info().Name], def.Info().Version)
		}
		for _, f := range d.Flows {
			if newest[f.Name] != f.Version {
				t.Errorf("%s: the descriptor begins %s with version %d, the newest definition is %d", d.Name, f.Name, f.Version, newest[f.Name])
			}
		}
	}
}

// TestFlowCheck: flows that the build would not go on with are named with both sides.
func TestFlowCheck(t *testing.T) {
	t.Parallel()
	mesh := startMesh(t, devArgs("--ephemeral")...)
	s := mesh.shop()
	run := func(want int, args ...string) string {
		t.Helper()
		code, out := runMesh(t, append([]string{"flow"}, args...)...)
		if code != want {
			t.Errorf("mesh flow %s: exit code %d, want %d:\n%s", strings.Join(args, " "), code, want, out)
		}
		return out
	}
	order := s.ended(s.place(sampleOrder).OrderID).OrderID
	s.settled(order)
	at := []string{"--nats", mesh.note.NATS}
	if out := run(exitGood, append(at, "check")...); !strings.Contains(out, " 0 would not go on") {
		t.Errorf("nothing is open:\n%s", out)
	}
	dir := filepath.Join(t.TempDir(), "new")
	file := strings.TrimSpace(run(exitGood, append(at, "capture", "checkout", order, "--dir", dir)...))
	if _, err := os.Stat(file); err != nil || filepath.Dir(file) != dir {
		t.Errorf("captured in %s: %v", file, err)
	}
	if out := run(exitGood, "check", "--dir", dir); out != "1 flows replayed, 0 would not go on with this build\n" {
		t.Errorf("what was captured: %s", out)
	}

	// A journal as another build would have written it, and a start for a later one.
	journal := `{"v":1,"flow":"checkout","id":"odd","version":1,"start":1,"gen":1,"input":{"order_id":"odd"},"at":1795520920103,"status":"running",` +
		`"writer":"other","n":1,"records":[{"i":0,"kind":"step","name":"reserve","tries":1,"out":"held"},{"i":1,"kind":"step","name":"charge","tries":1,"out":{}}]}`
	if _, err := s.nc.Request(contract.FlowLog("orders", "checkout", "odd"), []byte(journal), patience); err != nil {
		t.Fatal(err)
	}
	conn, err := bus.Dial(t.Context(), bus.Config{URL: mesh.note.NATS, Service: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	if _, err := flow.Start(t.Context(), flow.NewClient(conn, "orders"), flow.Declare[struct{}, struct{}]("checkout", 99), "later", struct{}{}); err != nil {
		t.Fatal(err)
	}
	bustest.Eventually(t, patience, func() bool {
		list := decode[flows.Instances](t, s.must("flows.list", `{"flow":"checkout"}`))
		return len(list.Flows) >= 3 && list.Behind == 0
	})
	const both = `at index 1 the journal has step "charge", the code does step "authorize"`
	out := run(exitBad, append(at, "check")...) // a schedule is an open flow, too
	for _, says := range []string{both, "it waits for version 99, which is not in this build", "3 flows replayed, 2 would not go on"} {
		if !strings.Contains(out, says) {
			t.Errorf("mesh flow check does not say %q:\n%s", says, out)
		}
	}
	doc := decode[checked](t, []byte(run(exitBad, append(at, "check", "--json")...)))
	if doc.Checked != 3 || len(doc.NoReplay) != 2 || doc.NoReplay[1] != (mismatch{"orders", "checkout", "odd", 1, both}) {
		t.Errorf("as JSON: %+v", doc.NoReplay)
	}
	run(exitGood, append(at, "capture", "checkout", "odd", "--dir", dir)...)
	if out := run(exitBad, "check", "--dir", dir); !strings.Contains(out, both) || !strings.Contains(out, "2 flows replayed, 1 would not") {
		t.Errorf("captured, it is held against the code, too:\n%s", out)
	}
	if out := run(exitBad, append(at, "capture", "checkout", "nothing")...); !strings.Contains(out, "flow_not_found") {
		t.Errorf("capture nothing: %s", out)
	}
}
