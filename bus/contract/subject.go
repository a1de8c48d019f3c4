package contract

import (
	"strconv"
	"strings"
	"time"
)

// MaxID is the longest id in bytes.
const MaxID = 64

// ValidID reports whether id is ^[A-Za-z0-9_-]{1,64}$, the only form that may
// become a token of a subject.
func ValidID(id string) bool {
	if len(id) == 0 || len(id) > MaxID {
		return false
	}
	for i := range len(id) {
		c := id[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

// CheckID returns an Invalid error that names the field unless id is valid. The
// field is a JSON pointer such as "/order_id".
func CheckID(field, id string) error {
	if ValidID(id) {
		return nil
	}
	name := field[strings.LastIndexByte(field, '/')+1:]
	if id == "" {
		return ErrInvalid.At(field).Sayf("%s is missing", name)
	}
	return ErrInvalid.At(field).Sayf("%s must be 1 to %d of the characters A-Z a-z 0-9 _ -", name, MaxID)
}

// Names of streams and buckets that belong to the mesh and not to one service.
const (
	FlowStream  = "FLOW"       // inputs, journals and timers of every flow
	DLQStream   = "DLQ"        // dead letters
	ConfigKV    = "config"     // settings: key <service>.<setting>; history 64
	PolicyKV    = "policy"     // policies: key <service>.<name>; history 64
	FlowLeaseKV = "flow_lease" // who owns which flow partition; history 1, short TTL

	// ConfigStatusKV says what becomes of settings and policies: <service>.instance.<id> is
	// which settings an instance runs and goes with it, <service>.refused.<setting> what was
	// refused last; <service>.policy.<name>.<id> and <service>.policy_refused.<name> are the
	// same for a policy.
	ConfigStatusKV = "config_status"

	FlowPayloads = "flow_payload" // object store: inputs and results of flows that are too large for a message
)

// FlowInput is the inbox of one flow instance within partition p of its service.
func FlowInput(service string, p int, name, id string) string {
	return "flow." + service + ".in." + strconv.Itoa(p) + "." + name + "." + id
}

// FlowInputFilter matches every input of partition p of a service.
func FlowInputFilter(service string, p int) string {
	return "flow." + service + ".in." + strconv.Itoa(p) + ".>"
}

// FlowInputsFilter matches every input of a service, or of all services with "*".
func FlowInputsFilter(service string) string { return "flow." + service + ".in.>" }

// ParseFlowInput is the inverse of FlowInput.
func ParseFlowInput(subject string) (service string, p int, name, id string, ok bool) {
	t := strings.Split(subject, ".")
	if len(t) != 6 || t[0] != "flow" || t[2] != "in" {
		return "", 0, "", "", false
	}
	p, err := strconv.Atoi(t[3])
	return t[1], p, t[4], t[5], err == nil
}

// FlowLog is the journal of one flow instance.
func FlowLog(service, name, id string) string { return "flow." + service + ".log." + name + "." + id }

// FlowLogFilter matches every journal of a service, or of all services with "*".
func FlowLogFilter(service string) string { return "flow." + service + ".log.>" }

// ParseFlowLog is the inverse of FlowLog.
func ParseFlowLog(subject string) (service, name, id string, ok bool) {
	t := strings.Split(subject, ".")
	if len(t) != 5 || t[0] != "flow" || t[2] != "log" {
		return "", "", "", false
	}
	return t[1], t[3], t[4], true
}

// FlowTimer is the schedule subject of one timer of a flow instance.
func FlowTimer(service, name, id, timer string) string {
	return "flow." + service + ".timer." + name + "." + id + "." + timer
}

// DeadLetter is where a consumer puts a message that it gives up.
func DeadLetter(stream, consumer string) string { return "dlq." + stream + "." + consumer }

// InboxPrefix is the reply-subject prefix that a service's user may subscribe to.
func InboxPrefix(service string) string { return "_INBOX_" + service }

// Settings matches every setting of a service in the bucket ConfigKV.
func Settings(service string) string { return "$KV." + ConfigKV + "." + service + ".>" }

// StreamSpec describes a stream without naming a client library. Event streams
// keep everything (Discard New, DenyDelete); see [Streams].
type StreamSpec struct {
	Name       string
	Subjects   []string
	DiscardNew bool          // a full stream refuses instead of forgetting
	DenyDelete bool          // single messages cannot be removed
	Schedules  bool          // message schedules and per-message TTL
	MaxAge     time.Duration // 0 keeps messages for ever
	Metadata   map[string]string
	KV         bool          // a key-value bucket named Name (its stream is KV_<Name>)
	History    int           // KV: values kept per key
	MarkerTTL  time.Duration // KV: how long a delete marker stays; 0 = no per-key TTL
	Objects    bool          // an object store bucket named Name (its stream is OBJ_<Name>)
}

// StreamName is the name of the stream, also of the one behind a bucket.
func (s StreamSpec) StreamName() string {
	switch {
	case s.KV:
		return "KV_" + s.Name
	case s.Objects:
		return "OBJ_" + s.Name
	}
	return s.Name
}
