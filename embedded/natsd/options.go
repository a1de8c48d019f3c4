package natsd

import (
	"cmp"
	"crypto/rand"
	"fmt"
	"net/url"
	"strconv"

	"github.com/nats-io/nats-server/v2/server"
)

// User may connect with a name and password and use the listed subjects only.
// Everybody is in the same account, which has JetStream.
type User struct {
	Name, Password string
	// Publish and Subscribe are the subjects that are allowed; everything else is
	// denied, so an empty list denies all. Admin ignores both.
	Publish, Subscribe []string
	// AllowResponses lets the user answer requests on their reply subjects.
	AllowResponses bool
	// Admin may do everything.
	Admin bool
}

// nowhere is the address under which a node makes itself known that must not be found.
const nowhere = host + ":1"

func (n node) options() (*server.Options, error) {
	if n.StoreDir == "" {
		return nil, fail(ErrConfig, "the embedded NATS server needs a store directory: name one")
	}
	users, err := n.users()
	if err != nil {
		return nil, err
	}
	o := &server.Options{
		ServerName:             cmp.Or(n.Name, defaultName),
		Host:                   host,
		Port:                   cmp.Or(n.Port, defaultPort),
		NoSigs:                 true,
		JetStream:              true,
		DisableJetStreamBanner: true,
		StoreDir:               n.StoreDir,
		SyncAlways:             n.SyncAlways,
		JetStreamMaxMemory:     cmp.Or(n.MaxMemory, defaultMemory),
		JetStreamMaxStore:      n.MaxStore,
		Users:                  users,
		NoAuthUser:             n.DefaultUser,
	}
	if err := n.encrypt(o); err != nil {
		return nil, err
	}
	if len(n.RoutePorts) > 0 {
		o.Cluster = server.ClusterOpts{Name: defaultName, Host: host, Port: n.RoutePort}
		for _, port := range n.RoutePorts {
			o.Routes = append(o.Routes, &url.URL{Scheme: "nats", Host: host + ":" + strconv.Itoa(port)})
		}
		if n.Detour {
			o.Cluster.NoAdvertise, o.Cluster.Advertise = true, nowhere
		}
	}
	return o, nil
}

// users translates and checks the users of a configuration.
func (c Config) users() ([]*server.User, error) {
	var users []*server.User
	known := map[string]bool{}
	for _, u := range c.Users {
		switch {
		case u.Name == "":
			return nil, fail(ErrConfig, "a NATS user has no name: give it one")
		case known[u.Name]:
			return nil, fail(ErrConfig, "the NATS user %q is listed twice: remove one", u.Name)
		case u.Password == "" && u.Name != c.DefaultUser:
			return nil, fail(ErrConfig, "the NATS user %q has no password: only the default user may go without", u.Name)
		}
		known[u.Name] = true
		users = append(users, &server.User{
			// Nobody can guess the password of a default user without one: it is
			// reached by sending no credentials at all.
			Username: u.Name, Password: cmp.Or(u.Password, rand.Text()),
			Permissions: u.permissions(),
		})
	}
	if c.DefaultUser != "" && !known[c.DefaultUser] {
		return nil, fail(ErrConfig, "the default NATS user %q is not among the users: add it", c.DefaultUser)
	}
	return users, nil
}

func (u User) permissions() *server.Permissions {
	if u.Admin {
		return nil
	}
	p := &server.Permissions{Publish: allowOnly(u.Publish), Subscribe: allowOnly(u.Subscribe)}
	if u.AllowResponses {
		p.Response = &server.ResponsePermission{MaxMsgs: responseBudget, Expires: server.DEFAULT_ALLOW_RESPONSE_EXPIRATION}
	}
	return p
}

// allowOnly denies everything explicitly when nothing is allowed: nats-server takes
// an empty list for "no restriction".
func allowOnly(subjects []string) *server.SubjectPermission {
	if len(subjects) == 0 {
		return &server.SubjectPermission{Deny: []string{">"}}
	}
	return &server.SubjectPermission{Allow: subjects}
}

// String keeps passwords out of logs.
func (u User) String() string { return fmt.Sprintf("user %s", u.Name) }
