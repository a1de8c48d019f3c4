package main

import (
	"strings"
	"testing"
)

// TestBadSettingsEndTheStart names what cannot be used.
func TestBadSettingsEndTheStart(t *testing.T) {
	t.Parallel()
	for variable, value := range map[string]string{"MESH_ORDERS_HOLD_FOR": "soon", "MESH_ORDERS_RECONCILE_AT": "61 * * * *"} {
		mesh := launchMeshWith(t, []string{variable + "=" + value}, devArgs("--ephemeral")...)
		if code := mesh.wait(); code == exitGood || !strings.Contains(mesh.log.String(), value) {
			t.Errorf("%s=%s: exit code %d\n%s", variable, value, code, mesh.log)
		}
	}
}
