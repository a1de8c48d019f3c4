package topology_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/cmd/mesh/topology"
)

func TestMain(m *testing.M) { bustest.Main(m) }

// The kinds of streams that a mesh has, each under names of its own.
func eventStream(n int) contract.StreamSpec {
	return contract.StreamSpec{Name: fmt.Sprintf("EVENTS%d", n), Subjects: []string{fmt.Sprintf("evt.%d.*", n)}, DiscardNew: true, DenyDelete: true}
}

func flowStream(n int) contract.StreamSpec {
	return contract.StreamSpec{
		Name: fmt.Sprintf("FLOW%d", n), Subjects: []string{fmt.Sprintf("flow.%d.in.>", n), fmt.Sprintf("flow.%d.log.>", n)}, Schedules: true,
		Metadata: map[string]string{contract.FlowPartitionsKey: "16"},
	}
}

func bucket(n int) contract.StreamSpec {
	return contract.StreamSpec{Name: fmt.Sprintf("bucket%d", n), KV: true, History: 8}
}

func leases(n int) contract.StreamSpec {
	return contract.StreamSpec{Name: fmt.Sprintf("lease%d", n), KV: true, History: 1, MarkerTTL: 2 * time.Second}
}

func objects(n int) contract.StreamSpec {
	return contract.StreamSpec{Name: fmt.Sprintf("object%d", n), Objects: true}
}

// TestEveryStreamFieldIsNamed: whatever somebody has changed by hand is named, with what
// is and what should be, and nothing else is. What can be mended without a loss is.
func TestEveryStreamFieldIsNamed(t *testing.T) {
	t.Parallel()
	conn := bustest.New(t)
	for i, c := range []struct {
		field  string
		spec   func(int) contract.StreamSpec
		drift  func(*jetstream.StreamConfig)
		is     string
		should string
		mends  bool
	}{
		{"subjects", eventStream, func(c *jetstream.StreamConfig) { c.Subjects = append(c.Subjects, "elsewhere.*") }, "elsewhere.*, evt.0.*", "evt.0.*", false},
		{"subjects", flowStream, func(c *jetstream.StreamConfig) { c.Subjects = c.Subjects[:1] }, "flow.1.in.>", "flow.1.in.>, flow.1.log.>", true},
		{"discard", eventStream, func(c *jetstream.StreamConfig) { c.Discard = jetstream.DiscardOld }, "old", "new", true},
		{"max_age", eventStream, func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour }, "1h0m0s", "unlimited", true},
		{"max_msgs", eventStream, func(c *jetstream.StreamConfig) { c.MaxMsgs = 1000 }, "1000", "unlimited", true},
		{"max_msgs_per_subject", eventStream, func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 10 }, "10", "unlimited", true},
		{"max_msg_size", eventStream, func(c *jetstream.StreamConfig) { c.MaxMsgSize = 100 }, "100", "unlimited", true},
		{"max_bytes", flowStream, func(c *jetstream.StreamConfig) { c.MaxBytes = 1 << 20 }, "1048576", "unlimited", true},
		{"max_bytes", bucket, func(c *jetstream.StreamConfig) { c.MaxBytes = 1 << 20 }, "1048576", "unlimited", true},
		{"max_consumers", eventStream, func(c *jetstream.StreamConfig) { c.MaxConsumers = 5 }, "5", "unlimited", false},
		{"storage", eventStream, func(c *jetstream.StreamConfig) { c.Storage = jetstream.MemoryStorage }, "memory", "file", false},
		{"retention", flowStream, func(c *jetstream.StreamConfig) { c.Retention = jetstream.InterestPolicy }, "interest", "limits", false},
		{"persist_mode", eventStream, func(c *jetstream.StreamConfig) { c.PersistMode = jetstream.AsyncPersistMode }, "async", "default", false},
		{"deny_delete", eventStream, func(c *jetstream.StreamConfig) { c.DenyDelete = false }, "false", "true", true},
		{"deny_delete", objects, func(c *jetstream.StreamConfig) { c.DenyDelete = true }, "true", "false", false},
		{"deny_purge", eventStream, func(c *jetstream.StreamConfig) { c.DenyPurge = true }, "true", "false", false},
		{"allow_msg_ttl", eventStream, func(c *jetstream.StreamConfig) { c.AllowMsgTTL = true }, "true", "false", false},
		{"allow_rollup_hdrs", eventStream, func(c *jetstream.StreamConfig) { c.AllowRollup = true }, "true", "false", true},
		{"allow_rollup_hdrs", bucket, func(c *jetstream.StreamConfig) { c.AllowRollup = false }, "false", "true", true},
		{"allow_direct", eventStream, func(c *jetstream.StreamConfig) { c.AllowDirect = false }, "false", "true", true},
		{"no_ack", eventStream, func(c *jetstream.StreamConfig) { c.NoAck = true }, "true", "false", true},
		{"subject_delete_marker_ttl", leases, func(c *jetstream.StreamConfig) { c.SubjectDeleteMarkerTTL = time.Hour }, "1h0m0s", "2s", true},
		{"max_msgs_per_subject", bucket, func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 2 }, "2", "8", true},
		{"metadata " + contract.FlowPartitionsKey, flowStream, func(c *jetstream.StreamConfig) { c.Metadata = nil }, "not said", "16", true},
		{"metadata " + contract.FlowPartitionsKey, flowStream, func(c *jetstream.StreamConfig) {
			c.Metadata = map[string]string{contract.FlowPartitionsKey: "8"}
		}, "8", "16", false},
		{"sources", eventStream, func(c *jetstream.StreamConfig) { c.Sources = []*jetstream.StreamSource{{Name: "ANOTHER"}} }, "ANOTHER", "none", false},
	} {
		t.Run(fmt.Sprintf("%s %d", c.field, i), func(t *testing.T) {
			t.Parallel()
			spec := c.spec(i)
			cfg := bus.StreamConfig(spec, 1)
			c.drift(&cfg)
			for k := range cfg.Subjects {
				cfg.Subjects[k] = strings.Replace(cfg.Subjects[k], "elsewhere", fmt.Sprintf("elsewhere%d", i), 1)
			}
			if _, err := conn.JetStream().CreateStream(t.Context(), cfg); err != nil {
				t.Fatal(err)
			}
			p := topology.Planner{JetStream: conn.JetStream(), Replicas: 1}
			item := only(t, p, spec)
			if len(item.Differences) != 1 {
				t.Fatalf("differences %v, want one of %s", item.Differences, c.field)
			}
			d := item.Differences[0]
			is := strings.Replace(c.is, "elsewhere", fmt.Sprintf("elsewhere%d", i), 1)
			if d.Field != c.field || d.Is != is || d.Should != c.should || (d.Refused == "") != c.mends {
				t.Errorf("%+v, want %s from %q to %q, mended: %v", d, c.field, is, c.should, c.mends)
			}
			if !c.mends {
				return
			}
			if err := p.Apply(t.Context(), item); err != nil {
				t.Fatal(err)
			}
			if again := only(t, p, spec); again.Action != topology.Keep {
				t.Errorf("after apply: %+v", again)
			}
		})
	}
}

