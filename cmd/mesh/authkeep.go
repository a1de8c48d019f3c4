package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"

	"github.com/ordermesh/ordermesh/bus/auth"
)

// systemConn is a connection of the system user.
type systemConn struct {
	nats  *nats.Conn
	close func()
}

func authRotate(c *cli) *cobra.Command {
	var a authFlags
	cmd := &cobra.Command{
		Use: "rotate <service|role|person|tenant>", Short: "Replace credentials; the old ones are refused after 'mesh auth push'",
		Args: exactly("a service, role, person or tenant"),
		Long: "Replace secrets: of a service or role (a new signing key, and new credentials for each of its users), of a\n" +
			"person or a second user, or of the whole tenant. Put the new files where the services run, then push:\n" +
			"connections with old credentials end and come back with the new file. Streams stay.",
		Example: "  mesh auth rotate orders && mesh auth push\n  mesh auth rotate main --dir /etc/ordermesh/auth   # everything of tenant main",
		RunE: func(_ *cobra.Command, args []string) error {
			f, err := a.open()
			if err != nil {
				return err
			}
			renewed, err := f.Rotate(a.tenant, args[0])
			if err != nil {
				return usagef("%w", err)
			}
			for _, u := range renewed {
				if c.json {
					err = c.printJSON(u)
				} else {
					_, err = fmt.Fprintf(c.out, "new  %s\n", u.Creds)
				}
				if err != nil {
					return err
				}
			}
			if c.json {
				return nil
			}
			_, err = fmt.Fprintln(c.out, "the old credentials are refused after 'mesh auth push'")
			return err
		},
	}
	a.addDir(cmd.Flags())
	a.addTenant(cmd.Flags())
	return cmd
}

func authUpdate(c *cli) *cobra.Command {
	var a authFlags
	var limits auth.Limits
	cmd := &cobra.Command{
		Use: "update", Short: "Derive permissions from the services of this build anew; credentials stay as they are", Args: exactly(),
		Example: "  mesh auth update && mesh auth push\n  mesh auth update --tenant shop2 --disk 2147483648",
		RunE: func(cmd *cobra.Command, _ []string) error {
			f, err := a.open()
			if err != nil {
				return err
			}
			var changed *auth.Limits
			if cmd.Flags().Changed("disk") || cmd.Flags().Changed("connections") {
				changed = &limits
			}
			if err := f.Update(a.tenant, changed, descriptors(allServices())); err != nil {
				return usagef("%w", err)
			}
			if c.json {
				return c.announceAuth(f, a.tenant, false)
			}
			_, err = fmt.Fprintf(c.out, "tenant %s is derived anew; 'mesh auth push' tells the servers\n", a.tenant)
			return err
		},
	}
	a.addDir(cmd.Flags())
	a.addTenant(cmd.Flags())
	limitFlags(cmd.Flags(), &limits)
	return cmd
}

func someHosts(_ *cobra.Command, args []string) error {
	if len(args) == 0 {
		return usagef("name the hosts by which the servers are reached: they stand in their certificate")
	}
	return nil
}

func authTLS(c *cli) *cobra.Command {
	var a authFlags
	cmd := &cobra.Command{
		Use: "tls <host>...", Short: "Make certificates for servers at these hosts and for clients, by the folder's own CA", Args: someHosts,
		Example: "  mesh auth tls localhost 127.0.0.1\n  mesh auth tls nats-0.nats nats-1.nats nats-2.nats",
		RunE: func(_ *cobra.Command, args []string) error {
			f, err := a.open()
			if err != nil {
				return err
			}
			files, err := f.MakeTLS(args)
			if err != nil {
				return usagef("%w", err)
			}
			if c.json {
				return c.printJSON(files)
			}
			_, err = fmt.Fprintf(c.out, "CA       %s\nservers  %s %s\nclients  %s %s\n", files.CA, files.ServerCert, files.ServerKey, files.ClientCert, files.ClientKey)
			return err
		},
	}
	a.addDir(cmd.Flags())
	return cmd
}

// tenantLine is a tenant with what was given out in it.
type tenantLine struct {
	auth.Tenant
	Users []auth.User `json:"users"`
}

func authList(c *cli) *cobra.Command {
	var a authFlags
	cmd := &cobra.Command{
		Use: "ls", Short: "List tenants and their users, and when credentials expire", Args: exactly(),
		Example: "  mesh auth ls\n  mesh auth ls --json",
		RunE: func(*cobra.Command, []string) error {
			f, err := a.open()
			if err != nil {
				return err
			}
			tenants, err := f.Tenants()
			if err != nil {
				return err
			}
			for _, tenant := range tenants {
				users, err := f.Users(tenant.Name)
				if err != nil {
					return err
				}
				if err := c.printTenant(tenantLine{tenant, users}); err != nil {
					return err
				}
			}
			return nil
		},
	}
	a.addDir(cmd.Flags())
	return cmd
}

