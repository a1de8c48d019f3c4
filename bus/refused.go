package bus

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
)

// ErrRefused is why Dial ends at once instead of trying on: who connects, or how, is not
// accepted, and waiting does not change that. The error says what does.
var ErrRefused = errors.New("the connection is refused")

// refused is a sentence for people.
type refused struct {
	text string
	err  error
}

func (r *refused) Error() string { return r.text }

// Unwrap gives ErrRefused and the cause.
func (r *refused) Unwrap() []error {
	if r.err == nil {
		return []error{ErrRefused}
	}
	return []error{ErrRefused, r.err}
}

func refusal(err error, format string, args ...any) error {
	return &refused{text: fmt.Sprintf(format, args...), err: err}
}

// check finds what no server needs to be asked about.
func (cfg Config) check(now time.Time) error {
	if err := cfg.TLS.check(now); err != nil {
		return err
	}
	if cfg.Creds == "" {
		return nil
	}
	text, err := os.ReadFile(cfg.Creds)
	if err != nil {
		return refusal(err, "the credentials %s cannot be read: name a file with --creds or NATS_CREDS", cfg.Creds)
	}
	defer clear(text)
	token, err := jwt.ParseDecoratedJWT(text)
	if err != nil {
		return refusal(err, "%s holds no credentials: name a file that 'mesh auth' made", cfg.Creds)
	}
	claims, err := jwt.DecodeUserClaims(token)
	if err != nil {
		return refusal(err, "%s holds no credentials: name a file that 'mesh auth' made", cfg.Creds)
	}
	if expires := time.Unix(claims.Expires, 0); claims.Expires != 0 && !now.Before(expires) {
		return refusal(nil, "the credentials %s of %s expired on %s: make new ones with 'mesh auth rotate %s' and put them there",
			cfg.Creds, claims.Name, day(expires), claims.Name)
	}
	return nil
}

// refuses says what is wrong when a server and this client do not accept each other; nil
// when trying again may help.
func (cfg Config) refuses(err error) error {
	var authority x509.UnknownAuthorityError
	var certificate x509.CertificateInvalidError
	var host x509.HostnameError
	var remote *net.OpError
	at := Redacted(cfg.URL)
	switch {
	case errors.As(err, &authority):
		return refusal(err, "the certificate of the NATS server at %s is signed by a CA that is not trusted here: name the CA with --tls-ca or NATS_CA", at)
	case errors.As(err, &certificate) && certificate.Reason == x509.Expired:
		return refusal(err, "the certificate of the NATS server at %s is not valid now (%v): give the server a new one, or set this machine's clock", at, certificate)
	case errors.As(err, &host):
		return refusal(err, "the certificate of the NATS server at %s is for another host (%v): connect by a name that it has, or give the server another certificate", at, host)
	case errors.As(err, &remote) && remote.Op == "remote error":
		return cfg.alerted(remote)
	case errors.Is(err, nats.ErrSecureConnWanted):
		return refusal(err, "the NATS server at %s speaks no TLS: leave --tls-ca, --tls-cert and tls:// away, or switch TLS on there", at)
	case loginRefused(err) && cfg.Creds != "":
		return refusal(err, "the NATS server at %s refuses the credentials %s: they were rotated, or the server trusts another operator or does not know the tenant ('mesh auth push')", at, cfg.Creds)
	case loginRefused(err):
		return refusal(err, "the NATS server at %s refuses this user: give credentials in the URL or with --creds", at)
	}
	return nil
}

func loginRefused(err error) bool {
	return errors.Is(err, nats.ErrAuthorization) || errors.Is(err, nats.ErrAuthExpired) ||
		errors.Is(err, nats.ErrAuthRevoked) || errors.Is(err, nats.ErrAccountAuthExpired)
}

// alerted is about a server that does not accept what the client showed. Alerts of TLS
// have no type of their own; their words are the standard library's.
func (cfg Config) alerted(alert *net.OpError) error {
	at := Redacted(cfg.URL)
	switch why := alert.Err.Error(); {
	case cfg.TLS.Cert == "":
		return refusal(alert, "the NATS server at %s demands a certificate of its clients: give one with --tls-cert and --tls-key (NATS_CERT, NATS_KEY)", at)
	case strings.Contains(why, "expired"):
		return refusal(alert, "the NATS server at %s says that the client certificate %s has expired: put a new one there, or look at the clocks", at, cfg.TLS.Cert)
	default:
		return refusal(alert, "the NATS server at %s does not accept the client certificate %s (%s): use one that the CA of its clients has signed", at, cfg.TLS.Cert, why)
	}
}