// only plans one stream.
func only(t *testing.T, p topology.Planner, spec contract.StreamSpec) topology.Item {
	t.Helper()
	items, err := p.Plan(t.Context(), []contract.StreamSpec{spec}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return items[0]
}

// TestEveryConsumerFieldIsNamed is the same for durables.
func TestEveryConsumerFieldIsNamed(t *testing.T) {
	t.Parallel()
	stream := eventStream(0)
	conn := bustest.New(t, bustest.WithStreams(stream))
	type config = jetstream.ConsumerConfig
	for i, c := range []struct {
		field string
		drift func(*config)
		mends bool
	}{
		{"filter_subject", func(c *config) { c.FilterSubject = "evt.0.a" }, false},
		{"deliver_policy", func(c *config) { c.DeliverPolicy = jetstream.DeliverNewPolicy }, false},
		{"ack_policy", func(c *config) { c.AckPolicy = jetstream.AckAllPolicy }, false},
		{"priority_policy", func(c *config) { c.PriorityPolicy, c.PinnedTTL = jetstream.PriorityPolicyOverflow, 0 }, false},
		{"priority_groups", func(c *config) { c.PriorityGroups = []string{"other"} }, false},
		{"mem_storage", func(c *config) { c.MemoryStorage = true }, false},
		{"metadata " + contract.FlowPartitionsKey, func(c *config) { c.Metadata = map[string]string{contract.FlowPartitionsKey: "4"} }, false},
		{"ack_wait", func(c *config) { c.AckWait = time.Second }, true},
		{"max_ack_pending", func(c *config) { c.MaxAckPending = 1 }, true},
		{"max_deliver", func(c *config) { c.MaxDeliver = 3 }, true},
		{"priority_timeout", func(c *config) { c.PinnedTTL = time.Minute }, true},
		{"headers_only", func(c *config) { c.HeadersOnly = true }, true},
		{"inactive_threshold", func(c *config) { c.InactiveThreshold = time.Hour }, true},
		{"max_batch", func(c *config) { c.MaxRequestBatch = 1 }, true},
		{"max_expires", func(c *config) { c.MaxRequestExpires = time.Second }, true},
		{"max_bytes", func(c *config) { c.MaxRequestMaxBytes = 1024 }, true},
	} {
		t.Run(c.field, func(t *testing.T) {
			t.Parallel()
			spec := contract.ConsumerSpec{
				Stream: stream.Name, Name: fmt.Sprintf("durable-%d", i), Filter: "evt.0.*", AckWait: 5 * time.Second, MaxAckPending: 100,
				Group: "owner", PinTTL: 3 * time.Second, Metadata: map[string]string{contract.FlowPartitionsKey: "16"},
			}
			cfg := bus.ConsumerConfig(spec)
			c.drift(&cfg)
			if _, err := conn.JetStream().CreateConsumer(t.Context(), stream.Name, cfg); err != nil {
				t.Fatal(err)
			}
			p := topology.Planner{JetStream: conn.JetStream(), Replicas: 1}
			item := consumer(t, p, spec)
			named := func(d topology.Difference) bool {
				return d.Field == c.field && d.Is != d.Should && (d.Refused == "") == c.mends
			}
			if !slices.ContainsFunc(item.Differences, named) {
				t.Errorf("%v does not name %s, mended: %v", item.Differences, c.field, c.mends)
			}
			if !c.mends {
				if item.Action != topology.Refuse {
					t.Errorf("%+v is not refused", item)
				}
				return
			}
			if err := p.Apply(t.Context(), item); err != nil {
				t.Fatal(err)
			}
			if again := consumer(t, p, spec); again.Action != topology.Keep {
				t.Errorf("after apply: %+v", again)
			}
		})
	}
}

func consumer(t *testing.T, p topology.Planner, spec contract.ConsumerSpec) topology.Item {
	t.Helper()
	items, err := p.Plan(t.Context(), nil, []contract.ConsumerSpec{spec})
	if err != nil {
		t.Fatal(err)
	}
	return items[0]
}

// TestNothingIsMadeSmaller: fewer copies, a shorter time, fewer values of a key, and
// what an operator has made larger than it has to be.
func TestNothingIsMadeSmaller(t *testing.T) {
	t.Parallel()
	conn := bustest.New(t)
	js := conn.JetStream()
	keeps := contract.StreamSpec{Name: "KEEPS", Subjects: []string{"keeps.>"}}
	if err := bus.Provision(t.Context(), conn, []contract.StreamSpec{keeps, bucket(1)}, 1); err != nil {
		t.Fatal(err)
	}
	p := topology.Planner{JetStream: js, Replicas: 1}
	shorter := keeps
	shorter.MaxAge = time.Minute
	if item := only(t, p, shorter); item.Action != topology.Refuse || item.Differences[0].Field != "max_age" {
		t.Errorf("a shorter life: %+v", item)
	}
	fewer := bucket(1)
	fewer.History = 1
	if item := only(t, p, fewer); item.Action != topology.Keep {
		t.Errorf("more values than needed: %+v", item)
	}
	// One server cannot have three copies; what a server says of one that has is enough.
	tripled := topology.Planner{JetStream: copies{js, 3}, Replicas: 1}
	if item := only(t, tripled, keeps); item.Action != topology.Refuse || item.Differences[0].Field != "num_replicas" {
		t.Errorf("fewer copies: %+v", item)
	}
	tripled.Replicas, tripled.More = 1, true
	if item := only(t, tripled, keeps); item.Action != topology.Keep {
		t.Errorf("more copies than needed: %+v", item)
	}
}

// copies says of every stream that it has so many copies.
type copies struct {
	jetstream.JetStream
	n int
}

func (c copies) Stream(ctx context.Context, name string) (jetstream.Stream, error) {
	s, err := c.JetStream.Stream(ctx, name)
	if err == nil {
		s.CachedInfo().Config.Replicas = c.n
	}
	return s, err
}
