package contract

import "strings"

// PolicyInfo describes a document in the bucket PolicyKV that a service follows while it
// runs: its key is <service>.<name>.
type PolicyInfo struct {
	Name string     // without the service, such as "acceptance"
	Kind PolicyKind // how it is written
	Doc  string     // one sentence
}

// PolicyKind says how a policy is written.
type PolicyKind string

// The kinds of policies.
const (
	PolicyCalls PolicyKind = "calls" // how other services and outside firms are called
	PolicyRules PolicyKind = "rules" // conditions and what follows from them
)

// PolicyKey is the key of a service's policy in the bucket PolicyKV.
func PolicyKey(service, name string) string { return service + "." + name }

// ParsePolicyKey is the inverse of PolicyKey.
func ParsePolicyKey(key string) (service, name string, ok bool) {
	service, name, ok = strings.Cut(key, ".")
	return service, name, ok && ValidID(service) && ValidID(name)
}

// Policy is the subject of a policy in the bucket PolicyKV.
func Policy(key string) string { return "$KV." + PolicyKV + "." + key }
