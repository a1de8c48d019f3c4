package config_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ordermesh/ordermesh/bus/config"
	"github.com/ordermesh/ordermesh/bus/contract"
)

func file(t testing.TB, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "mesh.yaml")
	check(t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

// TestLayers: each layer wins over the one before, and says where it was.
func TestLayers(t *testing.T) {
	t.Parallel()
	secret := filepath.Join(t.TempDir(), "key")
	check(t, os.WriteFile(secret, []byte("canary-17\n"), 0o600))
	path := file(t, "shop:\n  limit: 20\n  wait: 3s\n  open: false\n  note: |\n    two\n    lines\n  price: {amount: 7, currency: USD}\n  api_key_file: "+secret+"\n")
	sources, err := config.NewSources(path, []string{"MESH_SHOP_WAIT=4s", "MESH_SHOP_LIMIT=30", "MESH_SHOP_MODE=", "PATH=/bin"}, []string{"shop.limit=40", "shop.cache=7"})
	check(t, err)
	schema := newSchema(t)
	check(t, sources.Check(schema))
	values, err := sources.Values(schema)
	check(t, err)
	for name, want := range map[string]string{
		"limit": "40 flag --set", "wait": "4s environment MESH_SHOP_WAIT", "open": "false file " + path + ":4",
		"mode": "fast default ", "price": `{"amount":7,"currency":"USD"} file ` + path + ":8", "cache": "7 flag --set",
	} {
		if v := values[name]; v.Text+" "+string(v.Layer)+" "+v.Where != want {
			t.Errorf("%s: %+v", name, v)
		}
	}
	live, err := config.NewLive[settings](offline(t), schema, values)
	check(t, err)
	got := live.Get()
	if got.Limit != 40 || got.Wait != 4*time.Second || got.Open || got.Note != "two\nlines\n" || got.Price != (price{7, "USD"}) || got.APIKey.Reveal() != "canary-17" {
		t.Errorf("%+v", got)
	}
	env, err := config.NewSources("", []string{"MESH_SHOP_API_KEY=canary-18", "MESH_SHOP_SERVICE_HOST=10.0.0.1"}, nil)
	check(t, err)
	values, err = env.Values(schema)
	check(t, err)
	if all := fmt.Sprintf("%v %+v %#v %v %#v", env, env, *env, values, values); strings.Contains(all, "canary") {
		t.Errorf("the secret is printed: %s", all)
	}
	if values["api_key"].Layer != config.Environment || strings.Join(env.Unused(schema), " ") != "MESH_SHOP_SERVICE_HOST" {
		t.Errorf("%+v, %v", values["api_key"], env.Unused(schema))
	}
}

// TestBadSources: everything that is wrong is named at once, and no secret with it.
func TestBadSources(t *testing.T) {
	t.Parallel()
	schema := newSchema(t)
	for name, c := range map[string]struct {
		yaml       string
		env, flags []string
		says       []string
	}{
		"all at once":          {"shop:\n  limit: many\n  colour: red\n", []string{"MESH_SHOP_WAIT=2"}, []string{"shop.size=256"}, []string{"colour", ":3", "limit"}},
		"values of all layers": {"shop:\n  limit: many\n", []string{"MESH_SHOP_WAIT=2"}, []string{"shop.size=256"}, []string{"whole number", "MESH_SHOP_WAIT", "uint8", ":2"}},
		"not YAML":             {"shop: [", nil, nil, []string{"mesh.yaml"}},
		"a list":               {"- shop\n", nil, nil, []string{"mapping of services"}},
		"no settings":          {"shop: 7\n", nil, nil, []string{"mapping of settings"}},
		"null":                 {"shop:\n  limit:\n", nil, nil, []string{"has no value"}},
		"twice":                {"shop:\n  limit: 1\n  limit: 2\n", nil, nil, []string{"twice", ":3"}},
		"a service twice":      {"shop:\n  limit: 1\nshop:\n  size: 2\n", nil, nil, []string{"twice"}},
		"an anchor":            {"shop:\n  limit: &a 1\n  least: *a\n", nil, nil, []string{"anchors"}},
		"yes is no boolean":    {"shop:\n  open: yes\n", nil, nil, []string{"true or false"}},
		"unknown service":      {"shoe:\n  limit: 1\n", nil, nil, []string{`"shoe"`, "shop"}},
		"together":             {"shop:\n  least: 11\n", nil, nil, []string{"least must not be above limit"}},
		"secret in the file":   {"shop:\n  api_key: canary-1\n", nil, nil, []string{"api_key_file"}},
		"secret in a flag":     {"", nil, []string{"shop.api_key=canary-1"}, []string{"a secret is not written here"}},
		"secret file in flag":  {"", nil, []string{"shop.api_key_file=/etc/passwd"}, []string{"no setting"}},
		"no secret file":       {"", []string{"MESH_SHOP_API_KEY_FILE=/nowhere"}, nil, []string{"read the secret"}},
		"flag twice":           {"", nil, []string{"shop.limit=1", "shop.limit=2"}, []string{"given twice"}},
		"flag without value":   {"", nil, []string{"limit"}, []string{"<service>.<setting>=<value>"}},
		"flag for nobody":      {"", nil, []string{"shoe.limit=1"}, []string{`"shoe"`}},
		"price":                {"shop:\n  price: {amount: 1, amount: 2, currency: EUR}\n", nil, nil, []string{"price"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := ""
			if c.yaml != "" {
				path = file(t, c.yaml)
			}
			sources, err := config.NewSources(path, c.env, c.flags)
			if err == nil {
				err = sources.Check(schema)
			}
			if err == nil {
				_, err = sources.Values(schema)
			}
			if err == nil {
				t.Fatal("it is taken")
			}
			for _, word := range c.says {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("%q is missing in %v", word, err)
				}
			}
			if strings.Contains(err.Error(), "canary") {
				t.Errorf("the secret is told: %v", err)
			}
		})
	}
	if _, err := config.NewSources("/nowhere.yaml", nil, nil); err == nil {
		t.Error("a file that is not there is taken")
	}
}

// TestSchema: a descriptor that says something else is refused.
func TestSchema(t *testing.T) {
	t.Parallel()
	other := shop
	other.Settings = append([]contract.Setting{}, shop.Settings[1:]...)
	if _, err := config.NewSchema[settings](other); err == nil {
		t.Error("the descriptor and the struct differ")
	}
	type badDefault struct {
		N int `setting:"n" default:"7" max:"6" doc:"a number"`
	}
	if _, err := config.NewSchema[badDefault](contract.Service{Name: "x", Settings: contract.SettingsOf[badDefault]()}); err == nil || !strings.Contains(err.Error(), "at most 6") {
		t.Errorf("a default out of range: %v", err)
	}
}
