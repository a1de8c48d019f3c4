package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func versionCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version of mesh and of what it embeds", GroupID: groupOther,
		Example: "  mesh version\n  mesh version --json", Args: exactly(),
		RunE: func(*cobra.Command, []string) error {
			v := buildVersion()
			if c.json {
				return c.printJSON(v)
			}
			fmt.Fprintf(c.out, "mesh %s (%s, nats-server %s, nats.go %s)\n", v.Mesh, v.Go, v.NATSServer, v.NATSClient)
			return nil
		},
	}
}

type versions struct {
	Mesh       string `json:"mesh"`
	Revision   string `json:"revision,omitzero"`
	Go         string `json:"go"`
	NATSServer string `json:"nats_server"`
	NATSClient string `json:"nats_client"`
}

// buildVersion reads what the Go tool wrote into the binary.
func buildVersion() versions {
	v := versions{Mesh: "devel", Go: runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if info.Main.Version != "" && info.Main.Version != "(devel)" {
		v.Mesh = info.Main.Version
	}
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" {
			v.Revision = setting.Value
		}
	}
	for _, dep := range info.Deps {
		switch dep.Path {
		case "github.com/nats-io/nats-server/v2":
			v.NATSServer = dep.Version
		case "github.com/nats-io/nats.go":
			v.NATSClient = dep.Version
		}
	}
	return v
}
