package config_test

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/config"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

// offline is a connection whose server nobody asks.
func offline(t testing.TB) *bus.Conn { return bustest.New(t) }

// TestBucket: changes take effect, bad ones do not, and a deleted key gives way to the
// layer below.
func TestBucket(t *testing.T) {
	t.Parallel()
	bustest.Each(t, func(t *testing.T, b *bustest.Broker) {
		conn := b.Dial(t)
		kv := bucket(t, conn)
		put(t, kv, "shop.limit", "11")
		sources, err := config.NewSources("", []string{"MESH_SHOP_LIMIT=12", "MESH_SHOP_WAIT=5s"}, nil)
		check(t, err)
		base, err := sources.Values(newSchema(t))
		check(t, err)
		l, _ := launch(t, conn, base)
		if got := l.Get(); got.Limit != 11 || got.Wait != 5*time.Second {
			t.Errorf("at start: %+v", got)
		}
		reached(t, l, put(t, kv, "shop.wait", `"250ms"`))
		reached(t, l, put(t, kv, "other.limit", "99")-1)
		if got := l.Get(); got.Limit != 11 || got.Wait != 250*time.Millisecond {
			t.Errorf("after changes: %+v", got)
		}
		check(t, kv.Delete(t.Context(), "shop.limit"))
		check(t, kv.Purge(t.Context(), "shop.wait"))
		bustest.Eventually(t, time.Minute, func() bool { got := l.Get(); return got.Limit == 12 && got.Wait == 5*time.Second }, "the layer below")
	}, bustest.WithServices(shop))
}

// TestBadValues is the catalogue of what may stand in the bucket: the last good value
// stays, everywhere and after a restart, and log, metrics, status and event say so.
func TestBadValues(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ key, good, bad, says string }{
		"not a scalar":     {"limit", "20", `{"limit":20}`, "whole number"},
		"broken JSON":      {"note", "hello", `"hello`, "JSON text"},
		"not JSON":         {"price", `{"amount":1,"currency":"EUR"}`, `{"amount":1`, "JSON object"},
		"wrong type":       {"limit", "20", "many", "whole number"},
		"fraction":         {"limit", "20", "1.5", "whole number"},
		"exponent":         {"limit", "20", "1e3", "whole number"},
		"null":             {"limit", "20", "null", "whole number"},
		"empty":            {"limit", "20", "", "whole number"},
		"out of range":     {"limit", "20", "1000001", "0 to 1000000"},
		"negative":         {"limit", "20", "-1", "0 to 1000000"},
		"2^63":             {"limit", "20", "9223372036854775808", "int64"},
		"no unit":          {"wait", "3s", "3", "duration"},
		"too long":         {"wait", "3s", "2h", "0s to 1h"},
		"not yes or no":    {"open", "false", "yes", "true or false"},
		"no such mode":     {"mode", "slow", "SLOW", "fast, slow"},
		"too large":        {"note", "hello", strings.Repeat("x", 9000), "more than 8192"},
		"not UTF-8":        {"note", "hello", "\xff\xfe", "UTF-8"},
		"control":          {"note", "hello", "a\x00b", "control"},
		"unknown member":   {"price", `{"amount":1,"currency":"EUR"}`, `{"amount":1,"currency":"EUR","tax":1}`, "tax"},
		"twice":            {"price", `{"amount":1,"currency":"EUR"}`, `{"amount":1,"amount":2,"currency":"EUR"}`, "twice"},
		"own check":        {"price", `{"amount":1,"currency":"EUR"}`, `{"amount":-1,"currency":"EUR"}`, "not negative"},
		"whole check":      {"least", "5", "11", "above limit"},
		"read at start":    {"cache", "", "5", "read when an instance starts"},
		"secret":           {"api_key", "", "canary-99", "a secret is not taken"},
		"unknown key":      {"colour", "", "red", "no setting"},
		"unknown key path": {"limit.max", "", "5", "no setting"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			logged := &output{}
			registry := prometheus.NewRegistry()
			tel, err := telemetry.New(telemetry.Config{Writer: logged, Level: slog.LevelInfo, Registry: registry})
			check(t, err)
			b := bustest.Server(t, bustest.WithServices(shop))
			conn := b.Dial(t, bustest.WithTelemetry(tel))
			kv := bucket(t, conn)
			l, _ := launch(t, conn, nil)
			if c.good != "" {
				put(t, kv, "shop."+c.key, c.good)
			}
			good := put(t, kv, "shop.size", "9")
			reached(t, l, good)
			before := values(l.Status())
			bad := put(t, kv, "shop."+c.key, c.bad)
			reached(t, l, bad)
			if after := values(l.Status()); after != before {
				t.Errorf("from\n%s\nto\n%s", before, after)
			}
			status := l.Status().Refused
			if len(status) != 1 || status[0].Key != "shop."+c.key || status[0].Revision != bad || !strings.Contains(status[0].Reason, c.says) {
				t.Errorf("status: %+v", status)
			}
			bustest.Eventually(t, time.Minute, func() bool { return strings.Contains(logged.String(), "last good value stays") }, "a line in the log")
			if n := metric(t, registry, telemetry.Namespace+"_config_refusals_total"); n != 1 {
				t.Errorf("%v refusals are counted", n)
			}
			s := store(t, conn)
			bustest.Eventually(t, time.Minute, func() bool {
				events, err := s.Refusals(t.Context(), "shop")
				return err == nil && len(events) == 1 && events[0].Revision == bad && events[0].Key == "shop."+c.key
			}, "the event")
			fresh, _ := launch(t, b.Dial(t), nil)
			if v := values(fresh.Status()); v != before {
				t.Errorf("a new instance runs\n%s\nnot\n%s", v, before)
			}
			if strings.Contains(logged.String()+fmt.Sprint(l.Status(), status), "canary") {
				t.Error("the secret is told")
			}
			next := put(t, kv, "shop.size", "10")
			reached(t, l, next)
			if l.Get().Size != 10 {
				t.Error("another setting is held up")
			}
			check(t, kv.Delete(t.Context(), "shop."+c.key))
			bustest.Eventually(t, time.Minute, func() bool { return len(l.Status().Refused) == 0 }, "the refusal to be over")
		})
	}
}

