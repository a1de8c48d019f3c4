// Package kube writes the Kubernetes manifests of services, so that a service that is
// added to the mesh is deployed like the others: a Deployment with probes, limits and
// an end in good order, a disruption budget, and an account without a token.
//
// What differs between installations is not in them: kustomize overlays and the
// ConfigMap "mesh" say it.
package kube

import (
	"bytes"
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"text/template"
	"time"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// preStop is how long a pod goes on after it was taken out of the Services: the news
// takes a moment to reach every node.
const preStop = 5 * time.Second

// Service is one service and what is special about it.
type Service struct {
	contract.Service
	HTTP bool // answers HTTP on port 8080
}

// Grace is the time from a pod's end to its kill: the news that it ends, its own end,
// and until its unacknowledged messages are taken up by another.
func Grace(stop, ackWait time.Duration) time.Duration { return preStop + stop + ackWait }

//go:embed service.yaml.tmpl
var text string

var parsed = template.Must(template.New("service.yaml").Parse(text))

// Write writes <service>.yaml for each service, and the kustomization that lists them.
func Write(dir string, services []Service, grace time.Duration) error {
	list := bytes.NewBufferString("# Written by 'mesh deploy kubernetes'.\napiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n")
	for _, s := range services {
		var manifest bytes.Buffer
		data := struct {
			Service
			Grace, PreStop int
		}{s, int(grace.Seconds()), int(preStop.Seconds())}
		if err := parsed.Execute(&manifest, data); err != nil {
			return fmt.Errorf("write the manifest of %s: %w", s.Name, err)
		}
		if err := write(dir, s.Name+".yaml", manifest.Bytes()); err != nil {
			return err
		}
		fmt.Fprintf(list, "  - %s.yaml\n", s.Name)
	}
	return write(dir, "kustomization.yaml", list.Bytes())
}

func write(dir, name string, text []byte) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("write manifests: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil { //nolint:gosec // it holds no secret
		return fmt.Errorf("write manifests: %w", err)
	}
	return nil
}
