package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/ordermesh/ordermesh/contracts/sandbox"
)

// manifest is what the tests look at of a Kubernetes object.
type manifest struct {
	Kind     string
	Metadata struct{ Name, Namespace string }
	Data     map[string]string
	Spec     struct {
		Replicas int
		Template struct{ Spec podSpec }
		Selector struct {
			MatchLabels map[string]string `yaml:"matchLabels"`
		}
		PodSelector struct {
			MatchLabels map[string]string `yaml:"matchLabels"`
		} `yaml:"podSelector"`
		PolicyTypes []string `yaml:"policyTypes"`
		Ingress     []any
		Egress      []any
	}
}

type podSpec struct {
	ServiceAccountName            string `yaml:"serviceAccountName"`
	AutomountServiceAccountToken  *bool  `yaml:"automountServiceAccountToken"`
	TerminationGracePeriodSeconds int    `yaml:"terminationGracePeriodSeconds"`
	TopologySpreadConstraints     []any  `yaml:"topologySpreadConstraints"`
	SecurityContext               struct {
		RunAsNonRoot   bool                  `yaml:"runAsNonRoot"`
		RunAsUser      int                   `yaml:"runAsUser"`
		SeccompProfile struct{ Type string } `yaml:"seccompProfile"`
	} `yaml:"securityContext"`
	Containers []struct {
		Image          string
		Args           []string
		LivenessProbe  probe `yaml:"livenessProbe"`
		ReadinessProbe probe `yaml:"readinessProbe"`
		Lifecycle      struct {
			PreStop struct{ Sleep struct{ Seconds int } } `yaml:"preStop"`
		}
		Ports []struct {
			Name          string
			ContainerPort int `yaml:"containerPort"`
		}
		Resources       struct{ Requests, Limits map[string]string }
		SecurityContext struct {
			AllowPrivilegeEscalation *bool `yaml:"allowPrivilegeEscalation"`
			ReadOnlyRootFilesystem   bool  `yaml:"readOnlyRootFilesystem"`
			Capabilities             struct{ Drop []string }
		} `yaml:"securityContext"`
	}
	Volumes []struct {
		Secret struct {
			SecretName string `yaml:"secretName"`
		}
	}
}

type probe struct {
	HTTPGet struct{ Path, Port string } `yaml:"httpGet"`
}

func manifests(t *testing.T, text []byte) map[string]manifest {
	t.Helper()
	all := map[string]manifest{}
	for decoder := yaml.NewDecoder(bytes.NewReader(text)); ; {
		var m manifest
		if err := decoder.Decode(&m); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all[m.Kind+"/"+m.Metadata.Name] = m
	}
}

// TestManifestsAreAsWritten: what `mesh deploy kubernetes` writes today is what is there,
// for every service.
func TestManifestsAreAsWritten(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if code, out := runMesh(t, "deploy", "kubernetes", "--out", dir); code != exitGood {
		t.Fatalf("exit code %d: %s", code, out)
	}
	for _, part := range []string{"base/services", "sandbox"} {
		want, got := folder(t, filepath.Join(dir, part)), folder(t, filepath.Join(deployment, "kubernetes", part))
		for name := range got {
			if _, ok := want[name]; !ok {
				t.Errorf("%s/%s is of no service", part, name)
			}
		}
		for name, text := range want {
			if got[name] != text {
				t.Errorf("%s/%s is not as 'mesh deploy kubernetes' writes it: run it", part, name)
			}
		}
	}
}

func folder(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()] = string(text)
	}
	return files
}

// TestOverlaysRender lets kubectl render them, and looks at what a cluster would get.
func TestOverlaysRender(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("kubectl"); err != nil {
		t.Skip("no kubectl: install it to have the manifests rendered")
	}
	for _, overlay := range []string{"dev", "production"} {
		text, err := exec.Command("kubectl", "kustomize", filepath.Join(deployment, "kubernetes/overlays", overlay)).Output()
		if err != nil {
			t.Fatalf("%s: %v", overlay, err)
		}
		all := manifests(t, text)
		for _, name := range serviceNames() {
			m, ok := all["Deployment/mesh-"+name]
			rehearsal := name == sandbox.Provider.Name || name == sandbox.Carrier.Name
			if ok == (rehearsal && overlay == "production") {
				t.Errorf("%s: service %s: deployed %v", overlay, name, ok)
			}
			if !ok {
				continue
			}
			if overlay == "production" && m.Spec.Replicas < 2 {
				t.Errorf("%s runs %d times: two can lose one", name, m.Spec.Replicas)
			}
			inCluster(t, overlay+" "+name, m)
			if budget, ok := all["PodDisruptionBudget/mesh-"+name]; !ok || budget.Spec.Selector.MatchLabels["app.kubernetes.io/component"] != name {
				t.Errorf("%s: %s has no disruption budget", overlay, name)
			}
			if _, ok := all["ServiceAccount/mesh-"+name]; !ok {
				t.Errorf("%s: %s has no account", overlay, name)
			}
		}
		job := all["Job/mesh-topology"].Spec.Template.Spec
		confined(t, overlay+" topology", job)
		understood(t, job.Containers[0].Args)
		closed(t, overlay, all)
	}
}

