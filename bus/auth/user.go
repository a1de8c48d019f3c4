package auth

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// User is what was given to a service, a person or a tool. It holds no secret.
type User struct {
	Tenant  string        `json:"tenant"`
	Name    string        `json:"name"`
	Role    string        `json:"role"` // a service's name, Admin or Observer
	Key     string        `json:"key"`
	Issued  time.Time     `json:"issued"`
	Expires time.Time     `json:"expires,omitzero"` // zero: not by itself
	Creds   string        `json:"creds,omitempty"`  // the file, when it is still here
	Lasts   time.Duration `json:"-"`                // from issue to expiry
}

// Expired reports whether the user cannot connect any more at a time.
func (u User) Expired(now time.Time) bool { return !u.Expires.IsZero() && !now.Before(u.Expires) }

// issuing is a user that is about to be signed.
type issuing struct {
	account     string // set when a signing key signs
	name, role  string
	lasts       time.Duration
	file, creds string
}

// issue makes a user with a key of its own and writes what may be known and the secret.
func (f *Folder) issue(signer nkeys.KeyPair, u issuing) error {
	pair, err := nkeys.CreateUser()
	if err != nil {
		return fmt.Errorf("make a key: %w", err)
	}
	defer pair.Wipe()
	key, err := publicKey(pair)
	if err != nil {
		return err
	}
	claims := jwt.NewUserClaims(key)
	claims.Name, claims.IssuerAccount = u.name, u.account
	claims.SetScoped(u.account != "")
	if u.role != "" {
		claims.Tags.Add(roleTag + u.role)
	}
	if u.lasts > 0 {
		claims.Expires = time.Now().Add(u.lasts).Unix()
	}
	token, err := claims.Encode(signer)
	if err != nil {
		return fmt.Errorf("sign the user %s: %w", u.name, err)
	}
	seed, err := pair.Seed()
	if err != nil {
		return fmt.Errorf("make a key: %w", err)
	}
	text, err := jwt.FormatUserConfig(token, seed)
	if err != nil {
		return fmt.Errorf("write the credentials of %s: %w", u.name, err)
	}
	defer clear(text)
	if err := write(u.creds, secretMode, text); err != nil {
		return err
	}
	return write(u.file, publicMode, []byte(token+"\n"))
}

// roleTag comes before the role in a user's tags.
const roleTag = "role:"

// Users lists what was given out within a tenant, by name.
func (f *Folder) Users(tenant string) ([]User, error) {
	if _, err := f.account(tenant); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(f.path("users", tenant))
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", f.path("users", tenant), cause(err))
	}
	var list []User
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".jwt")
		if !ok || !contract.ValidID(name) {
			continue
		}
		user, err := f.user(tenant, name)
		if err != nil {
			return nil, err
		}
		list = append(list, user)
	}
	slices.SortFunc(list, func(a, b User) int { return cmp.Compare(a.Name, b.Name) })
	return list, nil
}

func (f *Folder) user(tenant, name string) (User, error) {
	text, err := read(f.userFile(tenant, name))
	if err != nil {
		return User{}, err
	}
	claims, err := jwt.DecodeUserClaims(strings.TrimSpace(string(text)))
	if err != nil {
		return User{}, fmt.Errorf("%s holds no user (%w): rotate %s", f.userFile(tenant, name), err, name)
	}
	u := User{Tenant: tenant, Name: name, Key: claims.Subject, Issued: time.Unix(claims.IssuedAt, 0).UTC()}
	for _, tag := range claims.Tags {
		if role, ok := strings.CutPrefix(tag, roleTag); ok {
			u.Role = role
		}
	}
	if claims.Expires != 0 {
		u.Expires = time.Unix(claims.Expires, 0).UTC()
		u.Lasts = u.Expires.Sub(u.Issued)
	}
	if path := f.Creds(tenant, name); exists(path) {
		u.Creds = path
	}
	return u, nil
}
