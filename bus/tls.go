package bus

import (
	"crypto/tls"
	"fmt"
	"os"
	"time"

	"github.com/nats-io/nats.go"
)

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
	if t.Cert != "" {
		opts = append(opts, nats.ClientCert(t.Cert, t.Key))
	}
	return opts
}

// check finds what no server needs to be asked about.
func (t TLS) check(now time.Time) error {
	if t.CA != "" {
		if _, err := os.ReadFile(t.CA); err != nil {
			return refusal(err, "the CA file %s cannot be read: name a PEM file with --tls-ca or NATS_CA", t.CA)
		}
	}
	if (t.Cert == "") != (t.Key == "") {
		return refusal(nil, "a client certificate needs its key and a key its certificate: give both --tls-cert (NATS_CERT) and --tls-key (NATS_KEY)")
	}
	if t.Cert == "" {
		return nil
	}
	pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
	if err != nil {
		return refusal(err, "the client certificate %s with key %s cannot be used (%s): name PEM files that belong together", t.Cert, t.Key, reason(err))
	}
	if pair.Leaf != nil && now.After(pair.Leaf.NotAfter) {
		return refusal(nil, "the client certificate %s expired on %s: put a new one there", t.Cert, day(pair.Leaf.NotAfter))
	}
	return nil
}

func day(t time.Time) string { return t.UTC().Format("2006-01-02 15:04") + " UTC" }

// reason is an error's text, for the middle of a sentence.
func reason(err error) string { return fmt.Sprint(err) }
