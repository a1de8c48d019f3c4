package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/cmd/mesh/natsconf"
)

// deployment is the folder of what a team deploys.
const deployment = "../../deploy"

func readDeployment(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(deployment, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestNATSConfigHasEveryService: nats-server reads the configuration, and each service
// has what its descriptor allows and not one subject more.
func TestNATSConfigHasEveryService(t *testing.T) {
	t.Setenv("NATS_SERVER_NAME", "nats-0")
	t.Setenv(natsconf.PasswordVariable(natsconf.Administrator), "cafe")
	for _, name := range serviceNames() {
		t.Setenv(natsconf.PasswordVariable(name), "cafe")
	}
	file := filepath.Join(t.TempDir(), "nats-server.conf")
	if code, out := runMesh(t, "deploy", "nats-config", "--auth", "users", "--tls", "", "--out", file); code != exitGood {
		t.Fatalf("exit code %d: %s", code, out)
	}
	options, err := server.ProcessConfigFile(file)
	if err != nil {
		t.Fatal(err)
	}
	users := map[string]*server.User{}
	for _, u := range options.Users {
		users[u.Username] = u
	}
	for _, desc := range descriptors(allServices()) {
		u, want := users[desc.Name], desc.Permissions(contract.Production)
		if u == nil {
			t.Errorf("%s has no user", desc.Name)
			continue
		}
		if got := u.Permissions.Publish.Allow; !slices.Equal(got, want.Publish) || len(got)+len(u.Permissions.Publish.Deny) == 0 {
			t.Errorf("%s may publish %v, its descriptor says %v", desc.Name, got, want.Publish)
		}
		if got := u.Permissions.Subscribe.Allow; !slices.Equal(got, want.Subscribe) {
			t.Errorf("%s may subscribe to %v, its descriptor says %v", desc.Name, got, want.Subscribe)
		}
		if (u.Permissions.Response != nil) != want.Responses {
			t.Errorf("%s may answer: %v", desc.Name, u.Permissions.Response != nil)
		}
	}
	if len(users) != len(allServices())+1 || users[natsconf.Administrator] == nil {
		t.Errorf("%d users for %d services and the administrator", len(users), len(allServices()))
	}
	if code, out := runMesh(t, "deploy", "nats-config", "--nodes", "a,b"); code != exitUsage || !strings.Contains(out, "three") {
		t.Errorf("two nodes: exit code %d: %s", code, out)
	}
}

func TestHealthAsksTheProcess(t *testing.T) {
	t.Parallel()
	h := newHealth(nil, nil, component{name: "orders", check: func() error { return nil }})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", h.readyz)
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { reply(w, http.StatusOK, "alive\n") })
	web := httptest.NewServer(mux)
	defer web.Close()
	address := strings.TrimPrefix(web.URL, "http://")
	if code, out := runMesh(t, "health", "--address", address); code != exitGood || out != "alive\n" {
		t.Errorf("exit code %d: %s", code, out)
	}
	if code, out := runMesh(t, "health", "--ready", "--address", address); code != exitGood || !strings.Contains(out, "[+] orders") {
		t.Errorf("exit code %d: %s", code, out)
	}
	h.draining.Store(true)
	if code, out := runMesh(t, "health", "--ready", "--address", address, "--json"); code != exitBad || !strings.Contains(out, `"good":false`) {
		t.Errorf("exit code %d: %s", code, out)
	}
	web.Close()
	if code, out := runMesh(t, "health", "--address", address); code != exitUsage || !strings.Contains(out, "nobody answers") {
		t.Errorf("exit code %d: %s", code, out)
	}
}

// instruction is one line of a Dockerfile, continued lines joined.
type instruction struct{ verb, rest string }

func dockerfile(t *testing.T) []instruction {
	t.Helper()
	text := strings.ReplaceAll(readDeployment(t, "Dockerfile"), "\\\n", " ")
	var list []instruction
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		verb, rest, _ := strings.Cut(line, " ")
		list = append(list, instruction{verb, strings.TrimSpace(rest)})
	}
	return list
}

