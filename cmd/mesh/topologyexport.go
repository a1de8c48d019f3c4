package main

import (
	"bytes"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/ordermesh/ordermesh/cmd/mesh/topology"
)

func topologyExport(c *cli) *cobra.Command {
	var e topology.Exporter
	var file string
	cmd := &cobra.Command{
		Use: "export", Short: "Write the same as manifests for NACK, the JetStream controller for Kubernetes", Args: exactly(),
		Long: "Write streams, consumers, buckets and object stores as resources of " + topology.ManifestAPI + ", for teams\n" +
			"whose cluster is run by NACK (in its control-loop mode, which the last two need). It asks no server.\n" +
			"Each resource has preventDelete: deleting it leaves the messages where they are.",
		Example: "  mesh topology export > jetstream.yaml\n  mesh topology export --namespace shop --account shop --file jetstream.yaml",
		RunE: func(_ *cobra.Command, _ []string) error {
			manifests := e.Manifests(descriptors(allServices())...)
			var out bytes.Buffer
			if err := topology.Write(&out, manifests); err != nil {
				return err
			}
			switch {
			case file != "":
				if err := os.WriteFile(file, out.Bytes(), 0o644); err != nil { //nolint:gosec // manifests hold no secret
					return usagef("--file: %w", err)
				}
			case !c.json:
				_, err := c.out.Write(out.Bytes())
				return err
			}
			if c.json {
				return c.printJSON(map[string]any{"resources": len(manifests), "file": file, "yaml": out.String()})
			}
			_, err := fmt.Fprintf(c.out, "%d resources in %s\n", len(manifests), file)
			return err
		},
	}
	f := cmd.Flags()
	f.IntVar(&e.Replicas, "replicas", productionReplicas, "`copies` of each stream")
	f.StringVar(&e.Namespace, "namespace", "", "`namespace` of the resources")
	f.StringVar(&e.Account, "account", "", "`name` of the Account resource by which NACK connects")
	f.StringVar(&file, "file", "", "write to this `file` instead of standard output")
	return cmd
}
