package main

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/cmd/mesh/kube"
	"github.com/ordermesh/ordermesh/contracts/sandbox"
)

func kubernetesCommand(c *cli) *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use: "kubernetes", Short: "Write the manifests of every service", Args: exactly(),
		Long: "Write a Deployment with all that belongs to it for each service: into <out>/base/services, and for\n" +
			"the sandboxes, which only rehearsals run, into <out>/sandbox. The rest of deploy/kubernetes is written\n" +
			"by hand.",
		Example: "  mesh deploy kubernetes --out deploy/kubernetes",
		RunE: func(*cobra.Command, []string) error {
			if err := writeManifests(out); err != nil {
				return err
			}
			if c.json {
				return c.printJSON(map[string]any{"written": out, "services": serviceNames()})
			}
			_, err := fmt.Fprintf(c.out, "wrote the manifests of %d services below %s\n", len(serviceNames()), out)
			return err
		},
	}
	cmd.Flags().StringVar(&out, "out", "deploy/kubernetes", "`folder` to write into")
	return cmd
}

func writeManifests(out string) error {
	var services, sandboxes []kube.Service
	for _, desc := range descriptors(allServices()) {
		s := kube.Service{Service: desc, HTTP: desc.Name == gatewayName}
		if desc.Name == sandbox.Provider.Name || desc.Name == sandbox.Carrier.Name {
			sandboxes = append(sandboxes, s)
		} else {
			services = append(services, s)
		}
	}
	grace := kube.Grace(stopTimeout, longestAckWait())
	if err := kube.Write(filepath.Join(out, "base", "services"), services, grace); err != nil {
		return err
	}
	return kube.Write(filepath.Join(out, "sandbox"), sandboxes, grace)
}

// longestAckWait is how long it may take until another process takes up what one has
// left undone.
func longestAckWait() time.Duration {
	longest := time.Duration(0)
	for _, spec := range contract.Consumers(descriptors(allServices())...) {
		longest = max(longest, spec.AckWait)
	}
	return longest
}
