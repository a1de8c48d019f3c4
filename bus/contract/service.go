package contract

import (
	"slices"
	"strconv"
	"time"
)

// Service is everything a service says about itself. Permissions, streams,
// consumers, $SRV metadata and the catalogue are derived from it.
type Service struct {
	Name     string        // token, such as "orders"
	Version  string        // semantic version of the contract, such as "1.0.0"
	Doc      string        // one sentence
	Serves   []MethodInfo  // methods it answers
	Calls    []MethodInfo  // methods of other services it calls
	Appends  []EventsInfo  // entities it owns: it alone appends to them
	Consumes []Consumption // durable consumers
	Views    []EventsInfo  // entities that it folds into memory, one consumer per instance
	Caches   []EventsInfo  // entities of which it keeps what it has read, one consumer per instance
	Flows    []FlowInfo    // flows it runs
	Starts   []string      // other services whose flows it starts and steers, or EveryService
	Follows  []string      // services whose flows' inputs and journals it reads as they come, or EveryService
	Books    []string      // key-value buckets that it alone writes
	Settings []Setting     // what can be set, keys <service>.<name>; see SettingsOf
	Policies []PolicyInfo  // documents that it follows, keys <service>.<name> of the bucket PolicyKV
}

// EveryService stands for all services where a descriptor names other services.
const EveryService = "*"

// Consumption is one durable consumer.
type Consumption struct {
	Durable string        // unique in its stream, such as "orders-checkout"
	Events  EventsInfo    // what it reads
	Ordered bool          // the events of one entity one after the other, in one process at a time
	AckWait time.Duration // without a sign of life of who holds an event, until another gets it; 0 is EventAckWait
}

// FlowInfo names a flow and the version that new instances run.
type FlowInfo struct {
	Name    string
	Version int
	Doc     string
}

// Streams returns every stream and bucket that the services need together, sorted
// by name: one event stream per owning service, FLOW and its buckets when a service has flows, DLQ
// when one consumes, each book, and the buckets of settings and policies when a service
// has some.
func Streams(services ...Service) []StreamSpec {
	byName := map[string]StreamSpec{}
	for _, s := range services {
		for _, e := range s.Appends {
			spec := byName[e.Stream]
			spec.Name, spec.DiscardNew, spec.DenyDelete = e.Stream, true, true
			if !slices.Contains(spec.Subjects, e.Filter()) {
				spec.Subjects = append(spec.Subjects, e.Filter())
				slices.Sort(spec.Subjects)
			}
			byName[e.Stream] = spec
		}
		for _, b := range s.Books {
			byName["KV_"+b] = StreamSpec{Name: b, KV: true, History: 1}
		}
		if len(s.Flows) > 0 {
			byName[FlowStream] = StreamSpec{
				Name: FlowStream, Schedules: true,
				Subjects: []string{"flow.*.in.>", "flow.*.log.>", "flow.*.timer.>"},
				Metadata: map[string]string{FlowPartitionsKey: strconv.Itoa(FlowPartitions)},
			}
			byName["OBJ_"+FlowPayloads] = StreamSpec{Name: FlowPayloads, Objects: true}
			byName["KV_"+FlowLeaseKV] = StreamSpec{Name: FlowLeaseKV, KV: true, History: 1, MarkerTTL: flowLeaseTTL}
		}
		if len(s.Settings) > 0 {
			byName["KV_"+ConfigKV] = StreamSpec{Name: ConfigKV, KV: true, History: settingHistory}
		}
		if len(s.Policies) > 0 {
			byName["KV_"+PolicyKV] = StreamSpec{Name: PolicyKV, KV: true, History: settingHistory}
		}
		if len(s.Settings)+len(s.Policies) > 0 {
			byName["KV_"+ConfigStatusKV] = StreamSpec{Name: ConfigStatusKV, KV: true, History: 1, MarkerTTL: statusMarkerTTL}
		}
		if len(s.Consumes) > 0 || len(s.Flows) > 0 {
			byName[DLQStream] = StreamSpec{Name: DLQStream, Subjects: []string{"dlq.>"}}
		}
	}
	specs := make([]StreamSpec, 0, len(byName))
	for _, spec := range byName {
		specs = append(specs, spec)
	}
	slices.SortFunc(specs, func(a, b StreamSpec) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return specs
}
