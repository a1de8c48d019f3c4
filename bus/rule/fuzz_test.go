package rule_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/ordermesh/ordermesh/bus/rule"
)

// FuzzParse: whatever stands in the bucket is refused with a reason, or decides.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"", "null", "{}", `{"rules":[],"otherwise":"accept"}`, `{"rules":[{}],"otherwise":""}`, `{"rules":null,"otherwise":"hold"}`,
		one("true"), `{"rules":[{"name":"a","when":"1/0>1","then":"accept"},{"name":"a","when":"","then":"reject","reason":"\u202e"}],"otherwise":"accept"}`,
	} {
		f.Add([]byte(s))
	}
	env := newEnv(f)
	f.Fuzz(func(t *testing.T, data []byte) { parseAndDecide(t, env, data) })
}

// FuzzCondition is FuzzParse for the conditions in a set.
func FuzzCondition(f *testing.F) {
	for _, when := range []string{
		"true", "parcel.grams > 1 && sender.parcels == 0", "parcel.items.all(i, parcel.items.exists_one(j, i.name == j.name))",
		"parcel.items.map(i, [i, i]).filter(l, size(l) > 1).size() > 3", "has(sender.since) ? now > sender.since : false", "1/0 > 1",
		"parcel.country.matches('^(a|b)*$')", "[1,2,3].map(x, x*x).exists(y, y == parcel.grams)", "{'a': 1}['a'] == 1", "'\\u0000' == r'\\d'",
		"b'abc' == bytes('abc')", "type(parcel) == type(parcel)", "parcel == parcel", "string(now) == 'x'", "timestamp('2026-01-01T00:00:00Z') < now",
		"x.y.z", "((((", "'" + "\xff", "in in in", "parcel.items[0] == parcel.items[1]", "dyn(1) == 1u", "[[1]].all(x, x.all(y, y > 0))",
		"rule_test.parcel{grams: 1}.grams == 1", "now.getHours() < 6 || parcel.within > duration('1h')", "-(-(-9223372036854775808)) > 0",
	} {
		f.Add(when)
	}
	env := newEnv(f)
	f.Fuzz(func(t *testing.T, when string) { parseAndDecide(t, env, []byte(one(when))) })
}

// parseAndDecide holds a set to its promises: it is refused with a reason, or keeps to its
// cost and says the same twice, and what fails holds.
func parseAndDecide(t *testing.T, env *rule.Env[variables], data []byte) {
	t.Helper()
	set, err := env.Parse(data)
	if err != nil {
		problems, ok := errors.AsType[rule.Problems](err)
		if !ok || len(problems) == 0 || err.Error() == "" || set != nil {
			t.Fatalf("%q is refused with %v", data, err)
		}
		return
	}
	if cost, _ := set.Cost(); cost > rule.MaxCost {
		t.Fatalf("%q may cost %d", data, cost)
	}
	large := some()
	large.Parcel.Items = slices.Repeat(large.Parcel.Items, 100) // more than declared
	for _, v := range []*variables{some(), {}, large} {
		first, second := set.Decide(v), set.Decide(v)
		if first.Outcome != second.Outcome || first.Rule != second.Rule || (first.Err == nil) != (second.Err == nil) {
			t.Fatalf("%q: %+v, then %+v", data, first, second)
		}
		if first.Err != nil && first.Outcome != rule.Hold {
			t.Fatalf("%q: %+v", data, first)
		}
	}
}
