package config_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/ordermesh/ordermesh/bus/config"
)

// FuzzValue: whatever stands in the bucket is either refused, and nothing changes, or
// leaves settings within their bounds.
func FuzzValue(f *testing.F) {
	for _, s := range []string{
		"", "50000", `"50000"`, "5e3", "0x10", "9223372036854775808", "-1", "1_000", " 7 ", "2s", "1h1m", "1e9h", "NaN", "true", "TRUE", "null",
		`{"amount":1,"currency":"EUR"}`, `{"amount":1,"amount":2}`, `"`, "\xff", "\x00", "\u202e", "٣", "+5", "fast", "[1]", strings.Repeat("9", 9000),
	} {
		f.Add(s)
	}
	schema := newSchema(f)
	names := []string{"limit", "least", "wait", "open", "mode", "note", "size", "price", "cache", "api_key", "colour", "a.b"}
	f.Fuzz(func(t *testing.T, value string) {
		for _, name := range names {
			list := []config.Entry{{Key: "shop.limit", Value: "77", Revision: 1}, {Key: "shop." + name, Value: value, Revision: 2}}
			after, err := config.Expect(schema, nil, list)
			check(t, err)
			if after.Revision != 2 || len(after.Refused) > 1 {
				t.Fatalf("%s=%q: %+v", name, value, after)
			}
			refused := config.Check(schema, nil, list[:1], name, value) != nil
			if refused != (len(after.Refused) == 1) {
				t.Fatalf("%s=%q: set and watch do not agree: %+v", name, value, after.Refused)
			}
			for _, s := range after.Settings {
				if from := s.From; refused && s.Name == name && name != "limit" && from != config.Default {
					t.Fatalf("%s=%q is refused and taken: %+v", name, value, s)
				}
			}
			if text, err := config.Text([]byte(value)); err == nil && !refused && name == "wait" {
				if d, err := time.ParseDuration(text); err != nil || d < 0 || d > time.Hour {
					t.Fatalf("wait is %v, %v", d, err)
				}
			}
		}
	})
}

// FuzzFile: YAML is refused, or gives settings that can be run.
func FuzzFile(f *testing.F) {
	for _, s := range []string{
		"shop:\n  limit: 1\n", "a: &b {c: 1}\nd: *b", "? [x]\n: 1", "shop: {limit: 1, limit: 2}", "---\n---\n", "!!binary x", "a: !!float 1",
		"<<: {a: 1}", strings.Repeat("[", 200), "shop:\n  price: {amount: 1, currency: EUR}\n  note: >\n    x\n", "shop: {api_key: canary-5}", "shop: {canary: 0}",
	} {
		f.Add([]byte(s))
	}
	schema := newSchema(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		sources, err := config.FileSources(data)
		if err != nil {
			return
		}
		values, err := sources.Values(schema)
		if err != nil {
			if onlySecret(data, "canary") && strings.Contains(err.Error(), "canary") {
				t.Fatalf("the secret is told: %v", err)
			}
			return
		}
		now, err := config.Expect(schema, values, nil)
		check(t, err)
		for _, s := range now.Settings {
			if s.From != config.Default && s.From != config.File {
				t.Fatalf("%+v", s)
			}
		}
	})
}

// onlySecret reports whether a text stands in the value of the secret and nowhere else:
// names and values of other settings may be told.
func onlySecret(data []byte, text string) bool {
	var file map[string]map[string]string
	if yaml.Unmarshal(data, &file) != nil || !strings.Contains(file["shop"]["api_key"], text) {
		return false
	}
	delete(file["shop"], "api_key")
	return !strings.Contains(fmt.Sprint(file), text)
}
