package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

func viewCommand(c *cli) *cobra.Command {
	return inGroup(groupLook, group("view", "Look after the views: what lists and reports are answered from",
		"  mesh view roles | psql \"$ADMIN_URL\"   # before the first start in production",
		viewRoles(c)))
}

func viewRoles(c *cli) *cobra.Command {
	return &cobra.Command{
		Use: "roles", Short: "Print the SQL that makes each service's role and schema in PostgreSQL",
		Long: "Print the SQL that makes the role and the schema of each service with views. What is there already\n" +
			"is left alone. Give each role a way to log in and a service the URL of its own role, or let one user\n" +
			"log in for all: services go on as their own role. 'mesh dev' and 'mesh run --profile dev' run it themselves.",
		Example: "  mesh view roles | psql postgres://admin@10.0.0.7/mesh\n" +
			"  psql postgres://admin@10.0.0.7/mesh -c \"ALTER ROLE mesh_orders LOGIN PASSWORD '…'\"",
		Args: exactly(),
		RunE: func(*cobra.Command, []string) error {
			var b strings.Builder
			for _, s := range allServices() {
				if len(s.desc.Views) > 0 {
					fmt.Fprintf(&b, "-- %s: role %s, schema %s\n%s\n", s.desc.Name, sqlRole(s.desc.Name), sqlSchema(s.desc.Name), roleSQL(s.desc.Name))
				}
			}
			if c.json {
				return c.printJSON(struct {
					SQL string `json:"sql"`
				}{b.String()})
			}
			_, err := fmt.Fprint(c.out, b.String())
			return err
		},
	}
}
