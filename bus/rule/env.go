package rule

import (
	"cmp"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/env"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/ext"
)

// Limits of how conditions are written.
const (
	maxDepth = 50  // of parentheses and operators
	maxNodes = 500 // of a condition once its macros are written out
	maxRegex = 200 // instructions of a regular expression
	maxLoops = 2   // macros within macros
)

// Variable describes a variable or a field of one.
type Variable struct {
	Name string `json:"name"` // such as "order.lines[].sku"
	Type string `json:"type"` // in the words of CEL
	Doc  string `json:"doc,omitzero"`
}

// Env is what conditions can speak of: variables as the struct V declares them.
type Env[V any] struct {
	cel       *cel.Env
	fields    []field
	variables []Variable
	sizes     sizes
	limits    []limit
	bindings  sync.Pool // of *binding[V]
}

// field is one variable: a field of V.
type field struct {
	name    string
	index   int
	pointer bool // a struct, which is handed out by reference
}

// NewEnv declares variables by the struct V. Each field is a variable, named by its json
// tag, and so are the fields of structs below it:
//
//	type variables struct {
//		Order order     `json:"order" doc:"what is decided about"`
//		Now   time.Time `json:"now"`
//	}
//	type order struct {
//		Total   int64  `json:"total" doc:"in minor units"`
//		Country string `json:"country" max:"2"`
//		Lines   []line `json:"lines" max:"100"`
//	}
//
// Fields are bool, int64, float64, string, time.Time, time.Duration, structs
// with a name, and slices of these. Text and slices need a tag max, the most bytes or elements that there will
// be: the estimate of what a set costs is made from it.
func NewEnv[V any]() (*Env[V], error) {
	e := &Env[V]{sizes: sizes{}}
	t := reflect.TypeFor[V]()
	if t.Kind() != reflect.Struct {
		return nil, fmt.Errorf("rule: variables are a struct, not %s", t)
	}
	native := []any{ext.ParseStructTag("json")}
	opts := limits()
	for i := range t.NumField() {
		f := t.Field(i)
		name, err := e.declare("", f)
		if err != nil {
			return nil, err
		}
		e.limits = append(e.limits, limitsOf(f)...)
		declared, isStruct := celType(f.Type)
		if isStruct {
			native = append(native, f.Type)
		}
		e.fields = append(e.fields, field{name: name, index: i, pointer: isStruct})
		opts = append(opts, cel.Variable(name, declared))
	}
	if len(native) > 1 {
		opts = append([]cel.EnvOption{ext.NativeTypes(native...)}, opts...)
	}
	var err error
	if e.cel, err = cel.NewCustomEnv(opts...); err != nil {
		return nil, fmt.Errorf("rule: variables of %s: %w", t, err)
	}
	e.bindings.New = func() any { return &binding[V]{env: e} }
	return e, nil
}

// Variables lists what conditions can speak of.
func (e *Env[V]) Variables() []Variable { return e.variables }

// limits are the options of the language: its standard functions but for those that need
// the time zones of the machine, and bounds for what is written.
func limits() []cel.EnvOption {
	var zoned []*env.Function
	for _, f := range []struct{ name, overload string }{
		{overloads.TimeGetFullYear, overloads.TimestampToYearWithTz},
		{overloads.TimeGetMonth, overloads.TimestampToMonthWithTz},
		{overloads.TimeGetDayOfYear, overloads.TimestampToDayOfYearWithTz},
		{overloads.TimeGetDayOfMonth, overloads.TimestampToDayOfMonthZeroBasedWithTz},
		{overloads.TimeGetDate, overloads.TimestampToDayOfMonthOneBasedWithTz},
		{overloads.TimeGetDayOfWeek, overloads.TimestampToDayOfWeekWithTz},
		{overloads.TimeGetHours, overloads.TimestampToHoursWithTz},
		{overloads.TimeGetMinutes, overloads.TimestampToMinutesWithTz},
		{overloads.TimeGetSeconds, overloads.TimestampToSecondsWithTz},
		{overloads.TimeGetMilliseconds, overloads.TimestampToMillisecondsWithTz},
	} {
		zoned = append(zoned, env.NewFunction(f.name, env.NewOverload(f.overload, nil, nil)))
	}
	return []cel.EnvOption{
		cel.StdLib(cel.StdLibSubset(&env.LibrarySubset{ExcludeFunctions: zoned})),
		cel.ParserRecursionLimit(maxDepth), cel.ParserExpressionSizeLimit(MaxSize), cel.ParserErrorRecoveryLimit(4),
		cel.ExpressionNodeLimit(maxNodes), cel.RegexProgramSizeLimit(maxRegex),
		cel.ASTValidators(
			cel.ValidateDurationLiterals(), cel.ValidateTimestampLiterals(), cel.ValidateRegexLiterals(),
			cel.ValidateHomogeneousAggregateLiterals(), cel.ValidateComprehensionNestingLimit(maxLoops),
		),
	}
}

