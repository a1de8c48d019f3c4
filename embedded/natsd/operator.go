package natsd

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
)

// Operator makes the server trust whoever the operator's accounts have signed,
// instead of a list of users. Accounts that are pushed to the server later are kept
// beside its store, and the newer one of two counts.
type Operator struct {
	// JWT of the operator; it names the system account.
	JWT string
	// Accounts are the JWTs that the server knows from the beginning, among them the
	// system account's.
	Accounts []string
}

// TLS encrypts what clients say. Files are named, not held, so that a child process
// can read them, too.
type TLS struct {
	Cert, Key string // PEM files of the server's certificate and its key
	ClientCA  string // PEM file; clients must then show a certificate that it signed
}

// accountSync is how often the nodes of a cluster compare the accounts they know.
const accountSync = time.Minute

// operate fills in what operator mode needs. The resolver keeps what is pushed.
func (n node) operate(o *server.Options) error {
	if n.Operator == nil {
		return nil
	}
	if len(n.Users) > 0 || n.DefaultUser != "" {
		return fail(ErrConfig, "a NATS server has either an operator or a list of users: remove one")
	}
	operator, err := jwt.DecodeOperatorClaims(n.Operator.JWT)
	if err != nil {
		return fail(ErrConfig, "the operator's JWT cannot be read (%v): make it anew with 'mesh auth init'", err)
	}
	resolver, err := server.NewDirAccResolver(filepath.Join(n.StoreDir, "accounts"), 0, accountSync, server.NoDelete)
	if err != nil {
		return fail(ErrStoreUnusable, "the directory of the accounts in %s cannot be used (%v): fix its permissions", n.StoreDir, err)
	}
	for _, text := range n.Operator.Accounts {
		account, err := jwt.DecodeAccountClaims(text)
		if err == nil {
			err = resolver.Store(account.Subject, text)
		}
		if err != nil {
			return fail(ErrConfig, "the JWT of an account cannot be used (%v): make it anew with 'mesh auth update'", err)
		}
	}
	o.TrustedOperators = []*jwt.OperatorClaims{operator}
	o.SystemAccount = operator.SystemAccount
	o.AccountResolver = resolver
	return nil
}

// encrypt fills in what TLS needs.
func (n node) encrypt(o *server.Options) error {
	if n.TLS == nil {
		return nil
	}
	cert, err := tls.LoadX509KeyPair(n.TLS.Cert, n.TLS.Key)
	if err != nil {
		return fail(ErrConfig, "the server's certificate %s with key %s cannot be used (%v): name PEM files that belong together", n.TLS.Cert, n.TLS.Key, err)
	}
	o.TLS, o.TLSTimeout = true, tlsTimeout.Seconds()
	o.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	if n.TLS.ClientCA == "" {
		return nil
	}
	text, err := os.ReadFile(n.TLS.ClientCA)
	if err != nil {
		return fail(ErrConfig, "the CA of the clients cannot be read (%v): name a PEM file", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return fail(ErrConfig, "%s has no certificate in it: name a PEM file", n.TLS.ClientCA)
	}
	o.TLSVerify = true
	o.TLSConfig.ClientCAs, o.TLSConfig.ClientAuth = pool, tls.RequireAndVerifyClientCert
	return nil
}

// scheme is how clients must begin the server's URL.
func (c Config) scheme() string {
	if c.TLS != nil {
		return "tls://"
	}
	return "nats://"
}

// accountKeys are the names of the accounts that may have streams.
func (n node) accountKeys() []string {
	if n.Operator == nil {
		return []string{globalAccount}
	}
	var keys []string
	for _, text := range n.Operator.Accounts {
		if account, err := jwt.DecodeAccountClaims(text); err == nil {
			keys = append(keys, account.Subject)
		}
	}
	return keys
}
