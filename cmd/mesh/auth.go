package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/ordermesh/ordermesh/bus/auth"
)

const (
	defaultAuthDir = "auth"
	defaultTenant  = "main"
)

// authFlags say which folder of identities, and which tenant in it.
type authFlags struct{ dir, tenant string }

func (a *authFlags) addDir(f *pflag.FlagSet) {
	f.StringVar(&a.dir, "dir", "", "`folder` of the identities (default $MESH_AUTH, else "+defaultAuthDir+")")
}

func (a *authFlags) addTenant(f *pflag.FlagSet) {
	f.StringVar(&a.tenant, "tenant", defaultTenant, "`name` of the tenant")
}

func (a *authFlags) path() string { return cmp.Or(a.dir, os.Getenv("MESH_AUTH"), defaultAuthDir) }

func (a *authFlags) open() (*auth.Folder, error) {
	f, err := auth.Open(a.path())
	if err != nil {
		return nil, usagef("%w", err)
	}
	return f, nil
}

func authCommand(c *cli) *cobra.Command {
	cmd := group("auth", "Make and look after the identities of a mesh that runs apart",
		"  mesh auth init --tls localhost,nats.example.org   # operator, tenant \"main\", a user per service, certificates\n"+
			"  mesh auth add person anna --expires 720h           # who may look and change nothing\n"+
			"  mesh auth rotate orders && mesh auth push          # new credentials; the old ones are refused",
		authInit(c), authAdd(c), authRotate(c), authUpdate(c), authTLS(c), authList(c), authPush(c), authCheck(c))
	cmd.Long = "A folder holds who a mesh's users are (decentralized JWT of NATS): an operator, one account with limits per\n" +
		"tenant, and for each service a signing key whose permissions are derived from its descriptor. Servers\n" +
		"include <folder>/nats-auth.conf; services run with --creds <folder>/creds/<tenant>.\n" +
		"keys/operator.nk signs all accounts: keep it where only who runs these commands can read it."
	return cmd
}

func authInit(c *cli) *cobra.Command {
	var a authFlags
	var limits auth.Limits
	var hosts []string
	cmd := &cobra.Command{
		Use: "init", Short: "Make an operator, a first tenant with a user for each service, and certificates", Args: exactly(),
		Example: "  mesh auth init\n  mesh auth init --dir /etc/ordermesh/auth --tenant shop --tls 10.0.0.5,nats.internal",
		RunE: func(*cobra.Command, []string) error {
			f, err := auth.Init(a.path())
			if err != nil {
				return usagef("%w", err)
			}
			if err := f.AddTenant(a.tenant, limits, descriptors(allServices())); err != nil {
				return usagef("%w", err)
			}
			if len(hosts) > 0 {
				if _, err := f.MakeTLS(hosts); err != nil {
					return usagef("%w", err)
				}
			}
			return c.announceAuth(f, a.tenant, len(hosts) > 0)
		},
	}
	fl := cmd.Flags()
	a.addDir(fl)
	a.addTenant(fl)
	limitFlags(fl, &limits)
	fl.StringSliceVar(&hosts, "tls", nil, "also make a CA and certificates for servers at these `hosts`")
	return cmd
}

func limitFlags(f *pflag.FlagSet, l *auth.Limits) {
	f.Int64Var(&l.Disk, "disk", 0, "`bytes` that the tenant's streams may take on disk, replicas counted; -1 is no limit (default 10 GiB)")
	f.Int64Var(&l.Connections, "connections", 0, "how many connections the tenant may have (default 1000)")
}

// authNote is what was made.
type authNote struct {
	Dir    string   `json:"dir"`
	Tenant string   `json:"tenant"`
	Conf   string   `json:"conf"`
	Creds  string   `json:"creds"`
	Users  []string `json:"users"`
	TLS    bool     `json:"tls"`
}

// announceAuth says what was made and what comes next.
func (c *cli) announceAuth(f *auth.Folder, tenant string, tls bool) error {
	users, err := f.Users(tenant)
	if err != nil {
		return err
	}
	note := authNote{Dir: f.Dir(), Tenant: tenant, Conf: f.ConfFile(), Creds: f.CredsDir(tenant), TLS: tls}
	for _, u := range users {
		note.Users = append(note.Users, u.Name)
	}
	if c.json {
		return c.printJSON(note)
	}
	flags := ""
	if tls {
		files := f.TLSFiles()
		flags = fmt.Sprintf(" --tls-ca %s --tls-cert %s --tls-key %s", files.CA, files.ClientCert, files.ClientKey)
	}
	_, err = fmt.Fprintf(c.out, "tenant %s in %s: %s\n\nservers    include %q in nats-server.conf\nprovision  mesh topology apply --creds %s%s\nservices   mesh run orders --creds %s%s\n",
		tenant, f.Dir(), strings.Join(note.Users, ", "), note.Conf, f.Creds(tenant, auth.Admin), flags, note.Creds, flags)
	return err
}

