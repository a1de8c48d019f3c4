package contract

import (
	"reflect"
	"strconv"
)

// MethodInfo is what is known of a method without its types.
type MethodInfo struct {
	Service    string       // the service that answers, such as "orders"
	Name       string       // the method's name, such as "place"
	Version    int          // 1, or higher for a breaking change beside the old one
	Doc        string       // one sentence
	Idempotent bool         // repeating it with the same request changes nothing more
	Reads      bool         // it changes nothing at all
	Priority   Priority     // who goes first when there is more work than a server can do
	Request    reflect.Type // the Go type of the request
	Response   reflect.Type // the Go type of the reply
	HTTP       *Route       // how it is reached over HTTP; nil for not at all
}

// Subject is the request subject: svc.<service>.<method>, or
// svc.<service>.v<n>.<method> from version 2 on.
func (m MethodInfo) Subject() string {
	if m.Version > 1 {
		return "svc." + m.Service + ".v" + strconv.Itoa(m.Version) + "." + m.Name
	}
	return "svc." + m.Service + "." + m.Name
}

// FullName is <service>.<method>, with the version from 2 on, for people, logs
// and metrics.
func (m MethodInfo) FullName() string { return m.Subject()[len("svc."):] }

// Method is a request/reply operation with its types: declared once in contracts,
// served with rpc.Handle and called with rpc.Call. Requests may implement
// [Validator].
type Method[Req, Resp any] struct{ info MethodInfo }

// Info returns the method's description.
func (m Method[Req, Resp]) Info() MethodInfo { return m.info }

// Subject is the request subject.
func (m Method[Req, Resp]) Subject() string { return m.info.Subject() }

// Validator is implemented by requests that can check themselves. Validate
// returns an [*Error] that names the field; it is called before the handler.
type Validator interface{ Validate() error }

// MethodOption refines a method's description.
type MethodOption func(*MethodInfo)

// Idempotent marks a method that may be repeated without a command id.
func Idempotent() MethodOption { return func(m *MethodInfo) { m.Idempotent = true } }

// Priority orders the requests that wait at a server that has too much to do. A caller
// cannot choose it: it belongs to the method.
type Priority uint8

// The priorities, the lowest first.
const (
	PriorityList    Priority = iota + 1 // lists and reports: costly, and nobody waits for them alone
	PriorityRead                        // one thing as it is now; the default of what reads
	PriorityCommand                     // the default of everything else
	PriorityUrgent                      // what ends work or gives something back
)

// String returns the priority's name.
func (p Priority) String() string {
	switch p {
	case PriorityList:
		return "list"
	case PriorityRead:
		return "read"
	case PriorityCommand:
		return "command"
	case PriorityUrgent:
		return "urgent"
	}
	return "priority_" + strconv.Itoa(int(p))
}

// Read marks a method that changes nothing: it is idempotent, and may be asked twice at
// the same time.
func Read() MethodOption {
	return func(m *MethodInfo) { m.Idempotent, m.Reads, m.Priority = true, true, PriorityRead }
}

// Lists marks a method that reads much: it is the first to be refused under overload.
func Lists() MethodOption {
	return func(m *MethodInfo) { m.Idempotent, m.Reads, m.Priority = true, true, PriorityList }
}

// Urgent marks a method that goes before all others under overload.
func Urgent() MethodOption { return func(m *MethodInfo) { m.Priority = PriorityUrgent } }

// Doc describes the method in one sentence.
func Doc(sentence string) MethodOption { return func(m *MethodInfo) { m.Doc = sentence } }

// Version puts the method beside an older one that it does not replace.
func Version(n int) MethodOption { return func(m *MethodInfo) { m.Version = n } }

// NewMethod declares a method. Service and name are lower-case tokens; a name that
// cannot be a subject token panics at start-up, as it is a programming error.
func NewMethod[Req, Resp any](service, name string, opts ...MethodOption) Method[Req, Resp] {
	if !ValidID(service) || !ValidID(name) {
		panic("contract: bad method name " + strconv.Quote(service+"."+name))
	}
	info := MethodInfo{
		Service: service, Name: name, Version: 1, Priority: PriorityCommand,
		Request: reflect.TypeFor[Req](), Response: reflect.TypeFor[Resp](),
	}
	for _, opt := range opts {
		opt(&info)
	}
	return Method[Req, Resp]{info}
}
