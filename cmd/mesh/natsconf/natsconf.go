// Package natsconf writes the configuration of the nats-server cluster that a mesh
// runs on: one file for all its nodes, and, for a team that does without JWT, the
// users with what the services' descriptors allow.
//
// It is not for the embedded server of `mesh dev`. It promises that the file is one
// that nats-server reads, that it holds no secret (passwords are named, and read from
// the environment of the server), and that what the profile production demands of a
// server is in it: JetStream that syncs every write before it acknowledges it, in a
// folder of its own and with a limit.
package natsconf

import (
	_ "embed"
	"fmt"
	"io"
	"net"
	"regexp"
	"slices"
	"strings"
	"text/template"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// The ways in which clients may prove who they are.
const (
	AuthJWT   = "jwt"   // credentials that `mesh auth` makes; the file includes AuthFile
	AuthUsers = "users" // a name and a password for each service
)

// Config is a cluster. [Default] has sound values for everything but the nodes.
type Config struct {
	Cluster   string             // name of the cluster
	Nodes     []string           // host names of the servers; one is a server alone
	Listen    string             // address for clients
	Routes    string             // address for the other servers; their port is the same
	Monitor   string             // address for /healthz and the like; "" for none
	Store     string             // JetStream's folder
	MaxFile   string             // what JetStream may take of the disk, such as "50GB"
	MaxMemory string             // what its streams in memory may take; the mesh has none
	TLS       string             // folder with ca.pem, server.pem and server-key.pem; "" is none
	Auth      string             // AuthJWT or AuthUsers
	AuthFile  string             // what to include, relative to the configuration
	Services  []contract.Service // whose users are written
	Rights    contract.Rights    // of these users
}

// Default is a cluster of the given nodes.
func Default(nodes ...string) Config {
	return Config{
		Cluster: "ordermesh", Nodes: nodes,
		Listen: "0.0.0.0:4222", Routes: "0.0.0.0:6222", Monitor: "0.0.0.0:8222",
		Store: "/data/jetstream", MaxFile: "50GB", MaxMemory: "256MB", TLS: "/etc/nats/tls",
		Auth: AuthJWT, AuthFile: "nats-auth.conf", Rights: contract.Production,
	}
}

// PasswordVariable is the variable of nats-server's environment that holds a user's
// password.
func PasswordVariable(user string) string {
	return "MESH_PASSWORD_" + strings.ToUpper(strings.ReplaceAll(user, "-", "_"))
}

// Administrator is the user that may do everything: it applies the topology, seeds,
// backs up and looks.
const Administrator = "admin"

//go:embed server.conf.tmpl
var text string

var parsed = template.Must(template.New("nats-server.conf").Funcs(template.FuncMap{
	"quote": func(s string) string { return `"` + s + `"` }, "password": PasswordVariable,
}).Parse(text))

var (
	address = regexp.MustCompile(`^[A-Za-z0-9.:\[\]_-]+$`)
	size    = regexp.MustCompile(`^[1-9][0-9]*(KB|MB|GB|TB)$`)
	path    = regexp.MustCompile(`^[A-Za-z0-9/._ -]+$`)
)

// Check says everything that is wrong with the configuration.
func (c *Config) Check() error {
	var wrong []string
	demand := func(ok bool, format string, args ...any) {
		if !ok {
			wrong = append(wrong, fmt.Sprintf(format, args...))
		}
	}
	demand(len(c.Nodes) == 1 || len(c.Nodes) >= 3, "%d nodes are no cluster that can lose one: name one, or three or more", len(c.Nodes))
	for i, n := range c.Nodes {
		demand(address.MatchString(n), "node %q is no host name", n)
		demand(!slices.Contains(c.Nodes[:i], n), "node %q is named twice", n)
	}
	for _, a := range []string{c.Listen, c.Routes} {
		_, _, err := net.SplitHostPort(a)
		demand(err == nil && address.MatchString(a), "address %q must be host:port", a)
	}
	_, _, err := net.SplitHostPort(c.Monitor)
	demand(c.Monitor == "" || err == nil && address.MatchString(c.Monitor), "address %q must be host:port", c.Monitor)
	demand(address.MatchString(c.Cluster), "the cluster name %q cannot be used", c.Cluster)
	demand(size.MatchString(c.MaxFile) && size.MatchString(c.MaxMemory), "sizes %q and %q must be numbers with KB, MB, GB or TB", c.MaxFile, c.MaxMemory)
	for _, p := range []string{c.Store, c.TLS, c.AuthFile} {
		demand(p == "" || path.MatchString(p), "path %q has characters that a configuration cannot quote", p)
	}
	demand(c.Store != "", "JetStream has no folder: its own choice would be under /tmp")
	demand(c.Auth == AuthJWT || c.Auth == AuthUsers, "authentication %q is unknown: use %s or %s", c.Auth, AuthJWT, AuthUsers)
	if len(wrong) > 0 {
		return fmt.Errorf("no configuration for nats-server: %s", strings.Join(wrong, "; "))
	}
	return nil
}

// user is a line of the users.
type user struct {
	Name        string
	Permissions contract.Permissions
	Responses   int
}

// responseBudget is how many messages may answer one request.
const responseBudget = 128

// Write writes the configuration.
func (c *Config) Write(w io.Writer) error {
	if err := c.Check(); err != nil {
		return err
	}
	var users []user
	for _, s := range c.Services {
		users = append(users, user{s.Name, s.Permissions(c.Rights), responseBudget})
	}
	_, port, err := net.SplitHostPort(c.Routes)
	if err != nil {
		return err
	}
	data := struct {
		*Config
		RoutePort, Admin string
		Users            []user
	}{c, port, Administrator, users}
	if err := parsed.Execute(w, data); err != nil {
		return fmt.Errorf("write the configuration of nats-server: %w", err)
	}
	return nil
}
