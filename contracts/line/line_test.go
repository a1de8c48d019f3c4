package line_test

import (
	"errors"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/contracts/line"
)

func many(n int) []line.Line {
	lines := make([]line.Line, n)
	for i := range lines {
		lines[i] = line.Line{SKU: "S" + strconv.Itoa(i), Quantity: 1}
	}
	return lines
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		lines []line.Line
		want  error
		field string
	}{
		"one line":          {lines: []line.Line{{SKU: "TEA-001", Quantity: 1}}},
		"the largest order": {lines: many(line.MaxLines)},
		"largest quantity":  {lines: []line.Line{{SKU: "A", Quantity: line.MaxQuantity}}},
		"no lines":          {want: line.ErrNone, field: "/lines"},
		"101 lines":         {lines: many(line.MaxLines + 1), want: line.ErrTooMany, field: "/lines"},
		"quantity 0":        {lines: []line.Line{{SKU: "A"}}, want: line.ErrQuantity, field: "/lines/0/quantity"},
		"quantity -1":       {lines: []line.Line{{SKU: "A", Quantity: -1}}, want: line.ErrQuantity, field: "/lines/0/quantity"},
		"quantity too high": {lines: []line.Line{{SKU: "A", Quantity: line.MaxQuantity + 1}}, want: line.ErrQuantity, field: "/lines/0/quantity"},
		"SKU twice":         {lines: []line.Line{{SKU: "A", Quantity: 1}, {SKU: "A", Quantity: 1}}, want: line.ErrTwice, field: "/lines/1/sku"},
		"wildcard SKU":      {lines: []line.Line{{SKU: "*", Quantity: 1}}, want: contract.ErrInvalid, field: "/lines/0/sku"},
		"missing SKU":       {lines: []line.Line{{Quantity: 1}}, want: contract.ErrInvalid, field: "/lines/0/sku"},
	} {
		err := line.Check("/lines", c.lines)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		var e *contract.Error
		if errors.As(err, &e) && e.Field != c.field {
			t.Errorf("%s: blames %s, want %s", name, e.Field, c.field)
		}
	}
}

func TestSortedLeavesTheOriginalAlone(t *testing.T) {
	t.Parallel()
	lines := []line.Line{{SKU: "B", Quantity: 1}, {SKU: "A", Quantity: 2}}
	want := []line.Line{{SKU: "A", Quantity: 2}, {SKU: "B", Quantity: 1}}
	if diff := cmp.Diff(want, line.Sorted(lines)); diff != "" {
		t.Error(diff)
	}
	if lines[0].SKU != "B" {
		t.Error("the original was sorted")
	}
}