func values(i config.Instance) string {
	var lines []string
	for _, s := range i.Settings {
		lines = append(lines, fmt.Sprintf("%s=%s %s", s.Name, s.Value, s.From))
	}
	return strings.Join(lines, "\n")
}

func metric(t testing.TB, r *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := r.Gather()
	check(t, err)
	for _, f := range families {
		if f.GetName() == name {
			m := f.GetMetric()[0]
			return m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	t.Fatalf("there is no metric %s", name)
	return 0
}

// TestTriedAgain: what was refused because of another setting counts once that allows it.
func TestTriedAgain(t *testing.T) {
	t.Parallel()
	conn := bustest.New(t, bustest.WithServices(shop))
	kv := bucket(t, conn)
	l, _ := launch(t, conn, nil)
	reached(t, l, put(t, kv, "shop.least", "50"))
	if l.Get().Least != 0 || len(l.Status().Refused) != 1 {
		t.Errorf("%+v", l.Status())
	}
	reached(t, l, put(t, kv, "shop.limit", "60"))
	if got := l.Get(); got.Least != 50 || got.Limit != 60 || len(l.Status().Refused) != 0 {
		t.Errorf("%+v, %+v", got, l.Status().Refused)
	}
	check(t, kv.Delete(t.Context(), "shop.limit")) // 10 would be below 50
	bustest.Eventually(t, time.Minute, func() bool { return len(l.Status().Refused) == 1 }, "the refusal")
	if l.Get().Limit != 60 {
		t.Errorf("%+v", l.Get())
	}
}

// TestShortRefusal: a refusal is written down although it was over at once.
func TestShortRefusal(t *testing.T) {
	t.Parallel()
	conn := bustest.New(t, bustest.WithServices(shop))
	kv := bucket(t, conn)
	l, _ := launch(t, conn, nil)
	var bad uint64
	for range 20 {
		bad = put(t, kv, "shop.limit", "bad")
		put(t, kv, "shop.limit", "5")
	}
	reached(t, l, bad+1)
	s := store(t, conn)
	bustest.Eventually(t, time.Minute, func() bool {
		events, err := s.Refusals(t.Context(), "shop")
		return err == nil && len(events) == 1 && events[0].Revision == bad
	}, "the last refusal")
}

// TestManyChanges: a hundred changes a second, three instances, the last one wins.
func TestManyChanges(t *testing.T) {
	t.Parallel()
	bustest.Each(t, manyChanges, bustest.WithServices(shop))
}

func manyChanges(t *testing.T, b *bustest.Broker) {
	t.Helper()
	total := 300
	if !testing.Short() {
		total = 1000
	}
	kv := bucket(t, b.Dial(t))
	var all []*config.Live[settings]
	for range 3 {
		l, _ := launch(t, b.Dial(t), nil)
		all = append(all, l)
	}
	written := make([]time.Time, total+1)
	var mu sync.Mutex
	var delays []time.Duration
	var watching sync.WaitGroup
	for _, l := range all {
		watching.Go(func() {
			tick := time.NewTicker(200 * time.Microsecond)
			defer tick.Stop()
			for seen := int64(10); seen < int64(total); <-tick.C {
				if now := l.Get().Limit; now != seen {
					seen = now
					mu.Lock()
					delays = append(delays, time.Since(written[seen]))
					mu.Unlock()
				}
			}
		})
	}
	pace := time.NewTicker(10 * time.Millisecond)
	defer pace.Stop()
	var last uint64
	for i := 11; i <= total; i++ {
		<-pace.C
		mu.Lock()
		written[i] = time.Now()
		mu.Unlock()
		last = put(t, kv, "shop.limit", fmt.Sprint(i))
	}
	watching.Wait()
	for _, l := range all {
		reached(t, l, last)
		if got := l.Get().Limit; got != int64(total) {
			t.Errorf("an instance ends with %d", got)
		}
	}
	slices.Sort(delays)
	t.Logf("%d changes seen by 3 instances: p50 %s, p99 %s, max %s", len(delays), delays[len(delays)/2], delays[len(delays)*99/100], delays[len(delays)-1])
}

// TestLostConsumer: the consumer is deleted, again and again, and nothing is missed.
func TestLostConsumer(t *testing.T) {
	t.Parallel()
	conn := bustest.New(t, bustest.WithServices(shop))
	kv := bucket(t, conn)
	l, _ := launch(t, conn, nil)
	stream, err := conn.JetStream().Stream(t.Context(), "KV_"+contract.ConfigKV)
	check(t, err)
	for i := range 3 {
		for name := range stream.ConsumerNames(t.Context()).Name() {
			check(t, stream.DeleteConsumer(t.Context(), name))
		}
		reached(t, l, put(t, kv, "shop.limit", fmt.Sprint(100+i)))
		if got := l.Get().Limit; got != int64(100+i) {
			t.Errorf("round %d: %d", i, got)
		}
	}
}

// TestReconnect: what changes while the server is away is known after its return, and the
// age of the settings shows how long nothing was heard.
func TestReconnect(t *testing.T) {
	t.Parallel()
	bustest.Each(t, func(t *testing.T, b *bustest.Broker) {
		registry := prometheus.NewRegistry()
		tel, err := telemetry.New(telemetry.Config{Writer: &output{}, Registry: registry})
		check(t, err)
		conn := b.Dial(t, bustest.WithTelemetry(tel))
		age := func() float64 { return metric(t, registry, telemetry.Namespace+"_config_age_seconds") }
		l, _ := launch(t, conn, nil)
		reached(t, l, put(t, bucket(t, conn), "shop.limit", "21"))
		b.Stop(t, "KV_"+contract.ConfigKV)
		if got := l.Get().Limit; got != 21 {
			t.Errorf("without a server: %d", got)
		}
		if b.Replicas() == 1 {
			bustest.Eventually(t, time.Minute, func() bool { return age() > 3.5 }, "the settings to grow old")
		}
		b.Start(t)
		other := b.Dial(t)
		var revision uint64
		bustest.Eventually(t, time.Minute, func() bool {
			kv, err := other.JetStream().KeyValue(t.Context(), contract.ConfigKV)
			if err == nil {
				revision, err = kv.PutString(t.Context(), "shop.limit", "22")
			}
			return err == nil
		}, "the bucket")
		reached(t, l, revision)
		if got := l.Get().Limit; got != 22 {
			t.Errorf("after the return: %d", got)
		}
		bustest.Eventually(t, time.Minute, func() bool { return age() < 2.5 }, "the settings to be young again")
	}, bustest.WithServices(shop))
}

// TestNewBucket: a bucket that is lost and made anew is read from its beginning.
func TestNewBucket(t *testing.T) {
	t.Parallel()
	conn := bustest.New(t, bustest.WithServices(shop))
	l, _ := launch(t, conn, nil)
	for range 5 {
		reached(t, l, put(t, bucket(t, conn), "shop.limit", "31"))
	}
	check(t, conn.JetStream().DeleteKeyValue(t.Context(), contract.ConfigKV))
	if got := l.Get().Limit; got != 31 {
		t.Errorf("without a bucket: %d", got)
	}
	check(t, bus.Provision(t.Context(), conn, contract.Streams(shop), 1))
	put(t, bucket(t, conn), "shop.size", "5")
	bustest.Eventually(t, time.Minute, func() bool { got := l.Get(); return got.Size == 5 && got.Limit == 10 }, "the new bucket")
}

// TestReports: instances tell what they run, also what is not from the bucket, and their
// report goes with them.
func TestReports(t *testing.T) {
	t.Parallel()
	b := bustest.Server(t, bustest.WithServices(shop))
	conn := b.Dial(t)
	sources, err := config.NewSources("", []string{"MESH_SHOP_API_KEY=canary-3", "MESH_SHOP_SIZE=4"}, nil)
	check(t, err)
	base, err := sources.Values(newSchema(t))
	check(t, err)
	l, _ := launch(t, b.Dial(t), base)
	_, stop := launch(t, b.Dial(t), nil)
	revision := put(t, bucket(t, conn), "shop.limit", "41")
	s := store(t, conn)
	var list []config.Instance
	bustest.Eventually(t, time.Minute, func() bool {
		list, err = s.Instances(t.Context(), "*")
		return err == nil && len(list) == 2 && list[0].Revision == revision && list[1].Revision == revision
	}, "two reports of the revision")
	want := "limit=41 bucket\nleast=0 default\nwait=2s default\nopen=true default\nmode=fast default\nnote= default\nsize=4 environment\n" +
		"price={\"amount\":5,\"currency\":\"EUR\"} default\ncache=100 default\napi_key=[secret] environment"
	if got := values(list[0]); got != want || list[0].Instance != l.Status().Instance {
		t.Errorf("%s", got)
	}
	stop()
	bustest.Eventually(t, time.Minute, func() bool {
		list, err = s.Instances(t.Context(), "shop")
		return err == nil && len(list) == 1
	}, "the report of the one that ended to go")
}

// TestStore: values are checked as a running instance does, and nobody's change is
// overwritten.
func TestStore(t *testing.T) {
	t.Parallel()
	conn := bustest.New(t, bustest.WithServices(shop))
	s, schema := store(t, conn), newSchema(t)
	old := entries(t.Context(), t, s)
	if _, err := s.Set(t.Context(), schema, nil, old, "limit", "many"); !isRefused(err) {
		t.Errorf("a bad value: %v", err)
	}
	first, err := s.Set(t.Context(), schema, nil, old, "limit", "50")
	check(t, err)
	if _, err := s.Set(t.Context(), schema, nil, old, "limit", "60"); !isMoved(err) {
		t.Errorf("an old reader writes: %v", err)
	}
	now := entries(t.Context(), t, s)
	if last := config.Last(now, "shop.limit"); last.Revision != first || last.Value != "50" {
		t.Errorf("%+v", last)
	}
	check(t, s.Unset(t.Context(), schema, nil, now, "limit"))
	now = entries(t.Context(), t, s)
	if err := s.Unset(t.Context(), schema, nil, now, "limit"); err == nil {
		t.Error("what is not there is deleted")
	}
	_, err = s.Set(t.Context(), schema, nil, now, "limit", "70")
	check(t, err)
	expected, err := config.Expect(schema, nil, entries(t.Context(), t, s))
	check(t, err)
	if r := expected.Settings[0]; r.Value != "70" || r.From != config.Bucket {
		t.Errorf("%+v", r)
	}
}

// BenchmarkGet: reading settings is one atomic load and a copy.
func BenchmarkGet(b *testing.B) {
	l, err := config.NewLive[settings](offline(b), newSchema(b), nil)
	check(b, err)
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if l.Get().Limit != 10 {
				b.Error("another limit")
			}
		}
	})
}
