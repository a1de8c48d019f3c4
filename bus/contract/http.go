package contract

import (
	"reflect"
	"slices"
	"strings"
)

// Route is how a method is reached over HTTP: declared beside the method with [HTTP], and
// all that a gateway needs to know of it. Members of the request come from the braces of
// the path; the others from the query for a method that reads, and else from the body, a
// JSON object.
type Route struct {
	Verb     string   // GET for what reads, else POST
	Path     string   // such as /api/v1/orders/{order_id}
	Members  []string // the request's members in the path, in their order
	Hidden   []string // members that cannot be given over HTTP
	Keyed    bool     // the header Idempotency-Key must be there
	Location string   // the path of what was made, with members of the reply in braces; then the answer is 201
	Expects  string   // the member that takes the version in If-Match, "" for none
}

// RouteOption refines a route.
type RouteOption func(*Route)

// Keyed demands an Idempotency-Key.
func Keyed() RouteOption { return func(r *Route) { r.Keyed = true } }

// Creates answers 201 with this path as Location; braces name members of the reply.
func Creates(path string) RouteOption { return func(r *Route) { r.Location = path } }

// Hides keeps members of the request away from HTTP.
func Hides(members ...string) RouteOption { return func(r *Route) { r.Hidden = members } }

// Expects has the header If-Match fill a member of the request with a version.
func Expects(member string) RouteOption { return func(r *Route) { r.Expects = member } }

// HTTP gives a method a route: "POST /api/v1/orders/{order_id}/cancel". Give it after
// [Read] and [Lists]. A route that does not fit the request's type panics at start-up, as
// it is a programming error.
func HTTP(pattern string, opts ...RouteOption) MethodOption {
	return func(m *MethodInfo) {
		r := &Route{}
		var ok bool
		if r.Verb, r.Path, ok = strings.Cut(pattern, " "); !ok || !strings.HasPrefix(r.Path, "/") {
			panic("contract: a route is written as GET /path, not as " + pattern)
		}
		r.Members = braces(r.Path)
		for _, opt := range opts {
			opt(r)
		}
		r.check(m)
		m.HTTP = r
	}
}

func (r *Route) check(m *MethodInfo) {
	if m.Reads != (r.Verb == "GET") || r.Verb != "GET" && r.Verb != "POST" {
		panic("contract: " + m.FullName() + " cannot be reached with " + r.Verb)
	}
	for _, name := range slices.Concat(r.Members, r.Hidden) {
		member(m, m.Request, name, reflect.String)
	}
	for _, name := range braces(r.Location) {
		member(m, m.Response, name, reflect.String)
	}
	if r.Expects != "" {
		member(m, m.Request, r.Expects, reflect.Uint64)
	}
}

func member(m *MethodInfo, t reflect.Type, name string, kind reflect.Kind) {
	for _, f := range MembersOf(t) {
		if f.Name == name && f.Type.Kind() == kind {
			return
		}
	}
	panic("contract: the route of " + m.FullName() + " names " + name + ", which is no " + kind.String() + " of " + t.String())
}

// braces lists what a path has in braces.
func braces(path string) []string {
	var list []string
	for part := range strings.SplitSeq(path, "/") {
		if name, ok := strings.CutPrefix(part, "{"); ok {
			list = append(list, strings.TrimSuffix(name, "}"))
		}
	}
	return list
}

// Takes lists the members that come from the query or the body.
func (r *Route) Takes(request reflect.Type) []Member {
	return slices.DeleteFunc(MembersOf(request), func(f Member) bool {
		return slices.Contains(r.Members, f.Name) || slices.Contains(r.Hidden, f.Name) || f.Name == r.Expects
	})
}

// Member is one member of a JSON object that a Go type stands for.
type Member struct {
	Name     string
	Type     reflect.Type
	Optional bool // it is left out when it is empty
}

// MembersOf lists the members of a struct in their order; other types have none.
func MembersOf(t reflect.Type) []Member {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	var list []Member
	for f := range t.Fields() {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.IsExported() && name != "" && name != "-" {
			list = append(list, Member{Name: name, Type: f.Type, Optional: strings.Contains(options, "omit")})
		}
	}
	return list
}