// TestDockerfileIsWhatItSays: instructions that Docker knows, in an order that builds;
// the build's command makes a program without libraries, from what .dockerignore lets
// through; the image runs it as nobody, and its health check is a command that exists.
func TestDockerfileIsWhatItSays(t *testing.T) {
	t.Parallel()
	known := []string{"FROM", "WORKDIR", "COPY", "RUN", "ENV", "ARG", "LABEL", "USER", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT", "CMD"}
	last := map[string]string{}
	var stages []string
	for _, i := range dockerfile(t) {
		if !slices.Contains(known, i.verb) || i.rest == "" {
			t.Errorf("%s %s: no such instruction", i.verb, i.rest)
		}
		if i.verb == "FROM" {
			stages = append(stages, i.rest)
			last = map[string]string{}
		}
		if len(stages) == 0 {
			t.Errorf("%s comes before the first FROM", i.verb)
		}
		last[i.verb] = i.rest
	}
	pinned := regexp.MustCompile(`^\S+:[\w.-]+( AS build)?$`)
	if len(stages) != 2 || !pinned.MatchString(stages[0]) || !pinned.MatchString(stages[1]) || strings.Contains(stages[1], "latest") {
		t.Errorf("stages %q: a build and an image, both by tag", stages)
	}
	if !regexp.MustCompile(`^[1-9][0-9]*:[1-9][0-9]*$`).MatchString(last["USER"]) {
		t.Errorf("the image runs as %q, not as a number that is not root", last["USER"])
	}
	if last["ENTRYPOINT"] != `["/mesh"]` || !strings.HasSuffix(last["HEALTHCHECK"], `CMD ["/mesh", "health"]`) {
		t.Errorf("entry point %s, health check %s", last["ENTRYPOINT"], last["HEALTHCHECK"])
	}
	if code, out := runMesh(t, "health", "--help"); code != exitGood {
		t.Errorf("mesh health: %s", out)
	}
	if !strings.HasPrefix(last["COPY"], "--from=build ") || !strings.HasSuffix(last["COPY"], " /mesh") {
		t.Errorf("the image gets %s", last["COPY"])
	}
	if goVersion := "FROM golang:" + goMinor(t); !strings.HasPrefix("FROM "+stages[0], goVersion) {
		t.Errorf("the build uses %s, go.mod wants %s", stages[0], goVersion)
	}
}

// goMinor is the Go version of go.mod, such as 1.26.
func goMinor(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	return regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(string(text))[1]
}

// TestDockerIgnoreLetsTheBuildThrough: every folder with a package of the program is in
// the build's context.
func TestDockerIgnoreLetsTheBuildThrough(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../.dockerignore")
	if err != nil {
		t.Fatal(err)
	}
	var through []string
	for line := range strings.Lines(string(text)) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "!"); ok {
			through = append(through, name)
		}
	}
	out, err := exec.Command("go", "list", "-deps", "-f", "{{if .Module}}{{if .Module.Main}}{{.ImportPath}}{{end}}{{end}}", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	for path := range strings.FieldsSeq(string(out)) {
		top, _, _ := strings.Cut(strings.TrimPrefix(path, module), "/")
		if !slices.Contains(through, top) {
			t.Errorf("%s is not in the build's context", path)
		}
	}
	for _, file := range []string{"go.mod", "go.sum"} {
		if !slices.Contains(through, file) {
			t.Errorf("%s is not in the build's context", file)
		}
	}
}

// unit reads the settings of a systemd unit: section and key to values.
func unit(t *testing.T, name string) map[string][]string {
	t.Helper()
	settings, section := map[string][]string{}, ""
	for line := range strings.Lines(readDeployment(t, "systemd/"+name)) {
		line = strings.TrimSpace(line)
		key, value, isSetting := strings.Cut(line, "=")
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "["):
			section = strings.Trim(line, "[]")
		case isSetting && section != "":
			settings[section+"."+key] = append(settings[section+"."+key], value)
		default:
			t.Errorf("%s: line %q is neither a section nor a setting", name, line)
		}
	}
	return settings
}

func TestUnitsAreHardened(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"mesh@.service", "nats-server.service"} {
		settings := unit(t, name)
		for key, want := range map[string]string{
			"NoNewPrivileges": "yes", "ProtectSystem": "strict", "ProtectHome": "yes", "PrivateTmp": "yes", "CapabilityBoundingSet": "",
			"RestrictNamespaces": "yes", "MemoryDenyWriteExecute": "yes", "Restart": "always", "SystemCallArchitectures": "native",
		} {
			if got := settings["Service."+key]; len(got) != 1 || got[0] != want {
				t.Errorf("%s: %s is %q, not %q", name, key, got, want)
			}
		}
	}
	mesh := unit(t, "mesh@.service")
	if got := mesh["Service.KillSignal"]; len(got) != 1 || got[0] != "SIGTERM" {
		t.Errorf("a service is stopped by %v", got)
	}
	if got := mesh["Service.DynamicUser"]; len(got) != 1 || got[0] != "yes" {
		t.Errorf("DynamicUser is %v", got)
	}
	if got := mesh["Service.TimeoutStopSec"]; len(got) != 1 || seconds(t, got[0]) < gracePeriod() {
		t.Errorf("a service has %v to stop, it may need %v", got, gracePeriod())
	}
	for _, name := range serviceNames() {
		args := "--http 127.0.0.1:0"
		if name == gatewayName { // as the unit's comment has it
			args = regexp.MustCompile(`(?m)^# MESH_ARGS=(.*)$`).FindStringSubmatch(readDeployment(t, "systemd/mesh@.service"))[1]
		}
		understood(t, strings.Fields(strings.NewReplacer("%i", name, "$MESH_ARGS", args).Replace(mesh["Service.ExecStart"][0]))[1:])
	}
}

// TestSystemdReadsTheUnits asks systemd itself, where it is installed.
func TestSystemdReadsTheUnits(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("no systemd-analyze: install systemd to let it read the units")
	}
	for _, name := range []string{"mesh@.service", "nats-server.service"} {
		out, _ := exec.Command("systemd-analyze", "verify", "--man=no", filepath.Join(deployment, "systemd", name)).CombinedOutput()
		for line := range strings.Lines(string(out)) {
			if !strings.Contains(line, "is not executable: No such file or directory") && strings.Contains(line, strings.TrimSuffix(name, ".service")) {
				t.Error(strings.TrimSpace(line))
			}
		}
	}
}
