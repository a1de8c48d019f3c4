package auth

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// expiresSoon is how long before their end credentials and certificates are a problem.
const expiresSoon = 30 * 24 * time.Hour

// Problem is something in the folder that is not as it should be.
type Problem struct {
	Where  string `json:"where"`
	What   string `json:"what"`
	Remedy string `json:"remedy"`
	// Later: nothing is wrong yet.
	Later bool `json:"later,omitempty"`
}

// String is one line about the problem.
func (p Problem) String() string { return fmt.Sprintf("%s %s: %s", p.Where, p.What, p.Remedy) }

// Check looks for secrets that others may read, permissions that differ from the
// services' descriptors, and what has expired or soon will.
func (f *Folder) Check(services []contract.Service, now time.Time) ([]Problem, error) {
	problems, err := f.checkModes()
	if err != nil {
		return nil, err
	}
	names, err := f.tenantNames()
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		claims, err := f.account(name)
		if err != nil {
			return nil, err
		}
		problems = append(problems, f.checkScopes(claims, services)...)
		users, err := f.Users(name)
		if err != nil {
			return nil, err
		}
		for _, u := range users {
			problems = append(problems, checkUser(u, claims, now)...)
		}
	}
	return append(problems, f.checkTLS(now)...), nil
}

// secret reports whether a file must be read by its owner alone.
func secret(path string) bool {
	return strings.HasSuffix(path, ".nk") || strings.HasSuffix(path, ".creds") || strings.HasSuffix(path, "-key.pem")
}

func (f *Folder) checkModes() ([]Problem, error) {
	var problems []Problem
	err := filepath.WalkDir(f.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		switch mode := info.Mode().Perm(); {
		case d.IsDir() && mode&0o077 != 0:
			problems = append(problems, Problem{Where: path, What: fmt.Sprintf("may be looked into by others (mode %04o)", mode), Remedy: "chmod 700 it"})
		case secret(path) && mode&0o077 != 0:
			problems = append(problems, Problem{Where: path, What: fmt.Sprintf("may be read by others (mode %04o)", mode), Remedy: "chmod 600 it, and rotate what it is for if others use this machine"})
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look through %s: %w", f.dir, cause(err))
	}
	return problems, nil
}

// checkScopes compares what is signed with what the descriptors say.
func (f *Folder) checkScopes(claims *jwt.AccountClaims, services []contract.Service) []Problem {
	var problems []Problem
	add := func(role, what string) {
		problems = append(problems, Problem{
			Where: "tenant " + claims.Name + ", " + role, What: what, Remedy: "run 'mesh auth update' and 'mesh auth push'",
		})
	}
	have, want := scopes(claims), templates(services)
	for role, template := range want {
		switch scope := have[role]; {
		case scope == nil:
			add(role, "has no signing key")
		case normal(scope.Template) != normal(template):
			add(role, "has other permissions than its descriptor says")
		}
	}
	for role := range have {
		if _, ok := want[role]; !ok {
			add(role, "has a signing key and is no service here")
		}
	}
	return problems
}

// normal is a template as reading it again gives it: nothing and an empty list are one.
func normal(t jwt.UserPermissionLimits) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%q %q %q %q %v", t.Pub.Allow, t.Pub.Deny, t.Sub.Allow, t.Sub.Deny, t.AllowedConnectionTypes)
	if t.Resp != nil {
		fmt.Fprintf(&b, " %d %s", t.Resp.MaxMsgs, t.Resp.Expires)
	}
	return b.String()
}

func checkUser(u User, claims *jwt.AccountClaims, now time.Time) []Problem {
	where := "tenant " + u.Tenant + ", user " + u.Name
	rotate := "run 'mesh auth rotate " + u.Name + "' and 'mesh auth push'"
	switch {
	case u.Expired(now):
		return []Problem{{Where: where, What: "expired on " + u.Expires.Format(time.DateTime), Remedy: rotate}}
	case scopes(claims)[u.Role] == nil:
		return []Problem{{Where: where, What: "has the role " + u.Role + ", which is gone", Remedy: "remove its credentials"}}
	case !u.Expires.IsZero() && u.Expires.Sub(now) < expiresSoon && u.Lasts > expiresSoon:
		return []Problem{{Where: where, What: "expires on " + u.Expires.Format(time.DateTime), Remedy: rotate, Later: true}}
	}
	return nil
}

func (f *Folder) checkTLS(now time.Time) []Problem {
	files := f.TLSFiles()
	if !exists(files.CA) {
		return nil
	}
	var problems []Problem
	for _, path := range []string{files.CA, files.ServerCert, files.ClientCert} {
		cert, err := readPEM(path, x509.ParseCertificate)
		renew := "run 'mesh auth tls <hosts>' and restart or reload the servers"
		switch {
		case err != nil:
			problems = append(problems, Problem{Where: path, What: "cannot be read", Remedy: renew})
		case now.After(cert.NotAfter):
			problems = append(problems, Problem{Where: path, What: "expired on " + cert.NotAfter.UTC().Format(time.DateTime), Remedy: renew})
		case cert.NotAfter.Sub(now) < expiresSoon:
			problems = append(problems, Problem{Where: path, What: "expires on " + cert.NotAfter.UTC().Format(time.DateTime), Remedy: renew, Later: true})
		}
	}
	return problems
}

// Compare finds the accounts that the servers which nc, the system user's connection,
// reaches know otherwise than the folder does.
func (f *Folder) Compare(ctx context.Context, nc *nats.Conn) ([]Problem, error) {
	_, accounts, err := f.Operator()
	if err != nil {
		return nil, err
	}
	var problems []Problem
	for _, text := range accounts {
		claims, err := jwt.DecodeAccountClaims(text)
		if err != nil {
			return nil, fmt.Errorf("an account of %s cannot be read: %w", f.dir, err)
		}
		reply, err := nc.RequestWithContext(ctx, "$SYS.REQ.ACCOUNT."+claims.Subject+".CLAIMS.LOOKUP", nil)
		if errors.Is(err, nats.ErrNoResponders) {
			return nil, errors.New("no server tells of accounts there: include nats-auth.conf in the server's configuration")
		}
		if err != nil {
			return nil, fmt.Errorf("ask for the account %s: %w", claims.Name, err)
		}
		if strings.TrimSpace(string(reply.Data)) != text {
			problems = append(problems, Problem{Where: "tenant " + claims.Name, What: "is another on the server", Remedy: "run 'mesh auth push'"})
		}
	}
	return problems, nil
}
