package natsconf_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/cmd/mesh/natsconf"
)

var (
	shop  = contract.Service{Name: "shop", Version: "1.0.0", Serves: []contract.MethodInfo{{Service: "shop", Name: "open"}}}
	quiet = contract.Service{Name: "quiet-one", Version: "1.0.0"}
)

// read writes the configuration and lets nats-server read it.
func read(t *testing.T, conf natsconf.Config) *server.Options {
	t.Helper()
	var text bytes.Buffer
	if err := conf.Write(&text); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "nats-server.conf")
	if err := os.WriteFile(file, text.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(filepath.Dir(file), "nats-auth.conf"), []byte("max_traced_msg_len: 7\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	options, err := server.ProcessConfigFile(file)
	if err != nil {
		t.Fatalf("nats-server refuses it: %v\n%s", err, &text)
	}
	return options
}

// surroundings is the environment of the servers.
func surroundings(t *testing.T) {
	t.Helper()
	t.Setenv("NATS_SERVER_NAME", "node-7")
	for _, user := range []string{natsconf.Administrator, shop.Name, quiet.Name} {
		t.Setenv(natsconf.PasswordVariable(user), "beef"+strconv.Itoa(len(user)))
	}
}

func TestWhatProductionDemandsIsInIt(t *testing.T) {
	surroundings(t)
	conf := natsconf.Default("a", "b", "c")
	conf.TLS = certificates(t)
	o := read(t, conf)
	switch {
	case !o.JetStream || !o.SyncAlways || o.StoreDir != "/data/jetstream" || o.JetStreamMaxStore != 50<<30:
		t.Errorf("JetStream: %v, sync always %v, in %s, %d bytes", o.JetStream, o.SyncAlways, o.StoreDir, o.JetStreamMaxStore)
	case o.ServerName != "node-7" || o.Cluster.Name != "ordermesh" || len(o.Routes) != 3 || o.Routes[1].Host != "b:6222":
		t.Errorf("node %s of cluster %s with routes %v", o.ServerName, o.Cluster.Name, o.Routes)
	case o.TLSConfig == nil || o.TLSConfig.ClientAuth != tls.RequireAndVerifyClientCert || o.Cluster.TLSConfig == nil:
		t.Error("clients and servers are let in without a certificate")
	case o.MaxTracedMsgLen != 7:
		t.Error("what mesh auth wrote is not included")
	case o.MaxPayload < 256<<10 || o.MaxPayload > 8<<20:
		t.Errorf("messages up to %d bytes", o.MaxPayload)
	}
}

// TestThreeServersFormACluster also logs in with a certificate and the rights of a service.
func TestThreeServersFormACluster(t *testing.T) {
	surroundings(t)
	folder := certificates(t)
	routes := freeAddresses(t, 3)
	var urls []string
	for i := range 3 {
		t.Setenv("NATS_SERVER_NAME", "node-"+strconv.Itoa(i))
		conf := natsconf.Default("127.0.0.1")
		conf.Auth, conf.Services = natsconf.AuthUsers, []contract.Service{shop, quiet}
		conf.TLS, conf.Store, conf.Monitor = folder, t.TempDir(), ""
		conf.Nodes = []string{"127.0.0.1", "localhost", "localhost.localdomain"}
		conf.Listen, conf.Routes = "127.0.0.1:-1", routes[i]
		o := read(t, conf)
		for n, address := range routes { // on one host the servers' ports differ
			o.Routes[n].Host = address
		}
		urls = append(urls, run(t, o).ClientURL())
	}
	certificate := nats.ClientCert(filepath.Join(folder, "server.pem"), filepath.Join(folder, "server-key.pem"))
	authority := nats.RootCAs(filepath.Join(folder, "ca.pem"))
	if _, err := nats.Connect(urls[0], authority, nats.UserInfo("shop", "beef4")); err == nil {
		t.Error("a client without a certificate was let in")
	}
	admin := connect(t, urls[0], authority, certificate, nats.UserInfo(natsconf.Administrator, "beef5"))
	js, err := jetstream.New(admin)
	if err != nil {
		t.Fatal(err)
	}
	bustest.Eventually(t, time.Minute, func() bool {
		_, err := js.CreateOrUpdateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}, Replicas: 3})
		return err == nil
	})
	denied := make(chan error, 8)
	service := connect(t, urls[1], authority, certificate, nats.UserInfo("shop", "beef4"),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { denied <- err }))
	if _, err := service.Subscribe("svc.shop.open", func(m *nats.Msg) { _ = m.Respond([]byte("come in")) }); err != nil {
		t.Fatal(err)
	}
	if err := service.Flush(); err != nil {
		t.Fatal(err)
	}
	var answer *nats.Msg
	bustest.Eventually(t, time.Minute, func() bool {
		answer, err = admin.Request("svc.shop.open", nil, 5*time.Second)
		return err == nil
	})
	if string(answer.Data) != "come in" {
		t.Errorf("the service said %q", answer.Data)
	}
	if err := service.Publish("s", nil); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-denied:
		if !strings.Contains(err.Error(), `Permissions Violation for Publish to "s"`) {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Error("a subject that the descriptor does not name is not denied")
	}
	if _, err := nats.Connect(urls[2], authority, certificate); err == nil {
		t.Error("a client without a name was let in")
	}
}

func TestWhatCannotWorkIsNamed(t *testing.T) {
	t.Parallel()
	conf := natsconf.Default("a", "a", `b"; no_auth_user: admin`)
	conf.Auth, conf.MaxFile, conf.Store, conf.Listen, conf.TLS = "none", "much", "", "4222", `x"y`
	err := conf.Write(&bytes.Buffer{})
	if err == nil {
		t.Fatal("it was written")
	}
	for _, want := range []string{`"a" is named twice`, "no host name", `"4222"`, `"none" is unknown`, `"much"`, "no folder", `x\"y`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not named in: %v", want, err)
		}
	}
	two := natsconf.Default("a", "b")
	if err := two.Check(); err == nil {
		t.Error("two servers are no cluster that can lose one")
	}
}

func connect(t *testing.T, url string, options ...nats.Option) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(url, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

func run(t *testing.T, o *server.Options) *server.Server {
	t.Helper()
	o.NoLog, o.NoSigs = true, true
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	go s.Start() // a node of a cluster waits for the others
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	if !s.ReadyForConnections(time.Minute) {
		t.Fatal("nats-server does not listen")
	}
	return s
}

func freeAddresses(t *testing.T, n int) []string {
	t.Helper()
	list := make([]string, n)
	for i := range list {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		list[i] = l.Addr().String()
	}
	return list
}

// certificates makes a folder with an authority and a certificate for servers and clients.
func certificates(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	server := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "server"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		NotBefore:   authority.NotBefore, NotAfter: authority.NotAfter,
	}
	key := func() *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	issuerKey, serverKey := key(), key()
	sign := func(c *x509.Certificate, public any, file string) {
		der, err := x509.CreateCertificate(rand.Reader, c, authority, public, issuerKey)
		if err != nil {
			t.Fatal(err)
		}
		writePEM(t, filepath.Join(dir, file), "CERTIFICATE", der)
	}
	sign(authority, issuerKey.Public(), "ca.pem")
	sign(server, serverKey.Public(), "server.pem")
	der, err := x509.MarshalPKCS8PrivateKey(serverKey)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, filepath.Join(dir, "server-key.pem"), "PRIVATE KEY", der)
	return dir
}

func writePEM(t *testing.T, file, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}
