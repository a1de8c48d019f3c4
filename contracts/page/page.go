// Package page is what lists have in common: a limit and a cursor that continues
// where the page before ended.
package page

import (
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/contracts/text"
)

// Limits of one page.
const (
	DefaultLimit = 50
	MaxLimit     = 200
	maxCursor    = 512
)

// Check refuses a limit outside 0 (the default) to MaxLimit and a malformed cursor.
func Check(limit int, cursor string) error {
	if limit < 0 || limit > MaxLimit {
		return contract.ErrInvalid.At("/limit").Sayf("limit must be 1 to %d", MaxLimit)
	}
	if cursor == "" {
		return nil
	}
	return text.Visible("/cursor", cursor, maxCursor)
}

// Size is how many entries a page with this limit has at most.
func Size(limit int) int {
	if limit == 0 {
		return DefaultLimit
	}
	return limit
}