// declare notes a field, and returns the name that its tag gives it.
func (e *Env[V]) declare(path string, f reflect.StructField) (string, error) {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	if !f.IsExported() || f.Anonymous || name == "" || name == "-" {
		return "", fmt.Errorf("rule: the field %s of %s must be exported and have a json tag with its name", f.Name, cmp.Or(path, "the variables"))
	}
	return name, e.note(strings.TrimPrefix(path+"."+name, "."), f.Type, f.Tag)
}

// note notes what has a type: its size and what is below it.
func (e *Env[V]) note(path string, t reflect.Type, tag reflect.StructTag) error {
	declared, isStruct := celType(t)
	if declared == nil {
		return fmt.Errorf("rule: %s has the type %s, which no variable can have", path, t)
	}
	sized := declared.Kind() == types.StringKind || declared.Kind() == types.ListKind
	most, err := strconv.ParseUint(tag.Get("max"), 10, 32)
	switch {
	case sized && err != nil:
		return fmt.Errorf("rule: %s needs a tag max: how large it may be", path)
	case sized:
		e.sizes[path] = most
	}
	e.variables = append(e.variables, Variable{
		Name: strings.ReplaceAll(path, "."+items, "[]"), Type: shownType(declared), Doc: tag.Get("doc"),
	})
	switch {
	case t.Kind() == reflect.Slice:
		return e.each(path+"."+items, t.Elem())
	case isStruct:
		return e.each(path, t)
	}
	return nil
}

// items are the elements of a list in a path.
const items = "@items"

func (e *Env[V]) each(path string, t reflect.Type) error {
	for f := range t.Fields() {
		if _, err := e.declare(path, f); err != nil {
			return err
		}
	}
	return nil
}

// celType is the type of a variable, nil for none, and whether it is a struct.
func celType(t reflect.Type) (declared *cel.Type, isStruct bool) {
	switch t {
	case reflect.TypeFor[time.Time]():
		return cel.TimestampType, false
	case reflect.TypeFor[time.Duration]():
		return cel.DurationType, false
	}
	switch t.Kind() { //nolint:exhaustive // the others are not for variables
	case reflect.Bool:
		return cel.BoolType, false
	case reflect.Int64:
		return cel.IntType, false
	case reflect.Float64:
		return cel.DoubleType, false
	case reflect.String:
		return cel.StringType, false
	case reflect.Struct:
		if t.Name() != "" { // the checker knows types by their names
			return cel.ObjectType(t.String()), true
		}
	case reflect.Slice:
		if element, isStruct := celType(t.Elem()); isStruct {
			return cel.ListType(element), false
		}
	}
	return nil, false
}

// shownType is a type as people read it.
func shownType(declared *cel.Type) string {
	switch declared.Kind() { //nolint:exhaustive // the others are known by their names
	case types.StructKind:
		return "object"
	case types.ListKind:
		return "list of objects"
	case types.TimestampKind:
		return "timestamp"
	case types.DurationKind:
		return "duration"
	}
	return declared.String()
}

// limit is the greatest size of text or a list in a struct.
type limit struct {
	index []int
	most  int
	each  []limit // in the elements of a list
}

// limitsOf are the limits of a field and what is below it, which has been declared.
func limitsOf(f reflect.StructField) (list []limit) {
	declared, isStruct := celType(f.Type)
	most, _ := strconv.Atoi(f.Tag.Get("max")) // it was read before
	switch {
	case isStruct:
		for inner := range f.Type.Fields() {
			for _, l := range limitsOf(inner) {
				l.index = append([]int{f.Index[0]}, l.index...)
				list = append(list, l)
			}
		}
	case declared.Kind() == types.StringKind:
		list = []limit{{index: f.Index, most: most}}
	case declared.Kind() == types.ListKind:
		l := limit{index: f.Index, most: most}
		for inner := range f.Type.Elem().Fields() {
			l.each = append(l.each, limitsOf(inner)...)
		}
		list = []limit{l}
	}
	return list
}

// fit reports whether everything in a struct is as small as it was declared to be.
func fit(v reflect.Value, limits []limit) bool {
	for i := range limits {
		l := &limits[i]
		f := v.FieldByIndex(l.index)
		n := f.Len()
		if n > l.most {
			return false
		}
		if len(l.each) == 0 {
			continue
		}
		for j := range n {
			if !fit(f.Index(j), l.each) {
				return false
			}
		}
	}
	return true
}

// sizes are the greatest sizes of text and lists, by their path in the words of the
// estimator: "order.lines.@items.sku".
type sizes map[string]uint64

// EstimateSize says how large something is that comes from a variable.
func (s sizes) EstimateSize(n cost.AstNode) *cost.SizeEstimate {
	if most, ok := s[strings.Join(n.Path(), ".")]; ok {
		return &cost.SizeEstimate{Max: most}
	}
	return nil
}

// EstimateCallCost leaves functions to the estimator.
func (sizes) EstimateCallCost(string, string, *cost.AstNode, []cost.AstNode) *cost.CallEstimate {
	return nil
}
