package auth

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// Roles of people and tools, beside the services.
const (
	Admin    = "admin"    // everything within the tenant: makes streams, seeds, repairs
	Observer = "observer" // reads: streams, lists, states; changes nothing
)

// A service may answer a request this often and this late.
const (
	responseBudget  = 128
	responseExpires = 2 * time.Minute
)

// Limits are what a tenant can take from the servers that it shares with others. Zero
// values are the defaults; -1 is no limit.
type Limits struct {
	Disk          int64 `json:"disk"`          // bytes of all streams and replicas; 10 GiB
	Memory        int64 `json:"memory"`        // bytes of streams in memory; 16 MiB
	Streams       int64 `json:"streams"`       // 100
	Consumers     int64 `json:"consumers"`     // 5000
	Connections   int64 `json:"connections"`   // 1000
	Subscriptions int64 `json:"subscriptions"` // of one connection; 5000
	Payload       int64 `json:"payload"`       // bytes of one message; 1 MiB
}

func (l Limits) apply(o *jwt.OperatorLimits) {
	o.DiskStorage = cmp.Or(l.Disk, 10<<30)
	o.MemoryStorage = cmp.Or(l.Memory, 16<<20)
	o.Streams = cmp.Or(l.Streams, 100)
	o.Consumer = cmp.Or(l.Consumers, 5000)
	o.Conn = cmp.Or(l.Connections, 1000)
	o.Subs = cmp.Or(l.Subscriptions, 5000)
	o.Payload = cmp.Or(l.Payload, 1<<20)
	o.LeafNodeConn = 0 // no server joins by a tenant's credentials
	o.Imports, o.Exports, o.WildcardExports = 0, 0, false
	o.DisallowBearer = true
}

func limitsOf(o jwt.OperatorLimits) Limits {
	return Limits{
		Disk: o.DiskStorage, Memory: o.MemoryStorage, Streams: o.Streams, Consumers: o.Consumer,
		Connections: o.Conn, Subscriptions: o.Subs, Payload: o.Payload,
	}
}

// Tenant is one account.
type Tenant struct {
	Name   string   `json:"name"`
	Key    string   `json:"key"` // the account's name on the server
	Limits Limits   `json:"limits"`
	Roles  []string `json:"roles"` // services, admin, observer
}

// Tenants lists the accounts by name.
func (f *Folder) Tenants() ([]Tenant, error) {
	names, err := f.tenantNames()
	if err != nil {
		return nil, err
	}
	var list []Tenant
	for _, name := range names {
		claims, err := f.account(name)
		if err != nil {
			return nil, err
		}
		list = append(list, Tenant{
			Name: name, Key: claims.Subject, Limits: limitsOf(claims.Limits), Roles: slices.Sorted(maps.Keys(scopes(claims))),
		})
	}
	return list, nil
}

// AddTenant makes an account with a signing key and a user for each service, and the
// user "admin".
func (f *Folder) AddTenant(name string, limits Limits, services []contract.Service) error {
	switch {
	case !contract.ValidID(name):
		return fmt.Errorf("a tenant cannot be called %q: use 1 to %d of A-Z a-z 0-9 _ -", name, contract.MaxID)
	case name == system || name == "operator" || name == "sys":
		return fmt.Errorf("a tenant cannot be called %q, which means something else here: choose another name", name)
	case exists(f.accountFile(name)):
		return fmt.Errorf("the tenant %q %w: 'mesh auth update' derives its permissions anew", name, ErrExists)
	}
	return f.locked(func() error {
		account, err := newKey(f.keyFile(name), nkeys.CreateAccount)
		if err != nil {
			return err
		}
		key, err := publicKey(account)
		if err != nil {
			return err
		}
		claims := jwt.NewAccountClaims(key)
		claims.Name = name
		limits.apply(&claims.Limits)
		if err := f.derive(claims, services); err != nil {
			return err
		}
		users := []string{Admin}
		for _, s := range services {
			users = append(users, s.Name)
		}
		for _, role := range users {
			if err := f.addUser(claims, role, role, 0); err != nil {
				return err
			}
		}
		return nil
	})
}

// Update derives the permissions of a tenant's services and roles anew, with signing
// keys and users for services that are new, and removes the keys of services that are
// not there any more. Nil limits stay as they are. Credentials that exist go on.
func (f *Folder) Update(tenant string, limits *Limits, services []contract.Service) error {
	claims, err := f.account(tenant)
	if err != nil {
		return err
	}
	return f.locked(func() error {
		if limits != nil {
			limits.apply(&claims.Limits)
		}
		old := scopes(claims)
		if err := f.derive(claims, services); err != nil {
			return err
		}
		for _, s := range services {
			if old[s.Name] != nil {
				continue
			}
			if err := f.addUser(claims, s.Name, s.Name, 0); err != nil {
				return err
			}
		}
		return nil
	})
}

