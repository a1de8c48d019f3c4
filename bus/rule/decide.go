package rule

import (
	"errors"
	"fmt"
	"reflect"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
)

// Decision is what a set says.
type Decision struct {
	Outcome Outcome
	Rule    string // that decided, or failed; "" if none did
	Reason  string // of the rule; "" if none decided
	Err     error  // why the rule could not be evaluated; the outcome is Hold then
}

// ReasonFailed is the reason of a decision that a rule failed to make.
const ReasonFailed = "rule_failed"

// Decide evaluates the rules in their order: the first that holds decides. The variables
// are only read.
func (s *Set[V]) Decide(v *V) Decision {
	b, ok := s.env.bindings.Get().(*binding[V])
	if !ok {
		b = &binding[V]{env: s.env}
	}
	b.value = reflect.ValueOf(v).Elem()
	defer s.env.bindings.Put(b)
	small := fit(b.value, s.env.limits)
	for i := range s.rules {
		r := &s.rules[i]
		holds, err := r.holds(b, small)
		switch {
		case err != nil:
			return Decision{Outcome: Hold, Rule: r.Name, Reason: ReasonFailed, Err: err}
		case holds:
			return Decision{Outcome: r.Then, Rule: r.Name, Reason: r.Reason}
		}
	}
	return Decision{Outcome: s.otherwise}
}

// Finding is what one rule says, whether or not it would be asked.
type Finding struct {
	Rule  string
	Holds bool
	Err   error // why it cannot be evaluated
}

// Explain asks every rule, for people who want to know why.
func (s *Set[V]) Explain(v *V) []Finding {
	b := &binding[V]{env: s.env, value: reflect.ValueOf(v).Elem()}
	small := fit(b.value, s.env.limits)
	list := make([]Finding, len(s.rules))
	for i := range s.rules {
		holds, err := s.rules[i].holds(b, small)
		list[i] = Finding{Rule: s.rules[i].Name, Holds: holds, Err: err}
	}
	return list
}

var errNoAnswer = errors.New("the condition is neither true nor false")

// holds evaluates the condition; small says that the variables are as small as declared.
func (r *compiled) holds(b cel.Activation, small bool) (bool, error) {
	program := r.program
	if !small {
		program = r.counted
	}
	result, _, err := program.Eval(b)
	if err != nil {
		return false, fmt.Errorf("rule %s: %w", r.Name, err)
	}
	holds, ok := result.(types.Bool)
	if !ok {
		return false, fmt.Errorf("rule %s: %w", r.Name, errNoAnswer)
	}
	return bool(holds), nil
}

// binding gives a program the variables by name.
type binding[V any] struct {
	env   *Env[V]
	value reflect.Value
}

// ResolveName returns a variable: a struct by reference, anything else as it is.
func (b *binding[V]) ResolveName(name string) (any, bool) {
	for _, f := range b.env.fields {
		if f.name != name {
			continue
		}
		v := b.value.Field(f.index)
		if f.pointer {
			v = v.Addr()
		}
		return v.Interface(), true
	}
	return nil, false
}

// Parent is none: there are no other variables.
func (b *binding[V]) Parent() cel.Activation { return nil }
