package main

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// composition is what the tests look at of compose.yaml.
type composition struct {
	Services map[string]composed
	Secrets  map[string]struct{ File string }
	Configs  map[string]struct{ File string }
	Volumes  map[string]any
	Networks map[string]struct{ Internal bool }
}

type composed struct {
	Image       string
	Command     []string
	Environment map[string]string
	Secrets     []shown
	Configs     []shown
	Networks    []string
	Ports       []string
	ReadOnly    bool                                  `yaml:"read_only"`
	CapDrop     []string                              `yaml:"cap_drop"`
	StopGrace   time.Duration                         `yaml:"stop_grace_period"`
	DependsOn   map[string]struct{ Condition string } `yaml:"depends_on"`
	Healthcheck struct {
		Test    []string
		Disable bool
	}
}

// shown is a file that a service gets to see; written short it is its own target.
type shown struct{ Source, Target string }

// UnmarshalYAML reads both forms.
func (s *shown) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind == yaml.ScalarNode {
		s.Source, s.Target = node.Value, node.Value
		return nil
	}
	type long shown
	return node.Decode((*long)(s))
}

func readCompose(t *testing.T) composition {
	t.Helper()
	var c composition
	if err := yaml.Unmarshal([]byte(readDeployment(t, "compose/compose.yaml")), &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestComposeHasEveryService: each service runs confined, with its own credentials from a
// file, as a command that exists, and ends in good order.
func TestComposeHasEveryService(t *testing.T) {
	t.Parallel()
	all := readCompose(t)
	for _, name := range serviceNames() {
		s, ok := all.Services[name]
		if !ok {
			t.Errorf("service %s is missing", name)
			continue
		}
		understood(t, s.Command)
		if !slices.Contains(s.Command, name) || !slices.Contains(s.Command, "production") {
			t.Errorf("%s runs %v", name, s.Command)
		}
		if !slices.Contains(s.Secrets, shown{"creds-" + name, "creds"}) || s.Environment["NATS_CREDS"] != "/run/secrets/creds" {
			t.Errorf("%s has the secrets %v", name, s.Secrets)
		}
		if !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || s.StopGrace < gracePeriod() {
			t.Errorf("%s: read-only %v, without %v, %v to end", name, s.ReadOnly, s.CapDrop, s.StopGrace)
		}
		if len(s.Healthcheck.Test) < 2 || s.Healthcheck.Test[1] != "/mesh" {
			t.Errorf("%s is asked %v", name, s.Healthcheck.Test)
		} else {
			understood(t, s.Healthcheck.Test[2:])
		}
	}
	for _, job := range []string{"topology", "seed"} {
		understood(t, all.Services[job].Command)
	}
	for name, s := range all.Services {
		if len(s.Ports) > 0 && name != gatewayName {
			t.Errorf("%s is reached from outside: %v", name, s.Ports)
		}
		for _, value := range s.Environment {
			if strings.Contains(strings.ToLower(value), "password=") || strings.Contains(value, ":secret") {
				t.Errorf("%s has a secret in its environment", name)
			}
		}
		for other := range s.DependsOn {
			if _, ok := all.Services[other]; !ok {
				t.Errorf("%s waits for %s, which is not there", name, other)
			}
		}
		for _, file := range s.Secrets {
			if all.Secrets[file.Source].File == "" {
				t.Errorf("%s sees the secret %s, which is not there", name, file.Source)
			}
		}
		for _, file := range s.Configs {
			if all.Configs[file.Source].File == "" {
				t.Errorf("%s sees the file %s, which is not there", name, file.Source)
			}
		}
	}
}

// TestComposeIsPrepared runs the script that makes what is secret: every file that
// compose.yaml names is there then.
func TestComposeIsPrepared(t *testing.T) {
	t.Parallel()
	mesh, err := buildMesh()
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "secrets")
	prepare := exec.Command(filepath.Join(deployment, "compose", "prepare"))
	prepare.Env = append(os.Environ(), "MESH="+mesh, "MESH_SECRETS="+out)
	if text, err := prepare.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	all := readCompose(t)
	files := all.Secrets
	maps.Copy(files, all.Configs)
	for name, file := range files {
		info, err := os.Stat(filepath.Join(out, strings.TrimPrefix(file.File, "secrets/")))
		if err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if info, err := os.Stat(out); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("others may look into %s: %v, %v", out, info.Mode(), err)
	}
	roles, err := os.ReadFile(filepath.Join(out, "roles.sql"))
	if err != nil || !strings.Contains(string(roles), "mesh_orders") {
		t.Errorf("the roles of the database: %v\n%s", err, roles)
	}
}
