package main

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"github.com/ordermesh/ordermesh/cmd/mesh/bench"
	"github.com/ordermesh/ordermesh/cmd/mesh/chaos"
)

// TestBenchOrdersApart: a mesh in one process and one of which every part is a process
// are measured beside each other, and what each part spends is told.
func TestBenchOrdersApart(t *testing.T) {
	t.Parallel()
	if chaos.ScaleFromEnv() == chaos.Short {
		t.Skip("ten processes; MESH_CHAOS=ci runs it")
	}
	binary, err := buildMesh()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), binary, "bench", "orders", "--processes", "--rounds", "1", "--duration", "200ms", "--concurrency", "8", "--json").Output()
	if err != nil {
		t.Fatal(err)
	}
	var report bench.Report
	if err := json.Unmarshal(out, &report); err != nil {
		t.Fatal(err)
	}
	if len(report.Rows) != 2 || report.Rows[0].Name == report.Rows[1].Name || report.Rows[1].Ours.Count == 0 || report.Rows[1].Ours.CPU <= 0 {
		t.Errorf("%+v", report.Rows)
	}
	notes := strings.Join(report.Notes, "\n")
	for _, part := range append(serviceNames(), "nats-server", "customers", "processors cannot do more than") {
		if !strings.Contains(notes, part) {
			t.Errorf("nothing is said of %s:\n%s", part, notes)
		}
	}
}
