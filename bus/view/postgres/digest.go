package postgres

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// digest is a hash of columns that does not change when they are stored and read back.
func digest(values []any) string {
	h := sha256.New()
	for _, v := range values {
		_, _ = fmt.Fprintf(h, "%s\x00", canonical(v))
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// canonical is a column's value as text: times to the microsecond and without a zone.
func canonical(v any) string {
	switch t := v.(type) {
	case **time.Time:
		if *t == nil {
			return "null"
		}
		return canonical(**t)
	case *time.Time:
		return canonical(*t)
	case time.Time:
		return fmt.Sprint(t.UnixMicro())
	}
	text, err := contract.Marshal(v)
	if err != nil {
		return fmt.Sprintf("%#v", v) // has no JSON: then as Go has it
	}
	return string(text)
}
