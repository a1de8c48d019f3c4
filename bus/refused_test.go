package bus_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/auth"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/telemetry"
	"github.com/ordermesh/ordermesh/embedded/natsd"
)

// identities is a folder with a tenant and certificates.
func identities(t *testing.T, services ...contract.Service) *auth.Folder {
	t.Helper()
	folder, err := auth.Init(filepath.Join(t.TempDir(), "auth"))
	must(t, err)
	must(t, folder.AddTenant("main", auth.Limits{Disk: 64 << 20}, services))
	_, err = folder.MakeTLS([]string{"127.0.0.1"})
	must(t, err)
	return folder
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func trusting(t *testing.T, folder *auth.Folder) *natsd.Operator {
	t.Helper()
	operator, accounts, err := folder.Operator()
	must(t, err)
	return &natsd.Operator{JWT: operator, Accounts: accounts}
}

// expired is a certificate for 127.0.0.1 that was valid yesterday, signed by itself.
func expired(t *testing.T) (cert, key string) {
	t.Helper()
	pair, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "old"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: now.Add(-48 * time.Hour), NotAfter: now.Add(-24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	text, err := x509.CreateCertificate(rand.Reader, template, template, pair.Public(), pair)
	must(t, err)
	secret, err := x509.MarshalECPrivateKey(pair)
	must(t, err)
	cert, key = filepath.Join(t.TempDir(), "old.pem"), filepath.Join(t.TempDir(), "old-key.pem")
	must(t, os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: text}), 0o600))
	must(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: secret}), 0o600))
	return cert, key
}

// TestRefusalsSayWhatToDo: each way of not being let in ends Dial at once with a sentence
// that names the remedy, although Dial would wait for ever for a server.
func TestRefusalsSayWhatToDo(t *testing.T) {
	t.Parallel()
	folder, foreign := identities(t), identities(t)
	files, others := folder.TLSFiles(), foreign.TLSFiles()
	must(t, folder.AddUser("main", auth.Observer, "brief", time.Second))
	mutual := start(t, natsd.Config{Operator: trusting(t, folder), TLS: &natsd.TLS{Cert: files.ServerCert, Key: files.ServerKey, ClientCA: files.CA}})
	plain := start(t, natsd.Config{Operator: trusting(t, folder)})
	oldCert, oldKey := expired(t)
	old := start(t, natsd.Config{TLS: &natsd.TLS{Cert: oldCert, Key: oldKey}})
	ours := bus.TLS{CA: files.CA, Cert: files.ClientCert, Key: files.ClientKey}
	admin := folder.Creds("main", auth.Admin)
	waitExpired(t, folder, "brief")
	tests := []struct {
		name string
		cfg  bus.Config
		says []string
	}{
		{"unknown CA", bus.Config{URL: mutual.URL(), Creds: admin}, []string{"CA that is not trusted", "--tls-ca"}},
		{"wrong CA", bus.Config{URL: mutual.URL(), Creds: admin, TLS: bus.TLS{CA: others.CA, Cert: files.ClientCert, Key: files.ClientKey}}, []string{"CA that is not trusted", "--tls-ca"}},
		{"no client certificate", bus.Config{URL: mutual.URL(), Creds: admin, TLS: bus.TLS{CA: files.CA}}, []string{"demands a certificate", "--tls-cert"}},
		{"foreign client certificate", bus.Config{URL: mutual.URL(), Creds: admin, TLS: bus.TLS{CA: files.CA, Cert: others.ClientCert, Key: others.ClientKey}}, []string{"does not accept the client certificate", others.ClientCert}},
		{"expired client certificate", bus.Config{URL: mutual.URL(), Creds: admin, TLS: bus.TLS{CA: files.CA, Cert: oldCert, Key: oldKey}}, []string{"expired on", oldCert}},
		{"expired server certificate", bus.Config{URL: old.URL(), TLS: bus.TLS{CA: oldCert}}, []string{"not valid now", "give the server a new one"}},
		{"certificate without key", bus.Config{URL: mutual.URL(), Creds: admin, TLS: bus.TLS{CA: files.CA, Cert: files.ClientCert}}, []string{"--tls-key"}},
		{"no CA file", bus.Config{URL: mutual.URL(), Creds: admin, TLS: bus.TLS{CA: "/nowhere/ca.pem"}}, []string{"/nowhere/ca.pem", "--tls-ca"}},
		{"other host", bus.Config{URL: strings.Replace(mutual.URL(), "127.0.0.1", "localhost", 1), Creds: admin, TLS: ours}, []string{"another host"}},
		{"TLS with a plain server", bus.Config{URL: strings.Replace(plain.URL(), "nats://", "tls://", 1), Creds: admin}, []string{"speaks no TLS"}},
		{"no credentials", bus.Config{URL: mutual.URL(), TLS: ours}, []string{"refuses this user", "--creds"}},
		{"foreign credentials", bus.Config{URL: mutual.URL(), Creds: foreign.Creds("main", auth.Admin), TLS: ours}, []string{"refuses the credentials", foreign.Creds("main", auth.Admin)}},
		{"expired credentials", bus.Config{URL: mutual.URL(), Creds: folder.Creds("main", "brief"), TLS: ours}, []string{"expired on", "mesh auth rotate brief"}},
		{"no credentials file", bus.Config{URL: mutual.URL(), Creds: "/nowhere/x.creds", TLS: ours}, []string{"/nowhere/x.creds", "--creds"}},
		{"no credentials in the file", bus.Config{URL: mutual.URL(), Creds: files.CA, TLS: ours}, []string{"holds no credentials"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.cfg.Service = "test"
			conn, err := bus.Dial(t.Context(), tt.cfg)
			if err == nil {
				conn.Close()
			}
			if !errors.Is(err, bus.ErrRefused) {
				t.Fatalf("got %v", err)
			}
			for _, want := range tt.says {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("more than a sentence: %q", err)
			}
		})
	}
}

