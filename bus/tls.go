package bus

import "github.com/nats-io/nats.go"

// TLS names the PEM files of an encrypted connection. They are read at every connect,
// so that a certificate can be replaced while a service runs.
type TLS struct {
	CA        string // who signed the server's certificate; "" means the system's CAs
	Cert, Key string // what the client shows of itself (mTLS); both or none
}

func (t TLS) options() []nats.Option {
	var opts []nats.Option
	if t.CA != "" {
		opts = append(opts, nats.RootCAs(t.CA))
	}
	if t.Cert != "" || t.Key != "" {
		opts = append(opts, nats.ClientCert(t.Cert, t.Key))
	}
	return opts
}
