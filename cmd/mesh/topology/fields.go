package topology

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// field is one setting of a stream or consumer that the mesh depends on. Settings
// without a field, such as placement, compression or a limit of an event stream's
// bytes, are the operator's.
type field[C any] struct {
	name   string
	show   func(c *C) string
	fits   func(is, want *C) bool   // nil: it has to show the same
	refuse func(is, want *C) string // why it must not be changed; nil: it may
	set    func(c, want *C)         // nil: it cannot be changed
}

// compareFields returns what differs and puts into changed what may be changed.
func compareFields[C any](fields []field[C], is, want, changed *C) []Difference {
	var list []Difference
	for _, f := range fields {
		is, want := is, want
		if f.fits != nil && f.fits(is, want) || f.fits == nil && f.show(is) == f.show(want) {
			continue
		}
		d := Difference{Field: f.name, Is: f.show(is), Should: f.show(want)}
		if f.refuse != nil {
			d.Refused = f.refuse(is, want)
		}
		if d.Refused == "" {
			f.set(changed, want)
		}
		list = append(list, d)
	}
	return list
}

// Why a difference is left to a person.
const (
	fixed   = "it cannot be changed: make another stream and move the messages"
	oneWay  = "it cannot be taken back: make another stream and move the messages"
	shrinks = "it would lose what is stored"
	fewer   = "it would give copies up"
	meaning = "its position would mean something else: delete the consumer if that may be lost, and apply again"
)

// always refuses with this reason.
func always[C any](reason string) func(is, want *C) string {
	return func(_, _ *C) string { return reason }
}

type (
	streamConfig   = jetstream.StreamConfig
	consumerConfig = jetstream.ConsumerConfig
)

// streamFields are the settings of a stream or of the stream behind a bucket.
func streamFields(spec contract.StreamSpec) []field[streamConfig] {
	list := []field[streamConfig]{
		{
			name: "subjects",
			show: func(c *streamConfig) string { return listed(c.Subjects) },
			refuse: func(is, want *streamConfig) string {
				for _, subject := range is.Subjects {
					if !slices.Contains(want.Subjects, subject) {
						return "taking " + subject + " away would leave its messages without an owner"
					}
				}
				return ""
			},
			set: func(c, want *streamConfig) { c.Subjects = want.Subjects },
		},
		{
			name:   "num_replicas",
			show:   func(c *streamConfig) string { return fmt.Sprint(c.Replicas) },
			refuse: smaller(func(c *streamConfig) int64 { return int64(c.Replicas) }, fewer),
			set:    func(c, want *streamConfig) { c.Replicas = want.Replicas },
		},
		{
			name: "discard",
			show: func(c *streamConfig) string { return discardName(c.Discard) },
			set:  func(c, want *streamConfig) { c.Discard = want.Discard },
		},
		limit("max_age", shownTime, func(c *streamConfig) *time.Duration { return &c.MaxAge }),
		limit("max_msgs", shownLimit, func(c *streamConfig) *int64 { return &c.MaxMsgs }),
		limit("max_msg_size", shownLimit, func(c *streamConfig) *int32 { return &c.MaxMsgSize }),
		{
			name: "subject_delete_marker_ttl",
			show: func(c *streamConfig) string { return c.SubjectDeleteMarkerTTL.String() },
			set:  func(c, want *streamConfig) { c.SubjectDeleteMarkerTTL = want.SubjectDeleteMarkerTTL },
		},
		{
			name:   "metadata " + contract.FlowPartitionsKey,
			show:   func(c *streamConfig) string { return partitionsShown(c.Metadata) },
			refuse: changedPartitions(func(c *streamConfig) map[string]string { return c.Metadata }),
			set:    func(c, want *streamConfig) { c.Metadata = withPartitions(c.Metadata, want.Metadata) },
		},
	}
	if spec.Schedules || spec.KV || spec.Objects { // an event stream that is full refuses, so its bound is the operator's
		list = append(list, limit("max_bytes", shownLimit, func(c *streamConfig) *int64 { return &c.MaxBytes }))
	}
	perSubject := limit("max_msgs_per_subject", shownLimit, func(c *streamConfig) *int64 { return &c.MaxMsgsPerSubject })
	if spec.KV {
		perSubject.fits = func(is, want *streamConfig) bool {
			return is.MaxMsgsPerSubject <= 0 || is.MaxMsgsPerSubject >= want.MaxMsgsPerSubject
		}
	}
	return slices.Concat(list, []field[streamConfig]{perSubject}, streamKinds(), streamFlags())
}

