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
	Request    reflect.Type // the Go type of the request
	Response   reflect.Type // the Go type of the reply
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
		Service: service, Name: name, Version: 1,
		Request: reflect.TypeFor[Req](), Response: reflect.TypeFor[Resp](),
	}
	for _, opt := range opts {
		opt(&info)
	}
	return Method[Req, Resp]{info}
}