// inCluster looks at one service.
func inCluster(t *testing.T, who string, m manifest) {
	t.Helper()
	pod := m.Spec.Template.Spec
	confined(t, who, pod)
	if grace := time.Duration(pod.TerminationGracePeriodSeconds) * time.Second; grace < gracePeriod() {
		t.Errorf("%s: a pod has %v to end, until its messages are taken up takes %v", who, grace, gracePeriod())
	}
	if len(pod.TopologySpreadConstraints) == 0 || pod.ServiceAccountName != m.Metadata.Name {
		t.Errorf("%s: spread %v, account %q", who, pod.TopologySpreadConstraints, pod.ServiceAccountName)
	}
	container := pod.Containers[0]
	if container.LivenessProbe.HTTPGet.Path != "/livez" || container.ReadinessProbe.HTTPGet.Path != "/readyz" {
		t.Errorf("%s: probes %+v and %+v", who, container.LivenessProbe, container.ReadinessProbe)
	}
	ports := map[string]string{}
	for _, p := range container.Ports {
		ports[p.Name] = fmt.Sprint(":", p.ContainerPort)
	}
	if args := strings.Join(container.Args, " "); !strings.Contains(args, ports[container.LivenessProbe.HTTPGet.Port]) {
		t.Errorf("%s: the probes ask %s, the process serves %s", who, ports[container.LivenessProbe.HTTPGet.Port], args)
	}
	if container.Lifecycle.PreStop.Sleep.Seconds == 0 || len(container.Resources.Requests) < 2 || container.Resources.Limits["memory"] == "" {
		t.Errorf("%s: pre-stop %d s, resources %v", who, container.Lifecycle.PreStop.Sleep.Seconds, container.Resources)
	}
	for i, arg := range container.Args {
		container.Args[i] = strings.ReplaceAll(arg, "$(MESH_PROFILE)", "production")
	}
	understood(t, container.Args)
}

// confined holds a pod to the restricted security standard of Kubernetes, and to have
// its own credentials and no token.
func confined(t *testing.T, who string, pod podSpec) {
	t.Helper()
	c := pod.Containers[0].SecurityContext
	switch {
	case !pod.SecurityContext.RunAsNonRoot || pod.SecurityContext.RunAsUser == 0 || pod.SecurityContext.SeccompProfile.Type != "RuntimeDefault":
		t.Errorf("%s: runs as %+v", who, pod.SecurityContext)
	case c.AllowPrivilegeEscalation == nil || *c.AllowPrivilegeEscalation || !c.ReadOnlyRootFilesystem || strings.Join(c.Capabilities.Drop, "") != "ALL":
		t.Errorf("%s: its container is not confined: %+v", who, c)
	case pod.AutomountServiceAccountToken == nil || *pod.AutomountServiceAccountToken:
		t.Errorf("%s: it gets a token of the cluster", who)
	case len(pod.Volumes) != 2 || !strings.HasPrefix(pod.Volumes[0].Secret.SecretName, "mesh-creds-"):
		t.Errorf("%s: it has the volumes %+v", who, pod.Volumes)
	}
}

// closed finds the policy that denies what no other allows.
func closed(t *testing.T, overlay string, all map[string]manifest) {
	t.Helper()
	deny := all["NetworkPolicy/mesh-deny"].Spec
	if len(deny.PolicyTypes) != 2 || len(deny.Ingress)+len(deny.Egress) != 0 || deny.PodSelector.MatchLabels["app.kubernetes.io/name"] != "ordermesh" {
		t.Errorf("%s: the network is not closed by default: %+v", overlay, deny)
	}
	if len(all["NetworkPolicy/mesh-egress"].Spec.Egress) != 3 {
		t.Errorf("%s: services reach %d kinds of places, not the name service, NATS and the stores", overlay, len(all["NetworkPolicy/mesh-egress"].Spec.Egress))
	}
}

// TestChartValues: the servers' chart gets what production demands of a server.
func TestChartValues(t *testing.T) {
	t.Parallel()
	var values struct {
		Config struct {
			Cluster struct {
				Enabled  bool
				Replicas int
				TLS      struct{ Enabled bool } `yaml:"tls"`
			}
			JetStream struct {
				FileStore struct {
					Enabled bool
					MaxSize string `yaml:"maxSize"`
				} `yaml:"fileStore"`
				Merge map[string]string
			} `yaml:"jetstream"`
			NATS struct {
				TLS struct {
					Enabled bool
					Merge   map[string]bool
				} `yaml:"tls"`
			} `yaml:"nats"`
			Resolver struct {
				Enabled bool
				Merge   map[string]string
			}
			Merge map[string]string
		}
	}
	if err := yaml.Unmarshal([]byte(readDeployment(t, "kubernetes/nats-values.yaml")), &values); err != nil {
		t.Fatal(err)
	}
	c := values.Config
	switch {
	case !c.Cluster.Enabled || c.Cluster.Replicas != productionReplicas || !c.Cluster.TLS.Enabled:
		t.Errorf("cluster %+v", c.Cluster)
	case c.JetStream.Merge["sync_interval"] != "always" || !c.JetStream.FileStore.Enabled || c.JetStream.FileStore.MaxSize == "":
		t.Errorf("JetStream %+v", c.JetStream)
	case !c.NATS.TLS.Enabled || !c.NATS.TLS.Merge["verify"]:
		t.Errorf("TLS %+v", c.NATS)
	case !c.Resolver.Enabled || c.Resolver.Merge["type"] != "full" || c.Merge["operator"] == "" || c.Merge["system_account"] == "":
		t.Errorf("who may log in: %+v, %v", c.Resolver, c.Merge)
	}
}
