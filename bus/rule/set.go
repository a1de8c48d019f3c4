package rule

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/cost"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// Limits of a set.
const (
	MaxSize = 4 << 10 // bytes of the JSON
	MaxCost = 100_000 // what it may cost at most, in CEL's units: some tens of nanoseconds each

	cheap       = MaxCost / 10 // what a rule with a loop may cost that is not counted while it runs
	maxReason   = 200          // characters
	maxProblems = 10           // of one rule that are told
)

// Outcome is what a decision can be.
type Outcome string

// The outcomes.
const (
	Accept Outcome = "accept"
	Hold   Outcome = "hold" // a person must decide
	Reject Outcome = "reject"
)

func (o Outcome) known() bool { return o == Accept || o == Hold || o == Reject }

// Rule is one rule as it is written.
type Rule struct {
	Name   string  `json:"name"`            // unique in its set
	When   string  `json:"when"`            // a condition in CEL
	Then   Outcome `json:"then"`            // what follows when it holds
	Reason string  `json:"reason,omitzero"` // what people are told; without one it is the name
}

// written is a set as it is written.
type written struct {
	Rules     []Rule  `json:"rules"`
	Otherwise Outcome `json:"otherwise"`
}

// Set is a set of rules that can be evaluated.
type Set[V any] struct {
	env       *Env[V]
	rules     []compiled
	otherwise Outcome
	uses      map[string]bool
	cost      uint64
}

// compiled is a rule that can be evaluated.
type compiled struct {
	Rule
	program cel.Program // when the variables are as small as declared
	counted cel.Program // when they are not
	cost    uint64
}

// Problem is one thing for which a set cannot be used.
type Problem struct {
	Rule    string `json:"rule,omitzero"`
	Line    int    `json:"line,omitzero"`   // of the condition, from 1
	Column  int    `json:"column,omitzero"` // from 1
	Message string `json:"message"`
}

func (p Problem) String() string {
	switch {
	case p.Rule == "":
		return p.Message
	case p.Column == 0:
		return fmt.Sprintf("rule %s: %s", p.Rule, p.Message)
	case p.Line > 1:
		return fmt.Sprintf("rule %s, line %d, column %d: %s", p.Rule, p.Line, p.Column, p.Message)
	}
	return fmt.Sprintf("rule %s, column %d: %s", p.Rule, p.Column, p.Message)
}

// Problems is the error of a set that cannot be used: all that is wrong with it.
type Problems []Problem

func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, problem := range p {
		lines[i] = problem.String()
	}
	return strings.Join(lines, "\n")
}

// Parse reads a set: at most 4 KiB of JSON, every condition of the right types and true or
// false, and the whole not too expensive. The error is [Problems].
func (e *Env[V]) Parse(data []byte) (*Set[V], error) {
	if len(data) > MaxSize {
		return nil, Problems{{Message: fmt.Sprintf("the set has %d bytes, more than %d", len(data), MaxSize)}}
	}
	var w written
	if err := contract.Unmarshal(data, &w); err != nil {
		if said, ok := errors.AsType[*contract.Error](err); ok {
			err = errors.New(strings.TrimSpace(said.Field + " " + strings.Replace(said.Message, "the body", "the set", 1)))
		}
		return nil, Problems{{Message: err.Error()}}
	}
	s := &Set[V]{env: e, otherwise: w.Otherwise, uses: map[string]bool{}}
	var problems Problems
	if !w.Otherwise.known() {
		problems = append(problems, Problem{Message: "otherwise " + notKnown(w.Otherwise)})
	}
	seen := map[string]bool{}
	for i, r := range w.Rules {
		wrong := r.check(i)
		if seen[r.Name] {
			wrong = append(wrong, Problem{Rule: r.Name, Message: "there are two rules of this name"})
		}
		seen[r.Name] = true
		if len(wrong) == 0 {
			wrong = s.add(r)
		}
		problems = append(problems, wrong...)
	}
	if len(problems) == 0 && s.cost > MaxCost {
		problems = Problems{{Message: fmt.Sprintf("together the rules may cost %d, more than %d", s.cost, MaxCost)}}
	}
	if len(problems) > 0 {
		return nil, problems
	}
	return s, nil
}

func notKnown(o Outcome) string {
	if o == "" {
		return "is missing: it must be accept, hold or reject"
	}
	return fmt.Sprintf("must be accept, hold or reject, not %q", short(string(o)))
}

