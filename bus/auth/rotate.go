package auth

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/nats-io/jwt/v2"
)

// Rotate replaces secrets within a tenant. who is a service or a role, which gets a new
// signing key and each of its users new credentials; a person's name, for whom only
// credentials are new; or the tenant's own name, for everything in it. The old ones are
// refused once the account is pushed. It returns the users that are new.
//
// The account's identity stays, because the tenant's streams belong to it.
func (f *Folder) Rotate(tenant, who string) ([]User, error) {
	claims, err := f.account(tenant)
	if err != nil {
		return nil, err
	}
	users, err := f.Users(tenant)
	if err != nil {
		return nil, err
	}
	var roles []string
	var affected []User
	switch {
	case who == tenant:
		roles, affected = slices.Sorted(maps.Keys(scopes(claims))), users
	case scopes(claims)[who] != nil:
		roles = []string{who}
		affected = slices.DeleteFunc(users, func(u User) bool { return u.Role != who })
	default:
		affected = slices.DeleteFunc(users, func(u User) bool { return u.Name != who })
	}
	if len(roles)+len(affected) == 0 {
		return nil, fmt.Errorf("tenant %q has no service, role or user %q: 'mesh auth ls' shows all", tenant, who)
	}
	return f.rotate(claims, roles, affected)
}

func (f *Folder) rotate(claims *jwt.AccountClaims, roles []string, affected []User) ([]User, error) {
	var renewed []User
	err := f.locked(func() error {
		for _, role := range roles {
			if err := f.replaceSigner(claims, role); err != nil {
				return err
			}
		}
		for _, u := range affected {
			claims.RevokeAt(u.Key, time.Now())
		}
		if err := f.signAccount(claims); err != nil {
			return err
		}
		for _, u := range affected {
			if err := f.addUser(claims, u.Role, u.Name, u.Lasts); err != nil {
				return err
			}
			fresh, err := f.user(claims.Name, u.Name)
			if err != nil {
				return err
			}
			renewed = append(renewed, fresh)
		}
		return nil
	})
	return renewed, err
}

// replaceSigner gives a role a new signing key with the same scope.
func (f *Folder) replaceSigner(claims *jwt.AccountClaims, role string) error {
	scope := scopes(claims)[role]
	claims.SigningKeys.Remove(scope.Key)
	key, err := f.newSigningKey(claims.Name, role)
	if err != nil {
		return err
	}
	scope.Key = key
	claims.SigningKeys.AddScopedSigner(scope)
	return nil
}
