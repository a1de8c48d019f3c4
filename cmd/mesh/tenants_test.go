package main

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/auth"
	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/contracts/orders"
)

// twoTenants are tenants a and b on one server, each with all streams.
func twoTenants(t *testing.T, limits auth.Limits) (*auth.Folder, *bustest.Broker) {
	t.Helper()
	folder, err := auth.Init(filepath.Join(t.TempDir(), "auth"))
	if err != nil {
		t.Fatal(err)
	}
	services := descriptors(allServices())
	for _, name := range []string{"a", "b"} {
		if err := folder.AddTenant(name, limits, services); err != nil {
			t.Fatal(err)
		}
	}
	server := bustest.Server(t, bustest.WithAuth(folder, "a"), bustest.WithServices(orders.Descriptor))
	conn := server.Dial(t, bustest.WithAuth(folder, "b"), bustest.WithService(auth.Admin))
	if err := bus.Provision(t.Context(), conn, contract.Streams(orders.Descriptor), 1); err != nil {
		t.Fatal(err)
	}
	conn.Close()
	return folder, server
}

func tenantAdmin(t *testing.T, folder *auth.Folder, server *bustest.Broker, tenant string) *bus.Conn {
	t.Helper()
	return server.Dial(t, bustest.WithAuth(folder, tenant), bustest.WithService(auth.Admin), bustest.WithNATS(nats.CustomInboxPrefix("_INBOX")))
}