func short(s string) string {
	const most = 40
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

// check looks at everything but the condition.
func (r Rule) check(i int) (wrong Problems) {
	name := r.Name
	if !contract.ValidID(name) {
		name = fmt.Sprintf("%d", i+1)
		wrong = append(wrong, Problem{Rule: name, Message: "its name must be 1 to 64 of the characters A-Z a-z 0-9 _ -"})
	}
	if strings.TrimSpace(r.When) == "" {
		wrong = append(wrong, Problem{Rule: name, Message: "its condition, when, is missing"})
	}
	if !r.Then.known() {
		wrong = append(wrong, Problem{Rule: name, Message: "then " + notKnown(r.Then)})
	}
	if utf8.RuneCountInString(r.Reason) > maxReason || strings.ContainsFunc(r.Reason, func(c rune) bool { return !unicode.IsPrint(c) }) {
		wrong = append(wrong, Problem{Rule: name, Message: fmt.Sprintf("its reason must be at most %d printable characters", maxReason)})
	}
	return wrong
}

// add compiles a rule.
func (s *Set[V]) add(r Rule) Problems {
	checked, wrong := s.env.check(r)
	if len(wrong) > 0 {
		return wrong
	}
	if !checked.OutputType().IsExactType(cel.BoolType) {
		return Problems{{Rule: r.Name, Message: fmt.Sprintf("its condition must be true or false, not %s", checked.OutputType())}}
	}
	estimate, err := s.env.cel.EstimateCost(checked, s.env.sizes)
	if err != nil {
		return Problems{{Rule: r.Name, Message: err.Error()}}
	}
	if estimate.Max > MaxCost {
		return Problems{{Rule: r.Name, Message: fmt.Sprintf("it may cost %s, more than %d", costText(estimate), MaxCost)}}
	}
	ready, err := s.plan(checked, estimate.Max)
	if err != nil {
		return Problems{{Rule: r.Name, Message: err.Error()}}
	}
	s.note(checked.NativeRep())
	s.cost += estimate.Max
	if ready.Rule = r; r.Reason == "" {
		ready.Reason = r.Name
	}
	s.rules = append(s.rules, ready)
	return nil
}

// plan makes the programs of a rule: see the package comment for which are counted.
func (s *Set[V]) plan(checked *cel.Ast, cost uint64) (c compiled, err error) {
	c.cost = cost
	if c.counted, err = s.env.cel.Program(checked, cel.EvalOptions(cel.OptOptimize), cel.CostLimit(MaxCost)); err != nil {
		return c, err
	}
	c.program = c.counted
	if loop := loops(checked.NativeRep().Expr()); !loop || cost <= cheap {
		c.program, err = s.env.cel.Program(checked, cel.EvalOptions(cel.OptOptimize))
	}
	return c, err
}

func costText(c cost.Estimate) string {
	const countless = 1 << 60
	if c.Max > countless {
		return "any amount"
	}
	return fmt.Sprint(c.Max)
}

// check parses a condition and holds it to its types.
func (e *Env[V]) check(r Rule) (*cel.Ast, Problems) {
	parsed, issues := e.cel.Parse(r.When)
	if wrong := problemsOf(r.Name, issues); len(wrong) > 0 {
		return nil, wrong
	}
	checked, issues := e.cel.Check(parsed)
	return checked, problemsOf(r.Name, issues)
}

// problemsOf are the first problems of a condition. The text that cel-go makes of all of
// them is never asked for: it takes a second where there are a hundred.
func problemsOf(rule string, issues *cel.Issues) (list Problems) {
	if issues == nil {
		return nil
	}
	for _, e := range issues.Errors() {
		if len(list) == maxProblems {
			break
		}
		p := Problem{Rule: rule, Message: strings.ReplaceAll(e.Message, " (in container '')", "")}
		if e.Location != nil && e.Location.Line() > 0 {
			p.Line, p.Column = e.Location.Line(), e.Location.Column()+1
		}
		list = append(list, p)
	}
	return list
}

// loops reports whether a condition has a loop in it.
func loops(e ast.Expr) (yes bool) {
	ast.PostOrderVisit(e, ast.NewExprVisitor(func(e ast.Expr) { yes = yes || e.Kind() == ast.ComprehensionKind }))
	return yes
}

// note notes which variables a condition speaks of.
func (s *Set[V]) note(checked *ast.AST) {
	for _, reference := range checked.ReferenceMap() {
		if slices.ContainsFunc(s.env.fields, func(f field) bool { return f.name == reference.Name }) {
			s.uses[reference.Name] = true
		}
	}
}

// Rules are the set's rules in their order; without a reason of its own a rule has its name.
func (s *Set[V]) Rules() []Rule {
	list := make([]Rule, len(s.rules))
	for i, r := range s.rules {
		list[i] = r.Rule
	}
	return list
}

// Otherwise is what follows when no rule holds.
func (s *Set[V]) Otherwise() Outcome { return s.otherwise }

// Cost is the estimate of what the set costs at most, and of each rule.
func (s *Set[V]) Cost() (all uint64, each []uint64) {
	for _, r := range s.rules {
		each = append(each, r.cost)
	}
	return s.cost, each
}

// Uses reports whether any rule speaks of the variable. What none needs must not be found out.
func (s *Set[V]) Uses(variable string) bool { return s.uses[variable] }
