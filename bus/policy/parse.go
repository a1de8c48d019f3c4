package policy

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// MaxDocument is how many bytes a policy document may have.
const MaxDocument = 4 << 10

// Parse reads a policy document over the values that hold without it. Nothing is taken
// from one that has a fault: an unknown or repeated member, another type, a value out of
// its range. The error is a *contract.Error whose Field is the JSON pointer of the fault.
func Parse(data []byte, base Calls) (Calls, error) {
	if len(data) > MaxDocument {
		return base, contract.ErrInvalid.Sayf("the policy has %d bytes, more than %d", len(data), MaxDocument)
	}
	c := base
	if err := contract.Unmarshal(data, &c); err != nil {
		return base, err
	}
	if err := c.Validate(); err != nil {
		return base, err
	}
	return c, nil
}

// Validate implements contract.Validator: each value lies in its range, and together they
// make sense.
func (c Calls) Validate() error {
	for _, f := range fieldsOf(reflect.ValueOf(c), "") {
		if err := f.check(); err != nil {
			return err
		}
	}
	switch b, a := c.Breaker, c.Adaptive; {
	case c.Retry.Max < c.Retry.First:
		return contract.ErrInvalid.At("/retry/max").Sayf("max must be at least first, %s", c.Retry.First)
	case b.Of > 0 && b.Of < b.Failures:
		return contract.ErrInvalid.At("/breaker/of").Sayf("of must be 0 or at least failures, %d", b.Failures)
	case b.Rate > 0 && b.Within == 0:
		return contract.ErrInvalid.At("/breaker/within").Sayf("within must be more than 0s when there is a rate")
	case b.Rate > 0 && b.Of > 0:
		return contract.ErrInvalid.At("/breaker/of").Sayf("of does not go with rate")
	case a.Initial < a.Least || a.Initial > a.Most:
		return contract.ErrInvalid.At("/adaptive/initial").Sayf("initial must be %d to %d, as least and most say", a.Least, a.Most)
	}
	return nil
}

// Field describes one value of a policy document.
type Field struct {
	Path  string `json:"path"` // such as breaker.open
	Value string `json:"value"`
	Range string `json:"range,omitzero"`
	Doc   string `json:"doc"`
}

// Fields lists all values of a document in its order.
func (c Calls) Fields() []Field {
	var list []Field
	for _, f := range fieldsOf(reflect.ValueOf(c), "") {
		d := Field{Path: strings.ReplaceAll(f.path[1:], "/", "."), Value: fmt.Sprint(f.value), Doc: f.tag.Get("doc")}
		if low := f.tag.Get("min"); low != "" {
			d.Range = low + ".." + f.tag.Get("max")
		}
		list = append(list, d)
	}
	return list
}

// field is a value with its JSON pointer and its tags.
type field struct {
	path  string
	value any
	tag   reflect.StructTag
}

func fieldsOf(v reflect.Value, path string) []field {
	var list []field
	for sf, value := range v.Fields() {
		name, _, _ := strings.Cut(sf.Tag.Get("json"), ",")
		if value.Kind() == reflect.Struct {
			list = append(list, fieldsOf(value, path+"/"+name)...)
			continue
		}
		list = append(list, field{path + "/" + name, value.Interface(), sf.Tag})
	}
	return list
}

// check holds a value against its range; a switch has none.
func (f field) check() error {
	low, high := f.tag.Get("min"), f.tag.Get("max")
	if low == "" {
		return nil
	}
	if x := number(f.value); x < bound(low) || x > bound(high) {
		return contract.ErrInvalid.At(f.path).Sayf("%s must be %s to %s", f.path[strings.LastIndexByte(f.path, '/')+1:], low, high)
	}
	return nil
}

func number(v any) float64 {
	switch v := v.(type) {
	case int:
		return float64(v)
	case float64:
		return v
	case Duration:
		return float64(v)
	}
	panic(fmt.Sprintf("policy: a %T has no range", v))
}

// bound reads the tag of a range. The tags are tested.
func bound(tag string) float64 {
	if d, err := time.ParseDuration(tag); err == nil && tag != "0" {
		return float64(d)
	}
	x, err := strconv.ParseFloat(tag, 64)
	if err != nil {
		panic("policy: " + err.Error())
	}
	return x
}
