package rule_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/rule"
)

// parcel, sender and the time are what the tests' rules speak of.
type variables struct {
	Parcel parcel    `json:"parcel" doc:"what is sent"`
	Sender sender    `json:"sender" doc:"who sends it"`
	Now    time.Time `json:"now"`
}

type parcel struct {
	Grams   int64         `json:"grams" doc:"its weight"`
	Country string        `json:"country" max:"2" doc:"where it goes"`
	Fragile bool          `json:"fragile"`
	Worth   float64       `json:"worth"`
	Within  time.Duration `json:"within"`
	Items   []item        `json:"items" max:"100"`
}

type item struct {
	Name  string `json:"name" max:"200"`
	Count int64  `json:"count"`
}

type sender struct {
	Parcels int64     `json:"parcels"`
	Since   time.Time `json:"since"`
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newEnv(t testing.TB) *rule.Env[variables] {
	t.Helper()
	e, err := rule.NewEnv[variables]()
	check(t, err)
	return e
}

func now() time.Time { return time.Date(2026, 11, 24, 3, 30, 0, 0, time.UTC) }

func some() *variables {
	return &variables{
		Parcel: parcel{Grams: 1200, Country: "DE", Worth: 12.5, Within: 48 * time.Hour, Items: []item{{"cup", 2}, {"saucer", 12}}},
		Sender: sender{Parcels: 3, Since: now().AddDate(0, -2, 0)}, Now: now(),
	}
}

// one is a set with one rule, which holds.
func one(when string) string {
	condition, err := contract.Marshal(when)
	if err != nil {
		condition = []byte(`"it is not UTF-8"`)
	}
	return `{"rules":[{"name":"r","when":` + string(condition) + `,"then":"hold"}],"otherwise":"accept"}`
}

// TestConditions: what can be said about the variables, and what it says.
func TestConditions(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	for when, want := range map[string]bool{
		"parcel.grams > 1000 && sender.parcels < 5":        true,
		"parcel.grams > 1000 && sender.parcels < 3":        false,
		"parcel.country in ['KP', 'DE']":                   true,
		"parcel.country.matches('^D')":                     true,
		"!parcel.fragile":                                  true,
		"parcel.worth >= 12.5":                             true,
		"parcel.within < duration('72h')":                  true,
		"parcel.items.exists(i, i.count > 10)":             true,
		"parcel.items.all(i, i.name.size() > 3)":           false,
		"size(parcel.items) == 2":                          true,
		"parcel.items.filter(i, i.count > 1).size() == 2":  true,
		"now.getHours() < 6":                               true,
		"now - sender.since < duration('240h')":            false,
		"has(sender.since)":                                true,
		"parcel.items.exists(i, i.name == parcel.country)": false,
		"true": true,
	} {
		set, err := e.Parse([]byte(one(when)))
		if err != nil {
			t.Errorf("%s: %v", when, err)
			continue
		}
		got := set.Decide(some())
		if wanted := (rule.Decision{Outcome: rule.Accept}); !want && got != wanted {
			t.Errorf("%s: %+v", when, got)
		}
		if wanted := (rule.Decision{Outcome: rule.Hold, Rule: "r", Reason: "r"}); want && got != wanted {
			t.Errorf("%s: %+v", when, got)
		}
	}
}

// TestFirstMatchWins: rules count in their order, and accept can be an early end, too.
func TestFirstMatchWins(t *testing.T) {
	t.Parallel()
	set, err := newEnv(t).Parse([]byte(`{"rules":[
		{"name":"known","when":"sender.parcels > 100","then":"accept"},
		{"name":"heavy","when":"parcel.grams > 5000","then":"reject","reason":"too heavy"},
		{"name":"rather_heavy","when":"parcel.grams > 2000","then":"hold"}],"otherwise":"accept"}`))
	check(t, err)
	for _, c := range []struct {
		parcels, grams int64
		want           rule.Decision
	}{
		{0, 100, rule.Decision{Outcome: rule.Accept}},
		{0, 2001, rule.Decision{Outcome: rule.Hold, Rule: "rather_heavy", Reason: "rather_heavy"}},
		{0, 5001, rule.Decision{Outcome: rule.Reject, Rule: "heavy", Reason: "too heavy"}},
		{101, 5001, rule.Decision{Outcome: rule.Accept, Rule: "known", Reason: "known"}},
	} {
		if got := set.Decide(&variables{Parcel: parcel{Grams: c.grams}, Sender: sender{Parcels: c.parcels}}); got != c.want {
			t.Errorf("%d parcels, %d g: %+v", c.parcels, c.grams, got)
		}
	}
	found := set.Explain(&variables{Parcel: parcel{Grams: 5001}})
	if len(found) != 3 || found[0].Holds || !found[1].Holds || !found[2].Holds || found[2].Rule != "rather_heavy" {
		t.Errorf("%+v", found)
	}
	if !set.Uses("sender") || !set.Uses("parcel") || set.Uses("now") {
		t.Error("the set does not know what it speaks of")
	}
}

// TestFailureHolds: a rule that cannot be evaluated holds, whatever comes after it.
func TestFailureHolds(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	for when, says := range map[string]string{
		"1 / (parcel.grams - 1200) > 0":            "division by zero",
		"parcel.items[7].count > 1":                "index out of bounds",
		"parcel.grams * 9000000000000000 > 1":      "overflow",
		"int(parcel.country) > 1":                  "type conversion",
		"duration(parcel.country) > parcel.within": "type conversion",
	} {
		set, err := e.Parse([]byte(fmt.Sprintf(
			`{"rules":[{"name":"bad","when":%q,"then":"accept"},{"name":"rest","when":"true","then":"accept"}],"otherwise":"accept"}`, when)))
		check(t, err)
		got := set.Decide(some())
		if got.Outcome != rule.Hold || got.Rule != "bad" || got.Reason != rule.ReasonFailed || got.Err == nil || !strings.Contains(got.Err.Error(), says) {
			t.Errorf("%s: %+v", when, got)
		}
	}
}

// TestBadSets: what cannot be used is refused with what is wrong and where.
func TestBadSets(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	nested := "true"
	for range 60 {
		nested = "(" + nested + ")"
	}
	for name, c := range map[string]struct{ text, says string }{
		"not JSON":            {"hold everything", "JSON"},
		"empty":               {"", "JSON"},
		"null":                {"null", "the set must be a JSON object"},
		"array":               {"[]", "the set must be a JSON object"},
		"unknown member":      {`{"rules":[],"otherwise":"accept","mode":1}`, "mode"},
		"twice":               {`{"otherwise":"hold","otherwise":"accept"}`, "twice"},
		"wrong type":          {`{"rules":{},"otherwise":"accept"}`, "/rules"},
		"condition no text":   {`{"rules":[{"name":"a","when":true,"then":"hold"}],"otherwise":"accept"}`, "/rules/0/when"},
		"no otherwise":        {`{"rules":[]}`, "otherwise is missing"},
		"unknown outcome":     {`{"rules":[{"name":"a","when":"true","then":"shrug"}],"otherwise":"accept"}`, `rule a: then must be accept, hold or reject, not "shrug"`},
		"unknown otherwise":   {`{"rules":[],"otherwise":"ACCEPT"}`, `otherwise must be accept, hold or reject, not "ACCEPT"`},
		"no name":             {`{"rules":[{"when":"true","then":"hold"}],"otherwise":"accept"}`, "rule 1: its name"},
		"two of a name":       {`{"rules":[{"name":"a","when":"true","then":"hold"},{"name":"a","when":"true","then":"hold"}],"otherwise":"accept"}`, "two rules of this name"},
		"reason with escape":  {`{"rules":[{"name":"a","when":"true","then":"hold","reason":"\u001b[2J"}],"otherwise":"accept"}`, "printable"},
		"syntax":              {one("parcel.grams >"), "rule r, column 15: Syntax error"},
		"second line":         {one("parcel.grams > 1 &&\n parcel.gram > 1"), "rule r, line 2, column 8: undefined field 'gram'"},
		"no condition":        {one(""), "rule r: its condition, when, is missing"},
		"unknown variable":    {one("order.total > 1"), "column 1: undeclared reference to 'order'"},
		"unknown field":       {one("parcel.weight > 1"), "column 7: undefined field 'weight'"},
		"unknown function":    {one("random() > 1"), "undeclared reference to 'random'"},
		"types":               {one("parcel.country > 5"), "column 16: found no matching overload for '_>_' applied to '(string, int)'"},
		"no condition at all": {one("parcel.grams"), "must be true or false, not int"},
		"unknown type":        {one("dyn(parcel.grams)"), "must be true or false, not dyn"},
		"regex":               {one("parcel.country.matches('(')"), "invalid"},
		"duration":            {one("parcel.within > duration('soon')"), "invalid"},
		"time zone":           {one("now.getHours('Europe/Berlin') < 6"), "no matching overload"},
		"too large":           {one("true" + strings.Repeat(" ", rule.MaxSize)), "more than 4096"},
		"deep":                {one(nested), "recursion"},
		"bomb of loops":       {one("[1,2,3,4].all(a, [1,2,3,4].all(b, [1,2,3,4].all(c, a+b+c > 0)))"), "nesting"},
		"bomb of the items":   {one("parcel.items.all(a, parcel.items.all(b, a.name + b.name != ''))"), "may cost"},
		"bomb of text":        {one("parcel.items.map(i, i.name + i.name + i.name).all(n, parcel.items.all(i, n.contains(i.name)))"), "may cost"},
		"bomb of regex":       {one(`parcel.country.matches('((a{1,30}){1,30}){1,30}')`), "r"},
		"bomb of many":        {bombOfMany(), "together the rules may cost"},
		"bomb of macros":      {one(strings.Repeat("parcel.items.exists(i,true)||", 120) + "true"), "expression count exceeds limit"},
		"bomb of lists":       {one("size([" + strings.Repeat("[1,1,1,1,1,1,1,1],", 200) + "[1]]) > 0"), "node count"},
	} {
		set, err := e.Parse([]byte(c.text))
		if set != nil || err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", name, err, c.says)
		}
		if _, ok := errors.AsType[rule.Problems](err); err != nil && !ok {
			t.Errorf("%s: the error is a %T", name, err)
		}
	}
}