// streamKinds are what a stream is for good.
func streamKinds() []field[streamConfig] {
	refused := func(name string, show func(c *streamConfig) string) field[streamConfig] {
		return field[streamConfig]{name: name, show: show, refuse: always[streamConfig](fixed)}
	}
	consumers := refused("max_consumers", func(c *streamConfig) string { return shownLimit(int64(c.MaxConsumers)) })
	consumers.fits = func(is, _ *streamConfig) bool { return is.MaxConsumers <= 0 }
	return []field[streamConfig]{
		refused("storage", func(c *streamConfig) string { return strings.ToLower(c.Storage.String()) }),
		refused("retention", func(c *streamConfig) string { return strings.ToLower(c.Retention.String()) }),
		refused("persist_mode", func(c *streamConfig) string { return strings.ToLower(c.PersistMode.String()) }),
		refused("mirror", func(c *streamConfig) string { return shownSources(c.Mirror) }),
		refused("sources", func(c *streamConfig) string { return shownSources(c.Sources...) }),
		refused("sealed", func(c *streamConfig) string { return fmt.Sprint(c.Sealed) }),
		refused("allow_msg_counter", func(c *streamConfig) string { return fmt.Sprint(c.AllowMsgCounter) }),
		consumers,
	}
}

// streamFlags are what a stream permits.
func streamFlags() []field[streamConfig] {
	return []field[streamConfig]{
		flag("deny_delete", oneWay, func(c *streamConfig) *bool { return &c.DenyDelete }),
		flag("deny_purge", oneWay, func(c *streamConfig) *bool { return &c.DenyPurge }),
		flag("allow_msg_ttl", oneWay, func(c *streamConfig) *bool { return &c.AllowMsgTTL }),
		flag("allow_msg_schedules", oneWay, func(c *streamConfig) *bool { return &c.AllowMsgSchedules }),
		flag("allow_rollup_hdrs", "", func(c *streamConfig) *bool { return &c.AllowRollup }),
		flag("allow_direct", "", func(c *streamConfig) *bool { return &c.AllowDirect }),
		flag("no_ack", "", func(c *streamConfig) *bool { return &c.NoAck }),
		flag("discard_new_per_subject", "", func(c *streamConfig) *bool { return &c.DiscardNewPerSubject }),
	}
}

// consumerFields are the settings of a durable consumer. A longer ack_wait and a larger
// max_ack_pending than needed are the operator's.
func consumerFields(replicas int) []field[consumerConfig] {
	refused := func(name string, show func(c *consumerConfig) string) field[consumerConfig] {
		return field[consumerConfig]{name: name, show: show, refuse: always[consumerConfig](meaning)}
	}
	none := func(name string, show func(c *consumerConfig) string, none func(c *consumerConfig)) field[consumerConfig] {
		return field[consumerConfig]{name: name, show: show, set: func(c, _ *consumerConfig) { none(c) }}
	}
	return []field[consumerConfig]{
		refused("filter_subject", func(c *consumerConfig) string { return listed(append(slices.Clone(c.FilterSubjects), c.FilterSubject)) }),
		refused("deliver_policy", func(c *consumerConfig) string { return c.DeliverPolicy.String() }),
		refused("ack_policy", func(c *consumerConfig) string { return c.AckPolicy.String() }),
		refused("deliver_subject", func(c *consumerConfig) string { return fmt.Sprintf("%q", c.DeliverSubject) }),
		refused("priority_policy", func(c *consumerConfig) string { return priorityName(c.PriorityPolicy) }),
		refused("priority_groups", func(c *consumerConfig) string { return listed(c.PriorityGroups) }),
		refused("mem_storage", func(c *consumerConfig) string { return fmt.Sprint(c.MemoryStorage) }),
		{
			name:   "metadata " + contract.FlowPartitionsKey,
			show:   func(c *consumerConfig) string { return partitionsShown(c.Metadata) },
			refuse: changedPartitions(func(c *consumerConfig) map[string]string { return c.Metadata }),
			set:    func(c, want *consumerConfig) { c.Metadata = withPartitions(c.Metadata, want.Metadata) },
		},
		{
			name: "ack_wait", show: func(c *consumerConfig) string { return c.AckWait.String() },
			fits: func(is, want *consumerConfig) bool { return is.AckWait >= want.AckWait },
			set:  func(c, want *consumerConfig) { c.AckWait = want.AckWait },
		},
		{
			name: "max_ack_pending", show: func(c *consumerConfig) string { return fmt.Sprint(c.MaxAckPending) },
			fits: func(is, want *consumerConfig) bool {
				return is.MaxAckPending < 0 || is.MaxAckPending >= want.MaxAckPending
			},
			set: func(c, want *consumerConfig) { c.MaxAckPending = want.MaxAckPending },
		},
		{
			name: "max_deliver", show: func(c *consumerConfig) string { return fmt.Sprint(c.MaxDeliver) },
			set: func(c, want *consumerConfig) { c.MaxDeliver = want.MaxDeliver },
		},
		{
			name: "priority_timeout", show: func(c *consumerConfig) string { return c.PinnedTTL.String() },
			set: func(c, want *consumerConfig) { c.PinnedTTL = want.PinnedTTL },
		},
		{
			name: "num_replicas", show: func(c *consumerConfig) string { return fmt.Sprint(c.Replicas) },
			fits: func(is, _ *consumerConfig) bool { return is.Replicas == 0 || is.Replicas >= replicas },
			set:  func(c, _ *consumerConfig) { c.Replicas = 0 },
		},
		none("backoff", func(c *consumerConfig) string { return fmt.Sprint(c.BackOff) }, func(c *consumerConfig) { c.BackOff = nil }),
		none("headers_only", func(c *consumerConfig) string { return fmt.Sprint(c.HeadersOnly) }, func(c *consumerConfig) { c.HeadersOnly = false }),
		none("inactive_threshold", func(c *consumerConfig) string { return c.InactiveThreshold.String() }, func(c *consumerConfig) { c.InactiveThreshold = 0 }),
		none("max_batch", func(c *consumerConfig) string { return shownLimit(int64(c.MaxRequestBatch)) }, func(c *consumerConfig) { c.MaxRequestBatch = 0 }),
		none("max_expires", func(c *consumerConfig) string { return c.MaxRequestExpires.String() }, func(c *consumerConfig) { c.MaxRequestExpires = 0 }),
		none("max_bytes", func(c *consumerConfig) string { return shownLimit(int64(c.MaxRequestMaxBytes)) }, func(c *consumerConfig) { c.MaxRequestMaxBytes = 0 }),
	}
}

