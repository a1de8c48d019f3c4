// Package golden keeps contracts from changing by accident: what a type looks like
// on the wire is written down in testdata/*.json, and a test compares.
//
// It is for tests of the packages under contracts/ alone. It promises that a member
// which was ever written down stays, with its name, place and form: golden files may
// gain members (go test -golden.add), they never lose or change one.
package golden

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/ordermesh/ordermesh/bus/contract"
)

var add = flag.Bool("golden.add", false, "write members and files that are missing from testdata")

// Suite is one contract package under test.
type Suite struct {
	t    *testing.T
	seen map[string]bool
}

// New returns a suite over the package's testdata. When the test ends, files that
// no case has used are reported: a case was removed, which a contract never does.
func New(t *testing.T) *Suite {
	t.Helper()
	s := &Suite{t: t, seen: map[string]bool{}}
	t.Cleanup(func() {
		files, _ := filepath.Glob("testdata/*.json")
		for _, file := range files {
			if !s.seen[filepath.Base(file)] {
				t.Errorf("%s has no case any more: contracts only grow", file)
			}
		}
	})
	return s
}

// Method checks the request and the reply of a method.
func Method[Req, Resp any](s *Suite, m contract.Method[Req, Resp], req Req, resp Resp) {
	s.t.Helper()
	name := m.Info().FullName()
	value(s, name+".request", req)
	value(s, name+".reply", resp)
	if v, ok := any(req).(contract.Validator); ok {
		if err := v.Validate(); err != nil {
			s.t.Errorf("%s: the canonical request is refused: %v", name, err)
		}
	}
}

// Value checks a value that is neither request, reply nor event, such as a record
// in a book.
func Value[T any](s *Suite, name string, v T) { s.t.Helper(); value(s, name, v) }

// Event checks one event of an entity, also that it decodes by its name.
func Event[E any](s *Suite, events contract.Events[E], e E) {
	s.t.Helper()
	name, err := events.TypeName(e)
	if err != nil {
		s.t.Fatal(err)
	}
	text := s.compare(name, reflect.ValueOf(e).Interface())
	decoded, err := events.Decode(name, text)
	if err != nil || !reflect.DeepEqual(e, decoded) {
		s.t.Errorf("%s: decoded by name it is %+v (%v), want %+v", name, decoded, err, e)
	}
	strict := reflect.New(reflect.TypeOf(e))
	if err := contract.Unmarshal(text, strict.Interface()); err != nil {
		s.t.Errorf("%s: %v", name, err)
	}
}

// Old checks that an event of a former version, as it is in streams, still decodes
// to want.
func Old[E any](s *Suite, events contract.Events[E], name string, want E) {
	s.t.Helper()
	decoded, err := events.Decode(name, s.read(name))
	if err != nil || !reflect.DeepEqual(want, decoded) {
		s.t.Errorf("%s is lifted to %+v (%v), want %+v", name, decoded, err, want)
	}
}

// Complete reports methods and event types of a service that have no golden file.
func (s *Suite) Complete(d contract.Service) {
	s.t.Helper()
	for _, m := range d.Serves {
		s.require(m.FullName() + ".request")
		s.require(m.FullName() + ".reply")
	}
	for _, e := range d.Appends {
		for _, name := range e.Types {
			s.require(name)
		}
	}
}

func (s *Suite) require(name string) {
	s.t.Helper()
	if !s.seen[name+".json"] {
		s.t.Errorf("%s has no golden case", name)
	}
}

func value[T any](s *Suite, name string, v T) {
	s.t.Helper()
	text := s.compare(name, v)
	var decoded T
	if err := contract.Unmarshal(text, &decoded); err != nil {
		s.t.Errorf("%s: %v", name, err)
		return
	}
	if !reflect.DeepEqual(v, decoded) {
		s.t.Errorf("%s: decoded it is %+v, want %+v", name, decoded, v)
	}
}

// compare encodes v, compares it with the golden file and returns the file's text.
func (s *Suite) compare(name string, v any) []byte {
	s.t.Helper()
	encoded, err := contract.Marshal(v)
	if err != nil {
		s.t.Fatalf("%s: %v", name, err)
	}
	var now any
	if err := json.Unmarshal(encoded, &now); err != nil {
		s.t.Fatalf("%s: %v", name, err)
	}
	file := filepath.Join("testdata", name+".json")
	text, err := os.ReadFile(file)
	if err != nil && !*add {
		s.t.Fatalf("%v: run go test -golden.add", err)
	}
	s.seen[name+".json"] = true
	var before any
	if err == nil {
		if err := json.Unmarshal(text, &before); err != nil {
			s.t.Fatalf("%s: %v", file, err)
		}
	}
	lost, gained := difference("", before, now)
	if len(lost) > 0 {
		s.t.Fatalf("%s: removed or changed: %s; contracts only grow", file, strings.Join(lost, ", "))
	}
	if len(gained) == 0 {
		return compact(text)
	}
	if !*add {
		s.t.Fatalf("%s lacks %s: run go test -golden.add", file, strings.Join(gained, ", "))
	}
	s.write(file, encoded)
	return encoded
}

func (s *Suite) write(file string, encoded []byte) {
	var out bytes.Buffer
	if err := json.Indent(&out, encoded, "", "  "); err != nil {
		s.t.Fatal(err)
	}
	out.WriteByte('\n')
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(file, out.Bytes(), 0o644); err != nil { //nolint:gosec // a file of the source tree
		s.t.Fatal(err)
	}
}

// compact removes white space, so that JSON kept as text compares equal.
func compact(text []byte) []byte {
	var out bytes.Buffer
	if err := json.Compact(&out, text); err != nil {
		return text
	}
	return out.Bytes()
}

func (s *Suite) read(name string) []byte {
	s.t.Helper()
	s.seen[name+".json"] = true
	text, err := os.ReadFile(filepath.Join("testdata", name+".json"))
	if err != nil {
		s.t.Fatal(err)
	}
	return text
}

// difference lists the JSON pointers that before has and now has not, or has with
// another value, and those that only now has.
func difference(at string, before, now any) (lost, gained []string) {
	if before == nil {
		return nil, []string{pointer(at)}
	}
	switch b := before.(type) {
	case map[string]any:
		n, ok := now.(map[string]any)
		if !ok {
			return []string{pointer(at)}, nil
		}
		return members(at, b, n)
	case []any:
		n, ok := now.([]any)
		if !ok || len(n) != len(b) {
			return []string{pointer(at)}, nil
		}
		for i := range b {
			l, g := difference(at+"/"+string(rune('0'+i)), b[i], n[i])
			lost, gained = append(lost, l...), append(gained, g...)
		}
		return lost, gained
	}
	if !reflect.DeepEqual(before, now) {
		return []string{pointer(at)}, nil
	}
	return nil, nil
}

func members(at string, before, now map[string]any) (lost, gained []string) {
	for key, b := range before {
		n, ok := now[key]
		if !ok {
			lost = append(lost, pointer(at+"/"+key))
			continue
		}
		l, g := difference(at+"/"+key, b, n)
		lost, gained = append(lost, l...), append(gained, g...)
	}
	for key := range now {
		if _, ok := before[key]; !ok {
			gained = append(gained, pointer(at+"/"+key))
		}
	}
	slices.Sort(lost)
	slices.Sort(gained)
	return lost, gained
}

func pointer(at string) string {
	if at == "" {
		return "the whole file"
	}
	return at
}
