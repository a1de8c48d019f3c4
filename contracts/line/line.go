// Package line is what orders, inventory and shipping mean by a line: so many of
// one SKU. It has no price: prices belong to the catalog and the order.
package line

import (
	"slices"
	"strconv"
	"strings"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// Limits of one list of lines.
const (
	MaxLines    = 100
	MaxQuantity = 1_000_000
)

// The refusals of this package.
var (
	ErrNone     = contract.NewError(contract.Unprocessable, "no_lines", "there must be at least one line")
	ErrTooMany  = contract.NewError(contract.Unprocessable, "too_many_lines", "there are more than 100 lines")
	ErrQuantity = contract.NewError(contract.Unprocessable, "bad_quantity", "quantity must be 1 to 1000000")
	ErrTwice    = contract.NewError(contract.Unprocessable, "sku_twice", "a SKU may appear in one line only")
)

// Line is a quantity of one SKU.
type Line struct {
	SKU      string `json:"sku"`
	Quantity int64  `json:"quantity"`
}

// Check refuses lists that are empty, too long, malformed, name a SKU twice or ask
// for an impossible quantity. The field is the list's JSON pointer.
func Check(field string, lines []Line) error {
	if len(lines) == 0 {
		return ErrNone.At(field)
	}
	if len(lines) > MaxLines {
		return ErrTooMany.At(field)
	}
	seen := make(map[string]bool, len(lines))
	for i, l := range lines {
		at := field + "/" + strconv.Itoa(i)
		if err := contract.CheckID(at+"/sku", l.SKU); err != nil {
			return err
		}
		if l.Quantity < 1 || l.Quantity > MaxQuantity {
			return ErrQuantity.At(at + "/quantity")
		}
		if seen[l.SKU] {
			return ErrTwice.At(at + "/sku")
		}
		seen[l.SKU] = true
	}
	return nil
}

// Sorted returns a copy in the order of the SKUs: whoever takes stock for several
// lines takes it in this order.
func Sorted(lines []Line) []Line {
	sorted := slices.Clone(lines)
	slices.SortFunc(sorted, func(a, b Line) int { return strings.Compare(a.SKU, b.SKU) })
	return sorted
}