// limit is a bound that may be widened and never narrowed; 0 and less are none.
func limit[N ~int32 | ~int64](name string, show func(int64) string, at func(c *streamConfig) *N) field[streamConfig] {
	of := func(c *streamConfig) int64 { return int64(*at(c)) }
	return field[streamConfig]{
		name: name, show: func(c *streamConfig) string { return show(of(c)) },
		refuse: smaller(of, shrinks),
		set:    func(c, want *streamConfig) { *at(c) = *at(want) },
	}
}

// smaller refuses to go from is to a smaller want; 0 and less are unlimited.
func smaller(of func(c *streamConfig) int64, reason string) func(is, want *streamConfig) string {
	return func(is, want *streamConfig) string {
		if from, to := of(is), of(want); to > 0 && (from <= 0 || from > to) {
			return reason
		}
		return ""
	}
}

// flag is a setting that is on or off; reason says why it cannot be taken back, "" that
// it can.
func flag(name, reason string, at func(c *streamConfig) *bool) field[streamConfig] {
	return field[streamConfig]{
		name: name, show: func(c *streamConfig) string { return fmt.Sprint(*at(c)) },
		refuse: func(is, _ *streamConfig) string {
			if *at(is) {
				return reason
			}
			return ""
		},
		set: func(c, want *streamConfig) { *at(c) = *at(want) },
	}
}

// changedPartitions refuses another number of partitions.
func changedPartitions[C any](of func(c *C) map[string]string) func(is, want *C) string {
	return func(is, _ *C) string {
		if _, said := of(is)[contract.FlowPartitionsKey]; said {
			return "the number of partitions cannot change while flows exist"
		}
		return ""
	}
}

func partitionsShown(metadata map[string]string) string {
	if n, ok := metadata[contract.FlowPartitionsKey]; ok {
		return n
	}
	return "not said"
}

// withPartitions adds the number of partitions to what a stream says of itself.
func withPartitions(metadata, want map[string]string) map[string]string {
	all := maps.Clone(metadata)
	if all == nil {
		all = map[string]string{}
	}
	maps.Copy(all, want)
	return all
}

func shownLimit(n int64) string {
	if n <= 0 {
		return "unlimited"
	}
	return fmt.Sprint(n)
}

func shownTime(n int64) string {
	if n <= 0 {
		return "unlimited"
	}
	return time.Duration(n).String()
}

func shownSources(sources ...*jetstream.StreamSource) string {
	var names []string
	for _, s := range sources {
		if s != nil {
			names = append(names, s.Name)
		}
	}
	return listed(names)
}

func priorityName(p jetstream.PriorityPolicy) string {
	text, err := p.MarshalJSON()
	if err != nil {
		return err.Error()
	}
	return strings.Trim(string(text), `"`)
}

// listed writes names in order.
func listed(names []string) string {
	names = slices.DeleteFunc(slices.Clone(names), func(s string) bool { return s == "" })
	if len(names) == 0 {
		return "none"
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

func discardName(d jetstream.DiscardPolicy) string {
	return strings.ToLower(strings.TrimPrefix(d.String(), "Discard"))
}