// scopes are the signing keys of an account by role.
func scopes(claims *jwt.AccountClaims) map[string]*jwt.UserScope {
	byRole := map[string]*jwt.UserScope{}
	for _, scope := range claims.SigningKeys {
		if user, ok := scope.(*jwt.UserScope); ok {
			byRole[user.Role] = user
		}
	}
	return byRole
}

// derive gives the account exactly one scoped signing key per service and role, and
// saves it. Keys that exist stay.
func (f *Folder) derive(claims *jwt.AccountClaims, services []contract.Service) error {
	have := scopes(claims)
	claims.SigningKeys = jwt.SigningKeys{}
	for role, template := range templates(services) {
		scope := have[role]
		if scope == nil {
			key, err := f.newSigningKey(claims.Name, role)
			if err != nil {
				return err
			}
			scope = jwt.NewUserScope()
			scope.Key, scope.Role = key, role
		}
		scope.Template = template
		claims.SigningKeys.AddScopedSigner(scope)
	}
	return f.signAccount(claims)
}

func (f *Folder) newSigningKey(tenant, role string) (string, error) {
	pair, err := newKey(f.keyFile(tenant, role), nkeys.CreateAccount)
	if err != nil {
		return "", err
	}
	return publicKey(pair)
}

func (f *Folder) signAccount(claims *jwt.AccountClaims) error {
	operator, err := readKey(f.keyFile("operator"))
	if err != nil {
		return fmt.Errorf("the operator's key is needed to sign the tenant %s: %w", claims.Name, err)
	}
	defer operator.Wipe()
	return f.saveAccount(operator, claims)
}

// templates are the permissions of each role.
func templates(services []contract.Service) map[string]jwt.UserPermissionLimits {
	all := map[string]jwt.UserPermissionLimits{
		Admin:    template(contract.Permissions{Publish: []string{">"}, Subscribe: []string{">"}}),
		Observer: template(contract.Observing(services...)),
	}
	for _, s := range services {
		all[s.Name] = template(s.Permissions(contract.Production))
	}
	return all
}

// template is what the server grants to users of a scope. An empty list means
// everything there, so it becomes a denial of everything.
func template(p contract.Permissions) jwt.UserPermissionLimits {
	scope := jwt.NewUserScope().Template
	scope.Pub, scope.Sub = allowOnly(p.Publish), allowOnly(p.Subscribe)
	if p.Responses {
		scope.Resp = &jwt.ResponsePermission{MaxMsgs: responseBudget, Expires: responseExpires}
	}
	scope.AllowedConnectionTypes = jwt.StringList{jwt.ConnectionTypeStandard, jwt.ConnectionTypeInProcess}
	return scope
}

func allowOnly(subjects []string) jwt.Permission {
	if len(subjects) == 0 {
		return jwt.Permission{Deny: jwt.StringList{">"}}
	}
	return jwt.Permission{Allow: subjects}
}

// AddUser gives credentials of a role to a person or a tool, for a time or, with 0,
// until they are rotated.
func (f *Folder) AddUser(tenant, role, name string, lasts time.Duration) error {
	claims, err := f.account(tenant)
	if err != nil {
		return err
	}
	switch {
	case !contract.ValidID(name):
		return fmt.Errorf("a user cannot be called %q: use 1 to %d of A-Z a-z 0-9 _ -", name, contract.MaxID)
	case exists(f.userFile(tenant, name)):
		return fmt.Errorf("the user %q of tenant %q %w: 'mesh auth rotate' replaces credentials", name, tenant, ErrExists)
	case name != role && scopes(claims)[name] != nil:
		return fmt.Errorf("the user cannot be called %q: that is a service or a role; choose another name", name)
	case lasts < 0:
		return errors.New("credentials that expired before they were made are of no use: give a positive time")
	}
	return f.locked(func() error { return f.addUser(claims, role, name, lasts) })
}

func (f *Folder) addUser(claims *jwt.AccountClaims, role, name string, lasts time.Duration) error {
	scope := scopes(claims)[role]
	if scope == nil {
		return fmt.Errorf("tenant %q has no role or service %q: it has %v", claims.Name, role, slices.Sorted(maps.Keys(scopes(claims))))
	}
	signer, err := readKey(f.keyFile(claims.Name, role))
	if err != nil {
		return err
	}
	defer signer.Wipe()
	if key, err := publicKey(signer); err != nil || key != scope.Key {
		return fmt.Errorf("%s is not the key that tenant %q knows for %s: put back a copy of it, or rotate %s", f.keyFile(claims.Name, role), claims.Name, role, role)
	}
	return f.issue(signer, issuing{
		account: claims.Subject, name: name, role: role, lasts: lasts,
		file: f.userFile(claims.Name, name), creds: f.Creds(claims.Name, name),
	})
}
