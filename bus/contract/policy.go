package contract

import "strings"

// PolicyInfo describes a document in the bucket PolicyKV that a service follows while it
// runs: its key is <service>.<name>.
type PolicyInfo struct {
	Name string     // without the service, such as "acceptance"
	Kind PolicyKind // how it is written
	Doc  string     // one sentence
	Of   CallClass  // of PolicyCalls: what kind of destination it is
}

// PolicyKind says how a policy is written.
type PolicyKind string

// The kinds of policies.
const (
	PolicyCalls PolicyKind = "calls" // how other services and outside firms are called
	PolicyRules PolicyKind = "rules" // conditions and what follows from them
)

// CallClass says what kind of destination a policy of calls is for: from it follows what
// holds without a document.
type CallClass string

// The classes of destinations.
const (
	CallsMesh    CallClass = "mesh"    // another service of the mesh
	CallsEdge    CallClass = "edge"    // a service of the mesh, for a caller outside who waits
	CallsPartner CallClass = "partner" // a firm outside
	CallsStore   CallClass = "store"   // a database or a cache
)

// BreakerSubject is where a service tells that its breaker for a destination has opened or
// closed; both may be "*".
func BreakerSubject(service, destination string) string {
	return "policy.breaker." + service + "." + destination
}

// PolicyStates is the key in the bucket ConfigStatusKV under which an instance of a service
// tells how its calls go.
func PolicyStates(service, instance string) string { return service + ".calls." + instance }

// PolicyKey is the key of a service's policy in the bucket PolicyKV.
func PolicyKey(service, name string) string { return service + "." + name }

// ParsePolicyKey is the inverse of PolicyKey.
func ParsePolicyKey(key string) (service, name string, ok bool) {
	service, name, ok = strings.Cut(key, ".")
	return service, name, ok && ValidID(service) && ValidID(name)
}

// Policy is the subject of a policy in the bucket PolicyKV.
func Policy(key string) string { return "$KV." + PolicyKV + "." + key }
