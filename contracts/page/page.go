// Package page is what lists have in common: a limit, a cursor that continues where the
// page before ended, and what an answer must have seen.
package page

import (
	"strings"

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

// MaxVersion is more than any entity's version that can be waited for.
const MaxVersion = 1<<31 - 1

// Reflects asks for an answer that has seen an entity at a version or later, such as
// what the caller itself has just changed. The answer waits for it as long as the
// caller's time allows.
type Reflects struct {
	ID      string `json:"id"`
	Version uint64 `json:"version"`
}

// Check refuses a malformed id and a version that nothing reaches. Nil asks for nothing.
func (r *Reflects) Check(field string) error {
	if r == nil {
		return nil
	}
	if err := contract.CheckID(field+"/id", r.ID); err != nil {
		return err
	}
	return CheckVersion(field+"/version", r.Version)
}

// CheckVersion refuses a version that nothing reaches; 0 asks for none.
func CheckVersion(field string, version uint64) error {
	if version > MaxVersion {
		return contract.ErrInvalid.At(field).Sayf("%s must be at most %d", field[strings.LastIndexByte(field, '/')+1:], MaxVersion)
	}
	return nil
}

// CheckPrefix refuses a beginning of ids that no id has; none is fine.
func CheckPrefix(field, prefix string) error {
	if prefix == "" {
		return nil
	}
	return contract.CheckID(field, prefix)
}
