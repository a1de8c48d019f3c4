package auth

import (
	"fmt"
	"strings"

	"github.com/nats-io/jwt/v2"
)

// writeConf writes what a nats-server includes: whom it trusts and which accounts it
// knows before any is pushed.
func (f *Folder) writeConf() error {
	operator, accounts, err := f.Operator()
	if err != nil {
		return err
	}
	claims, err := jwt.DecodeOperatorClaims(operator)
	if err != nil {
		return fmt.Errorf("%s holds no operator (%w): put back a copy of it", f.path("operator.jwt"), err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, `# Made by 'mesh auth'; include it in nats-server.conf. It holds no secret.
operator: %s
system_account: %s
# Accounts that are pushed are kept in dir, relative to where the server starts.
resolver: { type: full, dir: "./accounts", allow_delete: false, interval: "1m" }
resolver_preload: {
`, operator, claims.SystemAccount)
	for _, text := range accounts {
		account, err := jwt.DecodeAccountClaims(text)
		if err != nil {
			return fmt.Errorf("an account of %s cannot be read: %w", f.dir, err)
		}
		fmt.Fprintf(&b, "  # %s\n  %s: %s\n", account.Name, account.Subject, text)
	}
	b.WriteString("}\n")
	return write(f.ConfFile(), publicMode, []byte(b.String()))
}

// ConfFile is the file to include in nats-server.conf.
func (f *Folder) ConfFile() string { return f.path("nats-auth.conf") }
