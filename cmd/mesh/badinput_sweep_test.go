package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// hostileStrings and hostileNumbers are JSON texts that take the place of a field.
var (
	hostileStrings = []string{
		`""`, `"  "`, `"\u200b"`, `"` + strings.Repeat("a", 65) + `"`, `"` + strings.Repeat("a", 5000) + `"`,
		`"*"`, `">"`, `"a.b"`, `".."`, `"a\r\nb"`, `"a\u0000b"`, "\"a\xffb\"", `"\ud800"`, `"\u202eabc"`, `"e\u0301"`,
		`"../../x"`, `"%2e%2e"`, `"' OR 1=1 --"`, `"<script>alert(1)</script>"`, `"null"`,
	}
	hostileNumbers = []string{
		"0", "-1", "2147483648", "9007199254740993", "9223372036854775807", "9223372036854775808", "1e3", "1e309", "0.1", "1.5",
	}
	wrongForString = []string{"1", "true", "[]", "{}"}
	wrongForNumber = []string{`"1"`, "true", "[]", "{}", "9223372036854775808", "1e309", "0.1", "1.5", "1e3"}
)

// TestHostileFields puts every hostile text into every field of every method's golden
// request. Whatever is not refused is text or a number like any other; what is refused
// is so with a code that a caller can act upon and with the field that is to blame.
func TestHostileFields(t *testing.T) {
	t.Parallel()
	mesh := startMesh(t, devArgs("--ephemeral")...)
	s := mesh.shop()
	asked := 0
	for method, request := range goldenRequests(t) {
		var usual string // a golden cursor or reference is none of this mesh
		if _, refusal := s.ask(method, replaced(t, request, field{}, "")); refusal != nil {
			usual = refusal.Field
		}
		for _, f := range fieldsOf("", request) {
			values, wrong := hostileStrings, wrongForString
			switch f.value.(type) {
			case string:
			case float64:
				values, wrong = hostileNumbers, wrongForNumber
			default:
				values, wrong = nil, []string{`"x"`, "1"}
			}
			for _, value := range slices.Concat(values, wrong, []string{"null"}) {
				asked++
				_, refusal := s.ask(method, replaced(t, request, f, value))
				if usual != "" && refusal != nil && refusal.Field == usual {
					continue
				}
				if problem := misjudged(refusal, f.pointer, slices.Contains(wrong, value)); problem != "" {
					t.Errorf("%s with %s = %.40s: %s", method, f.pointer, value, problem)
				}
			}
		}
	}
	t.Logf("%d requests", asked)
	if asked < 1000 {
		t.Errorf("only %d requests were made", asked)
	}
	for line := range strings.Lines(mesh.log.String()) {
		// A parcel that was sent for no order is delivered a second later.
		if strings.Contains(line, `"level":"ERROR"`) && !strings.Contains(line, `"consumer":"orders-delivered"`) {
			t.Errorf("bad input was logged as an error: %s", line)
		}
	}
}

// misjudged says what is wrong with an answer, "" for nothing.
func misjudged(refusal *contract.Error, pointer string, wrong bool) string {
	switch {
	case refusal == nil && wrong:
		return "accepted"
	case refusal == nil:
		return ""
	case !refusal.Code.Refusal():
		return fmt.Sprintf("%v: %v", refusal.Code, refusal)
	case wrong && refusal.Code != contract.Invalid:
		return fmt.Sprintf("%v and not invalid: %v", refusal.Code, refusal)
	case refusal.Code != contract.Invalid && refusal.Code != contract.Unprocessable:
		return "" // well-formed, but there is no such thing
	case refusal.Field != pointer && !strings.HasPrefix(refusal.Field, pointer+"/"):
		return fmt.Sprintf("blames the field %q: %v", refusal.Field, refusal)
	case len(refusal.Message) > 300:
		return "says too much"
	}
	return ""
}

// goldenRequests are the sample requests of all methods that the mesh serves.
func goldenRequests(t *testing.T) map[string]map[string]any {
	t.Helper()
	requests := map[string]map[string]any{}
	for _, d := range descriptors(allServices()) {
		for _, m := range d.Serves {
			files, err := filepath.Glob("../../contracts/*/testdata/" + m.FullName() + ".request.json")
			if err != nil || len(files) == 0 {
				t.Fatalf("%s has no golden request: %v", m.FullName(), err)
			}
			data, err := os.ReadFile(files[0])
			if err != nil {
				t.Fatal(err)
			}
			requests[m.FullName()] = decode[map[string]any](t, data)
		}
	}
	delete(requests["orders.place"], "order_id")     // each request is a new order
	requests["flows.start"]["flow"] = "no-such-flow" // a checkout without an order would be stuck, rightly
	return requests
}

// field is one place in a request.
type field struct {
	pointer string
	value   any
}

// fieldsOf lists every place in a request, at every depth.
func fieldsOf(pointer string, v any) []field {
	var list []field
	switch v := v.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			list = append(list, field{pointer + "/" + name, v[name]})
			list = append(list, fieldsOf(pointer+"/"+name, v[name])...)
		}
	case []any:
		for i := range v {
			at := fmt.Sprintf("%s/%d", pointer, i)
			list = append(list, field{at, v[i]})
			list = append(list, fieldsOf(at, v[i])...)
		}
	}
	return list
}

// replaced is a request with a JSON text in the place of a field, if any.
func replaced(t *testing.T, request map[string]any, f field, text string) string {
	t.Helper()
	const mark = "put it here"
	var v any = request
	if f.pointer != "" {
		v = marked(request, strings.Split(f.pointer[1:], "/"), mark)
	}
	data, err := contract.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(bytes.Replace(data, []byte(`"`+mark+`"`), []byte(text), 1))
}

// marked is a copy of v with mark at a path.
func marked(v any, path []string, mark string) any {
	if len(path) == 0 {
		return mark
	}
	switch v := v.(type) {
	case map[string]any:
		v = maps.Clone(v)
		v[path[0]] = marked(v[path[0]], path[1:], mark)
		return v
	case []any:
		v = slices.Clone(v)
		for i := range v {
			if fmt.Sprint(i) == path[0] {
				v[i] = marked(v[i], path[1:], mark)
			}
		}
		return v
	}
	return v
}