// bombOfMany is a set of rules each of which is cheap enough.
func bombOfMany() string {
	var rules []string
	for i := range 30 {
		rules = append(rules, fmt.Sprintf(`{"name":"r%d","when":"parcel.items.all(i, i.name + i.name + i.name + 'x' != 'a')","then":"hold"}`, i))
	}
	return `{"rules":[` + strings.Join(rules, ",") + `],"otherwise":"accept"}`
}

// TestEveryProblem: all that is wrong is said at once, in order.
func TestEveryProblem(t *testing.T) {
	t.Parallel()
	_, err := newEnv(t).Parse([]byte(`{"rules":[{"name":"a","when":"1","then":"hold"},{"name":"b","when":"x && y","then":"no"},{"name":"c","when":"x && y","then":"hold"}]}`))
	problems, ok := errors.AsType[rule.Problems](err)
	var rules []string
	for _, p := range problems {
		rules = append(rules, p.Rule)
	}
	if want := []string{"", "a", "b", "c", "c"}; !ok || !slices.Equal(rules, want) {
		t.Errorf("%v: %v", rules, err)
	}
	if last := problems[len(problems)-1]; last.Line != 1 || last.Column != 6 {
		t.Errorf("%+v", last)
	}
}

// TestCountedWhileItRuns: what the estimate was told wrongly is stopped all the same.
func TestCountedWhileItRuns(t *testing.T) {
	t.Parallel()
	set, err := newEnv(t).Parse([]byte(`{"rules":[{"name":"a","when":"parcel.items.all(i, i.count > 0)","then":"hold"}],"otherwise":"accept"}`))
	check(t, err)
	many := &variables{Parcel: parcel{Items: make([]item, 1_000_000)}} // the tag says 100
	for i := range many.Parcel.Items {
		many.Parcel.Items[i].Count = 1
	}
	begin := time.Now()
	got := set.Decide(many)
	if got.Outcome != rule.Hold || got.Err == nil || !strings.Contains(got.Err.Error(), "cost limit") {
		t.Errorf("%+v", got)
	}
	t.Logf("stopped after %s", time.Since(begin).Round(time.Microsecond))
}

