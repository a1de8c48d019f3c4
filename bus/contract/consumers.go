package contract

import (
	"slices"
	"strconv"
	"time"
)

// FlowPartitions is how many partitions a service's flows are spread over, unless the
// stream FLOW says otherwise. It is fixed when the stream is created.
const FlowPartitions = 16

// FlowPartitionsKey is the metadata in which the stream FLOW and each of its consumers
// say for how many partitions they were made.
const FlowPartitionsKey = "mesh-flow-partitions"

// EventAckWait is how long the server waits for a sign of life of whoever holds an
// event, unless the consumption says otherwise.
const EventAckWait = 30 * time.Second

// FlowAckWait is the same for the inputs of flows. It is the last resort: who takes a
// partition over resets its consumer.
const FlowAckWait = time.Minute

const (
	eventAckPending = 4096
	orderedGroup    = "ordered"
	orderedPin      = 4 * time.Second // two pulls

	flowGroup = "owner"

	flowAckPending = 1000
	flowPin        = 3 * time.Second
)

// ConsumerSpec describes a durable consumer without naming a client library. All
// of them deliver everything from the beginning, want each message acknowledged, and
// never give one up.
type ConsumerSpec struct {
	Stream        string
	Name          string // unique in its stream
	Description   string // for people
	Filter        string
	AckWait       time.Duration
	MaxAckPending int
	Group         string        // one client at a time, which is pinned in this group; "" lets all share
	PinTTL        time.Duration // after which a pinned client that is silent loses its place
	Metadata      map[string]string
}

// Spec is the durable by which a service consumes.
func (c Consumption) Spec(service string) ConsumerSpec {
	spec := ConsumerSpec{
		Stream: c.Events.Stream, Name: c.Durable, Description: "events of " + c.Events.Entity + " for " + service,
		Filter: c.Events.Filter(), AckWait: c.AckWait, MaxAckPending: eventAckPending,
	}
	if spec.AckWait == 0 {
		spec.AckWait = EventAckWait
	}
	if c.Ordered {
		spec.Group, spec.PinTTL = orderedGroup, orderedPin
	}
	return spec
}

// FlowConsumer is the durable of partition p of a service's flows, of as many
// partitions as the stream has.
func FlowConsumer(service string, p, partitions int) ConsumerSpec {
	return ConsumerSpec{
		Stream: FlowStream, Name: service + "-" + strconv.Itoa(p), Filter: FlowInputFilter(service, p),
		AckWait: FlowAckWait, MaxAckPending: flowAckPending, Group: flowGroup, PinTTL: flowPin,
		Metadata: map[string]string{FlowPartitionsKey: strconv.Itoa(partitions)},
	}
}

// Consumers returns every durable consumer that the services need, in the order of
// streams and names: one for each consumption and one for each partition of the flows.
// Consumers that come and go with a process are not among them.
func Consumers(services ...Service) []ConsumerSpec {
	var specs []ConsumerSpec
	for _, s := range services {
		for _, c := range s.Consumes {
			specs = append(specs, c.Spec(s.Name))
		}
		if len(s.Flows) == 0 {
			continue
		}
		for p := range FlowPartitions {
			specs = append(specs, FlowConsumer(s.Name, p, FlowPartitions))
		}
	}
	slices.SortStableFunc(specs, func(a, b ConsumerSpec) int {
		switch {
		case a.Stream < b.Stream:
			return -1
		case a.Stream > b.Stream:
			return 1
		}
		return 0
	})
	return specs
}
