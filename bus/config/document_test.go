package config_test

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/config"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

// greeting is a document: a JSON object with a text.
type greeting struct {
	Say string `json:"say"`
}

var errSilent = errors.New("it says nothing")

func parseGreeting(data []byte) (greeting, error) {
	var g greeting
	if err := contract.Unmarshal(data, &g); err != nil {
		return g, err
	}
	switch g.Say {
	case "":
		return g, errSilent
	case "boom":
		panic("a parser with a fault")
	}
	return g, nil
}

const greetingKey = "shop.greeting"

func policies(t testing.TB, conn *bus.Conn) jetstream.KeyValue {
	t.Helper()
	kv, err := conn.JetStream().KeyValue(t.Context(), contract.PolicyKV)
	check(t, err)
	return kv
}

// follow runs a document until stop or the end of the test.
func follow(t testing.TB, conn *bus.Conn) (*config.Document[greeting], func()) {
	t.Helper()
	d, err := config.NewDocument(conn, greetingKey, parseGreeting, greeting{Say: "nothing yet"})
	check(t, err)
	return d, bustest.Run(t, d)
}

// looked waits until a document has looked at a revision.
func looked(t testing.TB, d *config.Document[greeting], revision uint64) {
	t.Helper()
	bustest.Eventually(t, time.Minute, func() bool { return d.Status().Revision >= revision }, "revision ", revision)
}

func says(t testing.TB, d *config.Document[greeting], say string, revision uint64) {
	t.Helper()
	if g, r := d.Get(); g.Say != say || r != revision || d.Status().Runs != revision {
		t.Errorf("%q of revision %d, want %q of %d", g.Say, r, say, revision)
	}
}

// TestDocument: a value is there with its revision, another one replaces it and wakes who
// waits, and without one the fallback counts.
func TestDocument(t *testing.T) {
	t.Parallel()
	bustest.Each(t, func(t *testing.T, b *bustest.Broker) {
		conn := b.Dial(t)
		kv := policies(t, conn)
		d, _ := follow(t, conn)
		says(t, d, "nothing yet", 0)
		changed := d.Changed()
		first := put(t, kv, greetingKey, `{"say":"hello"}`)
		<-changed
		says(t, d, "hello", first)
		put(t, kv, "shop.other", `{"say":"not for us"}`)
		put(t, kv, "other.greeting", `{"say":"not for us"}`)
		changed = d.Changed()
		second := put(t, kv, greetingKey, ` {"say":"good day"} `)
		<-changed
		says(t, d, "good day", second)
		changed = d.Changed()
		check(t, kv.Delete(t.Context(), greetingKey))
		<-changed
		says(t, d, "nothing yet", 0)
		looked(t, d, put(t, kv, greetingKey, "{}"))
		says(t, d, "nothing yet", 0)
		late, _ := follow(t, b.Dial(t))
		says(t, late, "nothing yet", 0)
	}, bustest.WithServices(shop))
}

// TestBadDocuments: the last good one stays, for an instance that starts later, too, and
// log, metrics, status and event say so.
func TestBadDocuments(t *testing.T) {
	t.Parallel()
	logged, registry := &output{}, prometheus.NewRegistry()
	tel, err := telemetry.New(telemetry.Config{Writer: logged, Level: slog.LevelInfo, Registry: registry})
	check(t, err)
	b := bustest.Server(t, bustest.WithServices(shop))
	conn := b.Dial(t, bustest.WithTelemetry(tel))
	kv := policies(t, conn)
	s, err := config.OpenDocuments(t.Context(), conn)
	check(t, err)
	good := put(t, kv, greetingKey, `{"say":"hello"}`)
	d, _ := follow(t, conn)
	var bad uint64
	for n, c := range []struct{ name, text, says string }{
		{"not JSON", "hello", "JSON"},
		{"empty", "", "JSON"},
		{"wrong type", `{"say":7}`, "/say"},
		{"unknown member", `{"say":"a","loud":true}`, "loud"},
		{"refused", "{}", "says nothing"},
		{"not UTF-8", "{\"say\":\"\xff\"}", "UTF-8"},
		{"too large", `{"say":"` + strings.Repeat("x", 64<<10) + `"}`, "more than 65536"},
		{"panic", `{"say":"boom"}`, "a parser with a fault"},
	} {
		bad = put(t, kv, greetingKey, c.text)
		looked(t, d, bad)
		says(t, d, "hello", good)
		if r := d.Status().Refused; len(r) != 1 || r[0].Key != greetingKey || r[0].Revision != bad || !strings.Contains(r[0].Reason, c.says) {
			t.Errorf("%s: status %+v", c.name, r)
		}
		bustest.Eventually(t, time.Minute, func() bool { return strings.Count(logged.String(), "last good value stays") == n+1 }, "a line in the log")
		if counted := metric(t, registry, telemetry.Namespace+"_policy_refusals_total"); int(counted) != n+1 {
			t.Errorf("%s: %v refusals are counted", c.name, counted)
		}
	}
	bustest.Eventually(t, time.Minute, func() bool {
		told, err := s.Refusals(t.Context(), "shop", "greeting")
		running, err2 := s.Instances(t.Context(), "*", "*")
		return err == nil && err2 == nil && len(told) == 1 && told[0].Revision == bad &&
			len(running) == 1 && running[0].Runs == good && running[0].Revision == bad && running[0].Document == "greeting"
	}, "report and event")
	late, _ := follow(t, b.Dial(t))
	says(t, late, "hello", good)
	next := put(t, kv, greetingKey, `{"say":"again"}`)
	looked(t, d, next)
	says(t, d, "again", next)
	if r := d.Status().Refused; len(r) != 0 {
		t.Errorf("still refused: %+v", r)
	}
}

