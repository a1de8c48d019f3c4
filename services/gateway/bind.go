package gateway

import (
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"time"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// binder builds requests of one method out of what HTTP carries: an object of members, which
// is then read as strictly as the service will read it.
type binder struct {
	method contract.MethodInfo
	params map[string]param // what the query may have
}

// param is a member that a query can set.
type param struct {
	path []string // names from the request to the member
	kind reflect.Kind
}

// newBinder lists what a query may have. A member that is an object is set member by member:
// reflects.id and reflects.version.
func newBinder(m contract.MethodInfo) binder {
	b := binder{method: m, params: map[string]param{}}
	if m.Reads {
		for _, f := range m.HTTP.Takes(m.Request) {
			b.addParam([]string{f.Name}, f.Type)
		}
	}
	return b
}

func (b *binder) addParam(path []string, t reflect.Type) {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	name := strings.Join(path, ".")
	switch t.Kind() {
	case reflect.String, reflect.Bool, reflect.Int, reflect.Int64, reflect.Uint64:
		b.params[name] = param{path, t.Kind()}
	case reflect.Struct:
		if t == reflect.TypeFor[time.Time]() {
			b.params[name] = param{path, reflect.String}
			return
		}
		for _, f := range contract.MembersOf(t) {
			b.addParam(append(append([]string(nil), path...), f.Name), f.Type)
		}
	default:
		panic("gateway: " + b.method.FullName() + " takes " + name + ", which a query cannot carry: hide it")
	}
}

// query reads a query into an object.
func (b *binder) query(raw string, object map[string]any) *problem {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return refuse(http.StatusBadRequest, "bad_query", "the query cannot be read: write it as name=value&name=value, percent-encoded")
	}
	for name, list := range values {
		p, known := b.params[name]
		field := "/" + strings.ReplaceAll(name, ".", "/")
		switch {
		case !known:
			return invalid(pointer(name), "the parameter %q is not known here", name[:min(len(name), contract.MaxID)])
		case len(list) > 1:
			return invalid(field, "%s appears twice", name)
		case list[0] == "":
			return invalid(field, "%s is empty: leave it out", name)
		}
		value, ok := p.value(list[0])
		if !ok {
			return invalid(field, "%s must be %s", name, p.wants())
		}
		put(object, p.path, value)
	}
	return nil
}

// value is the JSON of a parameter.
func (p param) value(text string) (any, bool) {
	switch p.kind {
	case reflect.String:
		return text, true
	case reflect.Bool:
		return contract.Raw(text), text == "true" || text == "false"
	default:
		digits := strings.TrimPrefix(text, "-")
		plain := digits != "" && len(digits) < 20 && strings.Trim(digits, "0123456789") == "" && (digits == "0" || digits[0] != '0')
		return contract.Raw(text), plain
	}
}

func (p param) wants() string {
	if p.kind == reflect.Bool {
		return "true or false"
	}
	return "a whole number"
}

func put(object map[string]any, path []string, value any) {
	for _, name := range path[:len(path)-1] {
		inner, ok := object[name].(map[string]any)
		if !ok {
			inner = map[string]any{}
			object[name] = inner
		}
		object = inner
	}
	object[path[len(path)-1]] = value
}

// check returns the JSON of an object that is a valid request.
func (b *binder) check(object map[string]any) ([]byte, *problem) {
	body, err := contract.Marshal(object)
	if err != nil { // only text that is no UTF-8 can do this: a body is read by now
		return nil, refuse(http.StatusBadRequest, contract.ErrInvalid.Reason, "the path or the query is not valid UTF-8")
	}
	request := reflect.New(b.method.Request).Interface()
	if err := contract.Unmarshal(body, request); err != nil {
		return nil, problemOf(err)
	}
	if v, ok := request.(contract.Validator); ok {
		if err := v.Validate(); err != nil {
			return nil, problemOf(err)
		}
	}
	if len(body) > contract.MaxRequestBytes {
		return nil, refuse(http.StatusRequestEntityTooLarge, "request_too_large", "the request has %d bytes; services read at most %d", len(body), contract.MaxRequestBytes)
	}
	return body, nil
}

func invalid(field, format string, args ...any) *problem {
	return refuse(http.StatusBadRequest, contract.ErrInvalid.Reason, format, args...).at(field)
}

// pointer is the JSON pointer of a member at the top.
func pointer(name string) string {
	name = strings.ToValidUTF8(name[:min(len(name), contract.MaxID)], "\ufffd")
	return "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
}