func (c *cli) printTenant(t tenantLine) error {
	if c.json {
		return c.printJSON(t)
	}
	l := t.Limits
	fmt.Fprintf(c.out, "%s  %s  disk %s, %d streams, %d connections\n", c.bold(t.Name), c.dim(t.Key), bytesText(l.Disk), l.Streams, l.Connections)
	var g grid
	g.header("user", "role", "issued", "expires")
	now := time.Now()
	for _, u := range t.Users {
		expires, colour := "never", ""
		switch {
		case u.Expired(now):
			expires, colour = u.Expires.Format(time.DateTime)+" (expired)", red
		case !u.Expires.IsZero():
			expires = u.Expires.Format(time.DateTime)
		}
		g.add(cell{u.Name, ""}, cell{u.Role, ""}, cell{u.Issued.Format(time.DateTime), dimmed}, cell{expires, colour})
	}
	_, err := fmt.Fprintln(c.out, strings.Join(g.lines(c, "  "), "\n"))
	return err
}

// bytesText is a size for people; -1 is none.
func bytesText(n int64) string {
	switch {
	case n < 0:
		return "unlimited"
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}

func authPush(c *cli) *cobra.Command {
	var a authFlags
	var n natsFlags
	cmd := &cobra.Command{
		Use: "push", Short: "Tell the servers of new tenants, permissions and rotated keys, without a restart", Args: exactly(),
		Example: "  mesh auth push --nats tls://10.0.0.5:4222\n  mesh auth push --dir /etc/ordermesh/auth",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withSystem(cmd.Context(), &a, &n, func(ctx context.Context, f *auth.Folder, nc *nats.Conn) error {
				pushed, err := f.Push(ctx, nc)
				if err != nil {
					return usagef("%w", err)
				}
				for _, p := range pushed {
					if c.json {
						err = c.printJSON(p)
					} else {
						_, err = fmt.Fprintf(c.out, "pushed  %s  to %s\n", p.Tenant, p.Server)
					}
					if err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
	a.addDir(cmd.Flags())
	n.add(cmd.Flags())
	return cmd
}

// withSystem runs f as the system user.
func withSystem(ctx context.Context, a *authFlags, n *natsFlags, use func(context.Context, *auth.Folder, *nats.Conn) error) error {
	f, err := a.open()
	if err != nil {
		return err
	}
	system, err := a.systemConn(ctx, n, f)
	if err != nil {
		return err
	}
	defer system.close()
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	return use(ctx, f, system.nats)
}

func authCheck(c *cli) *cobra.Command {
	var a authFlags
	var n natsFlags
	cmd := &cobra.Command{
		Use: "check", Short: "Find secrets that others may read, permissions that differ from the descriptors, and what expires", Args: exactly(),
		Long: "Look through the folder; with --nats (or NATS_URL) also compare it with what the servers know.\n" +
			"Exit code 1 when something is wrong; what only expires within 30 days is said and is no error.",
		Example: "  mesh auth check\n  mesh auth check --nats tls://10.0.0.5:4222",
		RunE: func(cmd *cobra.Command, _ []string) error {
			f, err := a.open()
			if err != nil {
				return err
			}
			problems, err := f.Check(descriptors(allServices()), time.Now())
			if err != nil {
				return err
			}
			if n.named() {
				err := withSystem(cmd.Context(), &a, &n, func(ctx context.Context, f *auth.Folder, nc *nats.Conn) error {
					more, err := f.Compare(ctx, nc)
					problems = append(problems, more...)
					return err
				})
				if err != nil {
					return err
				}
			}
			return c.printProblems(problems)
		},
	}
	a.addDir(cmd.Flags())
	n.add(cmd.Flags())
	return cmd
}

// printProblems says what is wrong, or that nothing is.
func (c *cli) printProblems(problems []auth.Problem) error {
	bad := false
	for _, p := range problems {
		bad = bad || !p.Later
		var err error
		if c.json {
			err = c.printJSON(p)
		} else {
			_, err = fmt.Fprintln(c.out, p)
		}
		if err != nil {
			return err
		}
	}
	switch {
	case bad:
		return errSaid
	case c.json || len(problems) > 0:
		return nil
	}
	_, err := fmt.Fprintln(c.out, "identities are in order")
	return err
}
