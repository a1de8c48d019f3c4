package main

import (
	"strings"
	"testing"
	"time"

	"github.com/ordermesh/ordermesh/contracts/orders"
	ordersservice "github.com/ordermesh/ordermesh/services/orders"
)

func TestOrdersSettings(t *testing.T) {
	t.Parallel()
	env := map[string]string{
		"MESH_ORDERS_HOLD_OVER": "50000", "MESH_ORDERS_HOLD_FOR": "2h", "MESH_ORDERS_PAY_WITHIN": "1m",
		"MESH_ORDERS_DELIVERY_GRACE": "3h", "MESH_ORDERS_REMIND_EVERY": "4h", "MESH_ORDERS_RECONCILE_AT": "@hourly",
	}
	want := ordersservice.Config{
		HoldOver: 50000, HoldFor: 2 * time.Hour, PayWithin: time.Minute,
		DeliveryGrace: 3 * time.Hour, RemindEvery: 4 * time.Hour, ReconcileAt: "@hourly",
	}
	if got, err := ordersSettings(func(name string) string { return env[name] }); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	for _, s := range orders.Descriptor.Settings {
		if name := "MESH_ORDERS_" + strings.ToUpper(s.Name); env[name] == "" {
			t.Errorf("%s cannot be set", name)
		}
	}
	for name, bad := range map[string]string{"MESH_ORDERS_HOLD_OVER": "1.5", "MESH_ORDERS_HOLD_FOR": "-1h", "MESH_ORDERS_PAY_WITHIN": "soon"} {
		_, err := ordersSettings(func(n string) string { return map[string]string{name: bad}[n] })
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s=%s: %v", name, bad, err)
		}
	}
}

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
