package main

import (
	"bytes"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/ordermesh/ordermesh/cmd/mesh/natsconf"
)

func deployCommand(c *cli) *cobra.Command {
	return inGroup(groupOther, group("deploy", "Write what a deployment needs; deploy/README.md is the runbook",
		"  mesh deploy nats-config --nodes nats-0,nats-1,nats-2", natsConfigCommand(c), kubernetesCommand(c)))
}

func natsConfigCommand(c *cli) *cobra.Command {
	conf := natsconf.Default("nats-0", "nats-1", "nats-2")
	var out string
	cmd := &cobra.Command{
		Use: "nats-config", Short: "Write the configuration of the nats-server cluster", Args: exactly(),
		Long: "Write nats-server.conf, the same for every node: cluster, TLS, JetStream that syncs before it\n" +
			"acknowledges, limits, and who may do what. With --auth jwt it includes what 'mesh auth' wrote; with\n" +
			"--auth users it has a user for each service, with what its descriptor allows and a password from the\n" +
			"server's environment (MESH_PASSWORD_ORDERS and so on). The server's environment also gives\n" +
			"NATS_SERVER_NAME, which is the only thing that differs between nodes.",
		Example: "  mesh deploy nats-config --nodes nats-0,nats-1,nats-2 --out nats-server.conf\n" +
			"  mesh deploy nats-config --nodes 127.0.0.1 --auth users --tls ''",
		RunE: func(*cobra.Command, []string) error {
			conf.Services = descriptors(allServices())
			var text bytes.Buffer
			if err := conf.Write(&text); err != nil {
				return usagef("%w", err)
			}
			if out == "" {
				_, err := c.out.Write(text.Bytes())
				return err
			}
			if err := os.WriteFile(out, text.Bytes(), 0o644); err != nil { //nolint:gosec // it holds no secret and the server's user must read it
				return fmt.Errorf("write the configuration: %w", err)
			}
			if c.json {
				return c.printJSON(map[string]any{"written": out, "nodes": conf.Nodes, "auth": conf.Auth})
			}
			_, err := fmt.Fprintf(c.out, "wrote %s for %d nodes\n", out, len(conf.Nodes))
			return err
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&conf.Nodes, "nodes", conf.Nodes, "host `names` of the servers: one, or three and more")
	f.StringVar(&conf.Cluster, "cluster", conf.Cluster, "`name` of the cluster")
	f.StringVar(&conf.Auth, "auth", conf.Auth, "`jwt` includes --auth-file, users has a user and password for each service")
	f.StringVar(&conf.AuthFile, "auth-file", conf.AuthFile, "`file` that 'mesh auth' wrote, as seen from the configuration's folder")
	f.StringVar(&conf.TLS, "tls", conf.TLS, "`folder` with ca.pem, server.pem and server-key.pem; '' is no TLS")
	f.StringVar(&conf.Store, "store", conf.Store, "`folder` of JetStream")
	f.StringVar(&conf.MaxFile, "max-file-store", conf.MaxFile, "what JetStream may take of the disk, as a `size` such as 50GB")
	f.StringVar(&conf.Listen, "listen", conf.Listen, "`address` for clients")
	f.StringVar(&conf.Routes, "routes", conf.Routes, "`address` for the other servers")
	f.StringVar(&conf.Monitor, "monitor", conf.Monitor, "`address` for probes and metrics; '' is none")
	f.StringVar(&out, "out", "", "`file` to write; standard output by default")
	return cmd
}
