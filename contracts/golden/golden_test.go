package golden

import (
	"encoding/json"
	"slices"
	"testing"
)

func TestDifference(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		before, now  string
		lost, gained []string
	}{
		"equal":           {before: `{"a":1,"b":[{"c":"x"}]}`, now: `{"b":[{"c":"x"}],"a":1}`},
		"gained a member": {before: `{"a":{"b":1}}`, now: `{"a":{"b":1,"c":2},"d":3}`, gained: []string{"/a/c", "/d"}},
		"lost a member":   {before: `{"a":{"b":1}}`, now: `{"a":{}}`, lost: []string{"/a/b"}},
		"renamed":         {before: `{"a":1}`, now: `{"b":1}`, lost: []string{"/a"}, gained: []string{"/b"}},
		"number to text":  {before: `{"a":1}`, now: `{"a":"1"}`, lost: []string{"/a"}},
		"object to list":  {before: `{"a":{}}`, now: `{"a":[]}`, lost: []string{"/a"}},
		"inside a list":   {before: `{"a":[{"b":1}]}`, now: `{"a":[{"c":1}]}`, lost: []string{"/a/0/b"}, gained: []string{"/a/0/c"}},
		"shorter list":    {before: `{"a":[1,2]}`, now: `{"a":[1]}`, lost: []string{"/a"}},
		"no file yet":     {before: `null`, now: `{}`, gained: []string{"the whole file"}},
	} {
		var before, now any
		if err := json.Unmarshal([]byte(c.before), &before); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal([]byte(c.now), &now); err != nil {
			t.Fatal(err)
		}
		lost, gained := difference("", before, now)
		if !slices.Equal(lost, c.lost) || !slices.Equal(gained, c.gained) {
			t.Errorf("%s: lost %v, gained %v; want %v and %v", name, lost, gained, c.lost, c.gained)
		}
	}
}