func authAdd(c *cli) *cobra.Command {
	return group("add", "Add a tenant, a second user of a service, or a person",
		"  mesh auth add tenant shop2 --disk 1073741824\n  mesh auth add person anna --role observer --expires 720h",
		authAddTenant(c), authAddServiceUser(c), authAddPerson(c))
}

func authAddTenant(c *cli) *cobra.Command {
	var a authFlags
	var limits auth.Limits
	cmd := &cobra.Command{
		Use: "tenant <name>", Short: "Add an account with a user for each service", Args: exactly("a name"),
		Example: "  mesh auth add tenant shop2 --disk 1073741824\n  mesh auth push   # tells the servers",
		RunE: func(_ *cobra.Command, args []string) error {
			f, err := a.open()
			if err != nil {
				return err
			}
			if err := f.AddTenant(args[0], limits, descriptors(allServices())); err != nil {
				return usagef("%w", err)
			}
			return c.announceAuth(f, args[0], false)
		},
	}
	a.addDir(cmd.Flags())
	limitFlags(cmd.Flags(), &limits)
	return cmd
}

func authAddServiceUser(c *cli) *cobra.Command {
	var a authFlags
	var name string
	var lasts time.Duration
	cmd := &cobra.Command{
		Use: "service-user <service>", Short: "Give a service credentials of another name, for example one per machine", Args: exactly("a service"),
		Example: "  mesh auth add service-user orders --name orders-rack2 --expires 2160h",
		RunE: func(_ *cobra.Command, args []string) error {
			if name == "" {
				return usagef("--name is missing: give the new user a name that no other has")
			}
			return addUser(c, &a, args[0], name, lasts)
		},
	}
	a.addDir(cmd.Flags())
	a.addTenant(cmd.Flags())
	cmd.Flags().StringVar(&name, "name", "", "`name` of the user")
	expiryFlag(cmd.Flags(), &lasts)
	return cmd
}

func authAddPerson(c *cli) *cobra.Command {
	var a authFlags
	var role string
	var lasts time.Duration
	cmd := &cobra.Command{
		Use: "person <name>", Short: "Give a person credentials: an observer looks, an admin may do everything in the tenant", Args: exactly("a name"),
		Example: "  mesh auth add person anna --expires 720h\n  mesh auth add person ops --role admin --expires 8h",
		RunE: func(_ *cobra.Command, args []string) error {
			if role != auth.Observer && role != auth.Admin {
				return usagef("--role %q is none for people: use %s or %s", role, auth.Observer, auth.Admin)
			}
			return addUser(c, &a, role, args[0], lasts)
		},
	}
	a.addDir(cmd.Flags())
	a.addTenant(cmd.Flags())
	cmd.Flags().StringVar(&role, "role", auth.Observer, "`role`: "+auth.Observer+" or "+auth.Admin)
	expiryFlag(cmd.Flags(), &lasts)
	return cmd
}

func expiryFlag(f *pflag.FlagSet, lasts *time.Duration) {
	f.DurationVar(lasts, "expires", 0, "`time` until the credentials end by themselves, such as 720h; 0 is not at all")
}

func addUser(c *cli, a *authFlags, role, name string, lasts time.Duration) error {
	f, err := a.open()
	if err != nil {
		return err
	}
	if err := f.AddUser(a.tenant, role, name, lasts); err != nil {
		return usagef("%w", err)
	}
	if c.json {
		return c.printUsers(f, a.tenant, func(u auth.User) bool { return u.Name == name })
	}
	_, err = fmt.Fprintf(c.out, "%s may connect with %s; no server needs to be told\n", name, f.Creds(a.tenant, name))
	return err
}

func (c *cli) printUsers(f *auth.Folder, tenant string, which func(auth.User) bool) error {
	users, err := f.Users(tenant)
	if err != nil {
		return err
	}
	for _, u := range users {
		if which(u) {
			if err := c.printJSON(u); err != nil {
				return err
			}
		}
	}
	return nil
}

// systemConn connects as the folder's system user, with the folder's certificates where
// no others are named.
func (a *authFlags) systemConn(ctx context.Context, n *natsFlags, f *auth.Folder) (*systemConn, error) {
	own := *n
	own.creds = cmp.Or(n.creds, f.SystemCreds())
	if files := f.TLSFiles(); n.tls().CA == "" {
		if _, err := os.Stat(files.CA); err == nil {
			own.ca, own.cert, own.key = files.CA, cmp.Or(n.cert, files.ClientCert), cmp.Or(n.key, files.ClientKey)
		} else if !errors.Is(err, os.ErrNotExist) {
			return nil, usagef("cannot read %s: %w", files.CA, err)
		}
	}
	conn, err := own.connect(ctx)
	if err != nil {
		return nil, err
	}
	return &systemConn{conn.NATS(), conn.Close}, nil
}
