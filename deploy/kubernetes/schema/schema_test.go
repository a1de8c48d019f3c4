// Package schema holds the manifests to the types of Kubernetes' own API, strictly: a
// member that the API does not know is an error. It is a module of its own, so that the
// mesh does not depend on Kubernetes.
package schema

import (
	"bytes"
	"os/exec"
	"testing"

	apps "k8s.io/api/apps/v1"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

var kinds = map[string]func() any{
	"apps/v1 Deployment":                 func() any { return &apps.Deployment{} },
	"batch/v1 Job":                       func() any { return &batch.Job{} },
	"v1 ConfigMap":                       func() any { return &core.ConfigMap{} },
	"v1 Namespace":                       func() any { return &core.Namespace{} },
	"v1 Service":                         func() any { return &core.Service{} },
	"v1 ServiceAccount":                  func() any { return &core.ServiceAccount{} },
	"networking.k8s.io/v1 NetworkPolicy": func() any { return &networking.NetworkPolicy{} },
	"policy/v1 PodDisruptionBudget":      func() any { return &policy.PodDisruptionBudget{} },
}

func TestManifestsAreStrictlyOfTheAPI(t *testing.T) {
	if _, err := exec.LookPath("kubectl"); err != nil {
		t.Skip("no kubectl: install it to have the manifests rendered")
	}
	for _, overlay := range []string{"dev", "production"} {
		text, err := exec.Command("kubectl", "kustomize", "../overlays/"+overlay).Output()
		if err != nil {
			t.Fatalf("%s: %v", overlay, err)
		}
		documents := bytes.Split(text, []byte("\n---\n"))
		if len(documents) < 20 {
			t.Errorf("%s renders to %d documents", overlay, len(documents))
		}
		for _, document := range documents {
			var what struct {
				meta.TypeMeta   `json:",inline"`
				meta.ObjectMeta `json:"metadata"`
			}
			if err := yaml.Unmarshal(document, &what); err != nil {
				t.Fatalf("%s: %v", overlay, err)
			}
			fresh := kinds[what.APIVersion+" "+what.Kind]
			if fresh == nil {
				t.Errorf("%s: %s %s: no such kind", overlay, what.APIVersion, what.Kind)
				continue
			}
			if err := yaml.UnmarshalStrict(document, fresh()); err != nil {
				t.Errorf("%s: %s %s: %v", overlay, what.Kind, what.Name, err)
			}
		}
	}
}

// TestStrictIsStrict: a mistake in a name is found.
func TestStrictIsStrict(t *testing.T) {
	if err := yaml.UnmarshalStrict([]byte("spec: {template: {spec: {terminationGracePeriod: 3}}}"), &apps.Deployment{}); err == nil {
		t.Error("a member that does not exist was taken")
	}
}
