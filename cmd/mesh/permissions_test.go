package main

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/auth"
	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
)

// try is one thing that a user may want to do.
type try struct{ op, subject string }

const (
	publishing  = "publish"
	subscribing = "subscription"
)

// everything is what there is to try in a mesh of these services: every subject of every
// service, all that the JetStream API can do to every stream and durable, every inbox, and
// the system's own subjects.
func everything(services []contract.Service) []try {
	set := map[try]bool{}
	pub := func(format string, args ...any) { set[try{publishing, fmt.Sprintf(format, args...)}] = true }
	sub := func(format string, args ...any) { set[try{subscribing, fmt.Sprintf(format, args...)}] = true }
	for _, s := range services {
		for _, m := range s.Serves {
			pub("%s", m.Subject())
			sub("%s", m.Subject())
		}
		for _, e := range s.Appends {
			pub("%s", strings.Replace(e.Filter(), "*", "probe", 1))
			sub("%s", e.Filter())
		}
		for _, verb := range []string{"in.3", "log", "timer"} {
			pub("flow.%s.%s.probe.id.t", s.Name, verb)
			sub("flow.%s.%s.>", s.Name, verb)
		}
		for _, bucket := range []string{contract.ConfigKV, contract.PolicyKV, contract.ConfigStatusKV, contract.FlowLeaseKV} {
			pub("$KV.%s.%s.probe", bucket, s.Name)
			sub("$KV.%s.%s.>", bucket, s.Name)
		}
		for _, book := range s.Books {
			pub("$KV.%s.probe", book)
		}
		sub("svc.%s.>", s.Name)
		sub("$SRV.PING.%s", s.Name)
		sub("%s.>", contract.InboxPrefix(s.Name))
		pub("%s.probe", contract.InboxPrefix(s.Name))
	}
	for _, spec := range contract.Streams(services...) {
		stream := spec.StreamName()
		for _, verb := range []string{"CREATE", "UPDATE", "DELETE", "PURGE", "MSG.DELETE", "MSG.GET", "INFO", "SNAPSHOT", "RESTORE", "LEADER.STEPDOWN", "PEER.REMOVE"} {
			pub("$JS.API.STREAM.%s.%s", verb, stream)
		}
		pub("$JS.API.DIRECT.GET.%s", stream)
		pub("$JS.API.CONSUMER.CREATE.%s", stream)
		pub("$JS.API.CONSUMER.CREATE.%s.probe.>", stream)
		pub("$JS.API.CONSUMER.LIST.%s", stream)
	}
	for _, c := range contract.Consumers(services...) {
		if strings.HasSuffix(c.Name, "-1") { // one partition speaks for all
			continue
		}
		pub("$JS.API.CONSUMER.CREATE.%s.%s.%s", c.Stream, c.Name, c.Filter)
		pub("$JS.API.CONSUMER.DURABLE.CREATE.%s.%s", c.Stream, c.Name)
		for _, verb := range []string{"DELETE", "INFO", "MSG.NEXT", "PAUSE", "RESET", "UNPIN", "LEADER.STEPDOWN"} {
			pub("$JS.API.CONSUMER.%s.%s.%s", verb, c.Stream, c.Name)
		}
		pub("$JS.ACK.%s.%s.1.1.1.1.0", c.Stream, c.Name)
		pub("dlq.%s.%s", c.Stream, c.Name)
	}
	for _, subject := range []string{
		"$JS.API.INFO", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.LIST", "$JS.API.ACCOUNT.PURGE.x", "$JS.API.SERVER.REMOVE", "$JS.API.META.LEADER.STEPDOWN",
		"$SYS.REQ.SERVER.PING", "$SYS.REQ.ACCOUNT.PING.CONNZ", "$SYS.REQ.CLAIMS.UPDATE", "probe", "_INBOX.probe",
	} {
		pub("%s", subject)
	}
	for _, subject := range []string{">", "*", "svc.>", "svc.*.*", "evt.>", "flow.>", "dlq.>", "$KV.>", "$SYS.>", "$JS.>", "$JS.API.>", "$JS.EVENT.>", "$O.>", "$SRV.>", "_INBOX.>", "_INBOX_*.>"} {
		sub("%s", subject)
	}
	return slices.SortedFunc(maps.Keys(set), func(a, b try) int { return strings.Compare(a.op+a.subject, b.op+b.subject) })
}

// derived reports whether the permissions allow it.
func derived(p contract.Permissions, t try) bool {
	patterns := p.Publish
	if t.op == subscribing {
		patterns = p.Subscribe
	}
	return slices.ContainsFunc(patterns, func(pattern string) bool { return covers(pattern, t.subject) })
}

// covers reports whether everything that subject matches is matched by pattern.
func covers(pattern, subject string) bool {
	p, s := strings.Split(pattern, "."), strings.Split(subject, ".")
	for i, token := range p {
		switch {
		case i >= len(s):
			return false
		case token == ">":
			return true
		case s[i] == ">" || token != "*" && token != s[i]:
			return false
		}
	}
	return len(p) == len(s)
}