// waitExpired waits until the user's time is over.
func waitExpired(t *testing.T, folder *auth.Folder, name string) {
	t.Helper()
	users, err := folder.Users("main")
	must(t, err)
	for _, u := range users {
		if u.Name == name {
			<-time.After(time.Until(u.Expires))
		}
	}
}

// lines collects what is logged.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) has(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.b.String(), text)
}

// TestRotatedCredentialsComeBackAsAFile: a connection whose user was rotated says so, and
// stands again once the new file is in place of the old one.
func TestRotatedCredentialsComeBackAsAFile(t *testing.T) {
	t.Parallel()
	folder := identities(t, contract.Service{Name: "shop"})
	server := start(t, natsd.Config{Operator: trusting(t, folder)})
	creds := filepath.Join(t.TempDir(), "shop.creds") // a copy, as where the service runs
	distribute := func() {
		text, err := os.ReadFile(folder.Creds("main", "shop"))
		must(t, err)
		must(t, os.WriteFile(creds, text, 0o600))
	}
	distribute()
	var log lines
	tel := telemetry.Nop()
	tel.Logger = slog.New(slog.NewTextHandler(&log, nil))
	conn, err := bus.Dial(t.Context(), bus.Config{URL: server.URL(), Service: "shop", Creds: creds, Telemetry: tel})
	must(t, err)
	defer conn.Close()
	_, err = folder.Rotate("main", "shop")
	must(t, err)
	system, err := bus.Dial(t.Context(), bus.Config{URL: server.URL(), Service: "sys", Creds: folder.SystemCreds()})
	must(t, err)
	defer system.Close()
	_, err = folder.Push(t.Context(), system.NATS())
	must(t, err)
	eventually(t, func() bool { return log.has("they were rotated") }, "the reason to be logged")
	distribute()
	eventually(t, conn.NATS().IsConnected, "the connection to stand again")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := conn.NATS().FlushWithContext(ctx); err != nil {
		t.Error(err)
	}
}

func eventually(t *testing.T, done func() bool, what string) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