// TestDocumentChanges: a hundred changes a second, some of them bad, a consumer that is
// lost and one that stands still: three instances end with the last good value.
func TestDocumentChanges(t *testing.T) {
	t.Parallel()
	b := bustest.Server(t, bustest.WithServices(shop))
	conn := b.Dial(t)
	kv := policies(t, conn)
	var all []*config.Document[greeting]
	for range 3 {
		d, _ := follow(t, b.Dial(t))
		all = append(all, d)
	}
	stream, err := conn.JetStream().Stream(t.Context(), "KV_"+contract.PolicyKV)
	check(t, err)
	pace := time.NewTicker(10 * time.Millisecond)
	defer pace.Stop()
	var good, last uint64
	for i := range 100 {
		<-pace.C
		good = put(t, kv, greetingKey, fmt.Sprintf(`{"say":"%d"}`, i))
		last = put(t, kv, greetingKey, `{"say":""}`)
		for name := range stream.ConsumerNames(t.Context()).Name() {
			switch i {
			case 40:
				check(t, stream.DeleteConsumer(t.Context(), name))
			case 98:
				_, err := stream.PauseConsumer(t.Context(), name, time.Now().Add(time.Hour))
				check(t, err)
			}
		}
	}
	for _, d := range all {
		looked(t, d, last)
		says(t, d, "99", good)
	}
}

// TestDocuments: nobody's change is overwritten.
func TestDocuments(t *testing.T) {
	t.Parallel()
	conn := bustest.New(t, bustest.WithServices(shop))
	s, err := config.OpenDocuments(t.Context(), conn)
	check(t, err)
	read := func() []config.Entry {
		list, err := s.Entries(t.Context(), greetingKey)
		check(t, err)
		return list
	}
	none := config.Last(read(), greetingKey)
	first, err := s.Put(t.Context(), none, "one")
	check(t, err)
	if _, err := s.Put(t.Context(), none, "two"); !isMoved(err) {
		t.Errorf("an old reader writes: %v", err)
	}
	now := config.Last(read(), greetingKey)
	if now.Revision != first || now.Value != "one" {
		t.Errorf("%+v", now)
	}
	check(t, s.Delete(t.Context(), now))
	if err := s.Delete(t.Context(), config.Last(read(), greetingKey)); !errors.Is(err, config.ErrNoEntry) {
		t.Errorf("what is not there is deleted: %v", err)
	}
	_, err = s.Put(t.Context(), config.Last(read(), greetingKey), "three")
	check(t, err)
	if list := read(); len(list) != 3 || !list[1].Deleted || list[2].Value != "three" {
		t.Errorf("%+v", list)
	}
}

// TestDocumentKeys: a key that no service can have is refused.
func TestDocumentKeys(t *testing.T) {
	t.Parallel()
	conn := bustest.New(t)
	for _, key := range []string{"", "shop", "shop.", ".greeting", "shop.greeting.de", "shop.*", "shop.>"} {
		if _, err := config.NewDocument(conn, key, parseGreeting, greeting{}); err == nil {
			t.Errorf("%q is taken", key)
		}
	}
}

// BenchmarkDocumentGet: reading a document is one atomic load.
func BenchmarkDocumentGet(b *testing.B) {
	d, err := config.NewDocument(bustest.New(b), greetingKey, parseGreeting, greeting{Say: "hello"})
	check(b, err)
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if g, _ := d.Get(); g.Say != "hello" {
				b.Error("another greeting")
			}
		}
	})
}