// attempts does everything over one connection and returns what the server denied.
func attempts(t *testing.T, conn *bus.Conn, list []try) map[try]bool {
	t.Helper()
	var mu sync.Mutex
	denied := map[try]bool{}
	defer conn.WatchDenied(func(d bus.Denied) {
		mu.Lock()
		defer mu.Unlock()
		denied[try{d.Op, d.Subject}] = true
	})()
	for _, a := range list {
		var err error
		if a.op == publishing {
			err = conn.NATS().Publish(a.subject, nil)
		} else {
			_, err = conn.NATS().SubscribeSync(a.subject)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	last := try{publishing, "never.allowed"} // denials come in order
	if err := conn.NATS().Publish(last.subject, nil); err != nil {
		t.Fatal(err)
	}
	has := func() bool {
		mu.Lock()
		defer mu.Unlock()
		return denied[last]
	}
	bustest.Eventually(t, patience, has, "the last denial")
	mu.Lock()
	defer mu.Unlock()
	delete(denied, last)
	return denied
}

// TestEveryUserTriesEverything: each service's user, with production rights and by JWT,
// tries all that there is on a real server. What is derived passes, all else is denied.
func TestEveryUserTriesEverything(t *testing.T) {
	t.Parallel()
	services := descriptors(allServices())
	folder, err := auth.Init(filepath.Join(t.TempDir(), "auth"))
	if err != nil {
		t.Fatal(err)
	}
	if err := folder.AddTenant(defaultTenant, auth.Limits{Disk: 64 << 20}, services); err != nil {
		t.Fatal(err)
	}
	if err := folder.AddUser(defaultTenant, auth.Observer, "anna", 0); err != nil {
		t.Fatal(err)
	}
	allowed := map[string]contract.Permissions{"anna": contract.Observing(services...)}
	for _, s := range services {
		allowed[s.Name] = s.Permissions(contract.Production)
	}
	server := bustest.Server(t, bustest.WithAuth(folder, defaultTenant))
	list := everything(services)
	for name, permissions := range allowed {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// The appender's and the client's inboxes are the user's own.
			conn := server.Dial(t, bustest.WithAuth(folder, defaultTenant), bustest.WithService(name), bustest.WithNATS(nats.CustomInboxPrefix(inboxOf(name))))
			denied := attempts(t, conn, list)
			passed := 0
			for _, a := range list {
				if want := derived(permissions, a); want == denied[a] {
					t.Errorf("%s of %q: derived %v, denied by the server %v", a.op, a.subject, want, denied[a])
				}
				if !denied[a] {
					passed++
				}
				if why := never(services, name, a); why != "" && !denied[a] {
					t.Errorf("%s of %q passes: %s", a.op, a.subject, why)
				}
			}
			t.Logf("%d of %d pass", passed, len(list))
		})
	}
}

// inboxOf is where a user may hear replies: people use the nats CLI's inbox.
func inboxOf(name string) string {
	if name == "anna" {
		return "_INBOX"
	}
	return contract.InboxPrefix(name)
}

// never says why a user must not do something whatever is derived: this is written by
// hand so that a mistake in deriving does not go unseen.
func never(services []contract.Service, user string, a try) string {
	has := func(prefixes ...string) bool {
		return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(a.subject, p) })
	}
	api := func(verb string) string { return "$JS.API.STREAM." + verb + "." }
	switch {
	case has("$SYS."), a.subject == ">", a.subject == "*":
		return "that is the system's"
	case a.subject == "$JS.API.STREAM.PURGE.OBJ_"+contract.FlowPayloads && user != "anna":
		return "" // what ended flows leave behind
	case has(api("CREATE"), api("UPDATE"), api("DELETE"), api("PURGE"), api("MSG.DELETE"), api("SNAPSHOT"), api("RESTORE"), api("LEADER"), api("PEER"), "$JS.API.ACCOUNT", "$JS.API.SERVER", "$JS.API.META", "$JS.API.CONSUMER.DURABLE"):
		return "streams and durables are the provisioner's"
	case a.op == subscribing && has("$JS.", "$KV.", "$O.", "evt.", "flow.", "dlq."):
		return "nobody listens past the streams"
	}
	for _, s := range services {
		if s.Name == user {
			continue
		}
		if why := foreign(s, a); why != "" {
			return why
		}
	}
	return ""
}

// foreign says why something is the service's alone.
func foreign(s contract.Service, a try) string {
	if a.op == subscribing {
		if strings.HasPrefix(a.subject, "svc."+s.Name+".") || strings.HasPrefix(a.subject, contract.InboxPrefix(s.Name)+".") {
			return s.Name + " alone hears its requests and replies"
		}
		return ""
	}
	for _, e := range s.Appends {
		if covers(e.Filter(), a.subject) {
			return s.Name + " alone writes its events"
		}
	}
	for _, book := range s.Books {
		if strings.HasPrefix(a.subject, "$KV."+book+".") {
			return s.Name + " alone writes its books"
		}
	}
	if a.subject == contract.InboxPrefix(s.Name)+".probe" || strings.HasPrefix(a.subject, "$KV.config_status."+s.Name+".") {
		return "only " + s.Name + " speaks for itself"
	}
	return ""
}