// eavesdrop hears all that there is in a tenant and complains about what is another's.
func eavesdrop(t *testing.T, conn *bus.Conn) {
	t.Helper()
	for _, subject := range []string{">", "evt.>", "_INBOX.>", "$JS.>", "$KV.>", "$SRV.>"} {
		if _, err := conn.NATS().Subscribe(subject, func(m *nats.Msg) {
			if strings.Contains(string(m.Data), "of-a") {
				t.Errorf("b hears %q on %s", m.Data, m.Subject)
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
	flushed(t, conn)
}

// answer serves one subject.
func answer(t *testing.T, conn *bus.Conn, subject, text string) {
	t.Helper()
	if _, err := conn.NATS().Subscribe(subject, func(m *nats.Msg) { _ = m.Respond([]byte(text)) }); err != nil {
		t.Fatal(err)
	}
	flushed(t, conn)
}

func flushed(t *testing.T, conns ...*bus.Conn) {
	t.Helper()
	for _, conn := range conns {
		if err := conn.NATS().FlushTimeout(patience); err != nil {
			t.Fatal(err)
		}
	}
}

// TestTenantsDoNotMeet: what tenant a does, b cannot see, guess or disturb, though both use
// the same subjects, ids, streams and buckets, and b is an admin of its own.
func TestTenantsDoNotMeet(t *testing.T) {
	t.Parallel()
	folder, server := twoTenants(t, auth.Limits{Disk: 256 << 20})
	a, b, spy := tenantAdmin(t, folder, server, "a"), tenantAdmin(t, folder, server, "b"), tenantAdmin(t, folder, server, "b")
	eavesdrop(t, spy)
	tenantsCall(t, a, b)
	tenantsStore(t, a, b)
	tenantsRemember(t, a, b)
	tenantsAskTheSystem(t, folder, b)
	flushed(t, spy) // what it heard, it has complained about
}

// tenantsCall: b finds nobody where a serves, and its guess of a reply subject is no reply.
func tenantsCall(t *testing.T, a, b *bus.Conn) {
	t.Helper()
	subject := orders.Get.Subject()
	answer(t, a, subject, "answer of-a")
	answer(t, a, "$SRV.PING", "ping of-a")
	if reply, err := a.NATS().Request(subject, []byte("question of-a"), patience); err != nil || string(reply.Data) != "answer of-a" {
		t.Errorf("a's own request: %v", err)
	}
	// The spy subscribes to everything in b, but nobody of a is among b's responders.
	inbox, err := b.NATS().SubscribeSync("_INBOX.mine")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{subject, "$SRV.PING"} {
		if err := b.NATS().PublishRequest(s, "_INBOX.mine", []byte("question of b")); err != nil {
			t.Fatal(err)
		}
	}
	waiting, err := a.NATS().SubscribeSync("_INBOX.waiting")
	if err != nil {
		t.Fatal(err)
	}
	flushed(t, a)
	if err := b.NATS().Publish("_INBOX.waiting", []byte("forged")); err != nil {
		t.Fatal(err)
	}
	flushed(t, b, a, b) // the server has handled everything, and all of it was delivered
	for _, sub := range []*nats.Subscription{inbox, waiting} {
		if n, _, err := sub.Pending(); err != nil || n > 0 {
			t.Errorf("%d messages crossed between the tenants on %s (%v)", n, sub.Subject, err)
		}
	}
}

// tenantsStore: the same stream, subject and sequence in both are two things.
func tenantsStore(t *testing.T, a, b *bus.Conn) {
	t.Helper()
	subject, err := orders.Events.Info().Subject("o-1")
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := a.Appender().Append(t.Context(), &nats.Msg{Subject: subject, Data: []byte("commit of-a")}, bus.NoExpectation); err != nil {
			t.Fatal(err)
		}
	}
	ack, err := b.Appender().Append(t.Context(), &nats.Msg{Subject: subject, Data: []byte("of b")}, 0)
	if err != nil || ack.Sequence != 1 {
		t.Errorf("b's first order has the sequence %d (%v): it sees a's", ack.Sequence, err)
	}
	stream := orders.Events.Info().Stream
	if err := purge(t, b, stream); err != nil {
		t.Error(err)
	}
	if err := b.JetStream().DeleteStream(t.Context(), stream); err != nil {
		t.Error(err)
	}
	mine, err := a.JetStream().Stream(t.Context(), stream)
	if err != nil {
		t.Fatalf("b deleted its stream and a's is gone: %v", err)
	}
	if n := mine.CachedInfo().State.Msgs; n != 3 {
		t.Errorf("a has %d messages after b purged and deleted its own", n)
	}
}

func purge(t *testing.T, conn *bus.Conn, stream string) error {
	t.Helper()
	s, err := conn.JetStream().Stream(t.Context(), stream)
	if err != nil {
		return err
	}
	return s.Purge(t.Context())
}

// tenantsRemember: a key of a's bucket does not exist in b's.
func tenantsRemember(t *testing.T, a, b *bus.Conn) {
	t.Helper()
	mine, err := a.JetStream().KeyValue(t.Context(), contract.ConfigKV)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := mine.Put(t.Context(), "orders.probe", []byte("setting of-a")); err != nil {
		t.Fatal(err)
	}
	theirs, err := b.JetStream().KeyValue(t.Context(), contract.ConfigKV)
	if err != nil {
		t.Fatal(err)
	}
	if entry, err := theirs.Get(t.Context(), "orders.probe"); !errors.Is(err, jetstream.ErrKeyNotFound) {
		t.Errorf("b reads %v (%v)", entry, err)
	}
}

// tenantsAskTheSystem: an admin of a tenant learns nothing of other accounts.
func tenantsAskTheSystem(t *testing.T, folder *auth.Folder, b *bus.Conn) {
	t.Helper()
	tenants, err := folder.Tenants()
	if err != nil {
		t.Fatal(err)
	}
	for _, tenant := range tenants {
		if tenant.Name == "b" {
			continue
		}
		for _, subject := range []string{
			"$SYS.REQ.ACCOUNT." + tenant.Key + ".CONNZ", "$SYS.REQ.ACCOUNT." + tenant.Key + ".CLAIMS.UPDATE",
			"$SYS.REQ.SERVER.PING", "$SYS.REQ.CLAIMS.LIST",
		} {
			inbox := b.NATS().NewInbox()
			sub, err := b.NATS().SubscribeSync(inbox)
			if err != nil {
				t.Fatal(err)
			}
			if err := b.NATS().PublishRequest(subject, inbox, nil); err != nil {
				t.Fatal(err)
			}
			flushed(t, b, b)
			if m, err := sub.NextMsg(50 * time.Millisecond); err == nil && m.Header.Get("Status") == "" {
				t.Errorf("%s answers a tenant: %s", subject, m.Data)
			}
		}
	}
}

// TestATenantFillsItsOwnDisk: who reaches the limit of its account is refused, and the
// neighbour goes on.
func TestATenantFillsItsOwnDisk(t *testing.T) {
	t.Parallel()
	folder, server := twoTenants(t, auth.Limits{Disk: 2 << 20, Connections: 2})
	a, b := tenantAdmin(t, folder, server, "a"), tenantAdmin(t, folder, server, "b")
	subject, err := orders.Events.Info().Subject("o-1")
	if err != nil {
		t.Fatal(err)
	}
	full := func() bool {
		_, err := b.Appender().Append(t.Context(), &nats.Msg{Subject: subject, Data: make([]byte, 200<<10)}, bus.NoExpectation)
		_, refused := errors.AsType[*bus.APIError](err)
		return refused
	}
	bustest.Eventually(t, patience, full, "b's account to be full")
	if _, err := a.Appender().Append(t.Context(), &nats.Msg{Subject: subject, Data: []byte("x")}, bus.NoExpectation); err != nil {
		t.Errorf("a cannot write because b is full: %v", err)
	}
	if _, err := nats.Connect(server.URL(), nats.UserCredentials(folder.Creds("b", auth.Admin))); err != nil {
		t.Errorf("the second connection of b: %v", err)
	}
	if _, err := nats.Connect(server.URL(), nats.UserCredentials(folder.Creds("b", auth.Admin))); err == nil {
		t.Error("b has more connections than its limit")
	}
	if nc, err := nats.Connect(server.URL(), nats.UserCredentials(folder.Creds("a", auth.Admin))); err != nil {
		t.Errorf("a cannot connect because b has used up its connections: %v", err)
	} else {
		nc.Close()
	}
}
