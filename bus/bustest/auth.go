package bustest

import (
	"os"
	"testing"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/auth"
	"github.com/ordermesh/ordermesh/embedded/natsd"
)

// serverConfig is what the options say of the server.
func serverConfig(t testing.TB, opts []Option) natsd.Config {
	t.Helper()
	o := collect(opts)
	if o.auth == nil {
		return o.server
	}
	operator, accounts, err := o.auth.Operator()
	check(t, err)
	o.server.Operator = &natsd.Operator{JWT: operator, Accounts: accounts}
	if files, ok := o.certificates(); ok {
		o.server.TLS = &natsd.TLS{Cert: files.ServerCert, Key: files.ServerKey, ClientCA: files.CA}
	}
	return o.server
}

// certificates are those of the folder, when it has some.
func (o *options) certificates() (auth.TLSFiles, bool) {
	files := o.auth.TLSFiles()
	_, err := os.Stat(files.CA)
	return files, err == nil
}

// authenticate connects as a user of the tenant, when there is one.
func (o *options) authenticate(cfg *bus.Config, user string) {
	if o.auth == nil {
		return
	}
	cfg.Creds = o.auth.Creds(o.tenant, user)
	if files, ok := o.certificates(); ok {
		cfg.TLS = bus.TLS{CA: files.CA, Cert: files.ClientCert, Key: files.ClientKey}
	}
}