// TestLargeText: text that is larger than declared, in a list or not, is counted, too.
func TestLargeText(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	for when, v := range map[string]*variables{
		"parcel.items.exists(i, i.name.matches('(a|b)*z'))": {Parcel: parcel{Items: []item{{Name: strings.Repeat("ab", 1<<19)}}}},
		"parcel.country.matches('(a|b)*z')":                 {Parcel: parcel{Country: strings.Repeat("ab", 1<<19)}},
	} {
		set, err := e.Parse([]byte(one(when)))
		check(t, err)
		if got := set.Decide(v); got.Outcome != rule.Hold || got.Err == nil || !strings.Contains(got.Err.Error(), "cost limit") {
			t.Errorf("%s: %+v", when, got)
		}
		if got := set.Decide(some()); got.Outcome != rule.Accept {
			t.Errorf("%s: %+v", when, got)
		}
	}
}

// TestTogether: many goroutines use one set and see their own variables.
func TestTogether(t *testing.T) {
	t.Parallel()
	set, err := newEnv(t).Parse([]byte(`{"rules":[{"name":"odd","when":"parcel.grams % 2 == 1 && parcel.items.exists(i, i.count == parcel.grams)","then":"hold"}],"otherwise":"accept"}`))
	check(t, err)
	var all sync.WaitGroup
	for n := range int64(8) {
		all.Go(func() {
			for i := range int64(1000) {
				grams := n*1000 + i
				got := set.Decide(&variables{Parcel: parcel{Grams: grams, Items: []item{{"a", 1 << 40}, {"b", grams}}}})
				if want := grams%2 == 1; (got.Outcome == rule.Hold) != want || got.Err != nil {
					t.Errorf("%d: %+v", grams, got)
					return
				}
			}
		})
	}
	all.Wait()
}

