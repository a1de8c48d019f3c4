package rule_test

import (
	"reflect"
	"testing"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/ext"
)

// threeRules are what an ordinary set has; none of them holds.
var threeRules = []string{
	"parcel.country in ['KP', 'IR', 'SY']",
	"parcel.grams > 50000 && sender.parcels == 0",
	"parcel.items.exists(i, i.count > 1000)",
}

// BenchmarkDecide evaluates three rules; BenchmarkCEL is the same three conditions with
// cel-go alone, in one program without limits over a map of variables.
func BenchmarkDecide(b *testing.B) {
	set, err := newEnv(b).Parse([]byte(`{"rules":[
		{"name":"embargo","when":"` + threeRules[0] + `","then":"reject"},
		{"name":"first","when":"` + threeRules[1] + `","then":"hold"},
		{"name":"bulk","when":"` + threeRules[2] + `","then":"hold"}],"otherwise":"accept"}`))
	check(b, err)
	v := some()
	b.ReportAllocs()
	for b.Loop() {
		if d := set.Decide(v); d.Outcome != "accept" {
			b.Fatal(d)
		}
	}
}

func BenchmarkCEL(b *testing.B) {
	env, err := cel.NewEnv(ext.NativeTypes(ext.ParseStructTag("json"), reflect.TypeFor[parcel](), reflect.TypeFor[sender]()),
		cel.Variable("parcel", cel.ObjectType("rule_test.parcel")), cel.Variable("sender", cel.ObjectType("rule_test.sender")))
	check(b, err)
	compiled, issues := env.Compile("(" + threeRules[0] + ") || (" + threeRules[1] + ") || (" + threeRules[2] + ")")
	check(b, issues.Err())
	program, err := env.Program(compiled)
	check(b, err)
	v := some()
	vars := map[string]any{"parcel": &v.Parcel, "sender": &v.Sender}
	b.ReportAllocs()
	for b.Loop() {
		if out, _, err := program.Eval(vars); err != nil || out.Value() != false {
			b.Fatal(out, err)
		}
	}
}

// BenchmarkParse is what a change of the rules costs each instance.
func BenchmarkParse(b *testing.B) {
	env := newEnv(b)
	text := []byte(one(threeRules[1]))
	for b.Loop() {
		_, err := env.Parse(text)
		check(b, err)
	}
}