// TestVariables: what can be spoken of is listed.
func TestVariables(t *testing.T) {
	t.Parallel()
	var list []string
	for _, v := range newEnv(t).Variables() {
		list = append(list, v.Name+" "+v.Type+" "+v.Doc)
	}
	want := []string{
		"parcel object what is sent", "parcel.grams int its weight", "parcel.country string where it goes", "parcel.fragile bool ", "parcel.worth double ",
		"parcel.within duration ", "parcel.items list of objects ", "parcel.items[].name string ", "parcel.items[].count int ",
		"sender object who sends it", "sender.parcels int ", "sender.since timestamp ", "now timestamp ",
	}
	if !slices.Equal(list, want) {
		t.Errorf("%q", list)
	}
}

// TestBadVariables: a struct that cannot be variables is refused.
func TestBadVariables(t *testing.T) {
	t.Parallel()
	_, err := rule.NewEnv[int]()
	refused(t, "no struct", err)
	_, err = rule.NewEnv[struct {
		A int `json:"a"`
	}]()
	refused(t, "int", err)
	_, err = rule.NewEnv[struct {
		A string `json:"a"`
	}]()
	refused(t, "text without max", err)
	_, err = rule.NewEnv[struct {
		A []string `json:"a" max:"3"`
	}]()
	refused(t, "list of text", err)
	_, err = rule.NewEnv[struct{ A bool }]()
	refused(t, "no name", err)
	_, err = rule.NewEnv[struct {
		P parcel         `json:"p"`
		M map[string]int `json:"m"`
	}]()
	refused(t, "map", err)
}

func refused(t *testing.T, name string, err error) {
	t.Helper()
	if err == nil {
		t.Errorf("%s: taken", name)
	}
}
