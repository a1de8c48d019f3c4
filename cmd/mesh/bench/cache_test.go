package bench

import (
	"strings"
	"testing"
)

func TestCacheMeasuresEveryLevel(t *testing.T) {
	t.Parallel()
	o := quick(t)
	o.Changes, o.Stored = 5, 2000
	report, err := Cache(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, row := range report.Rows {
		names[row.Name] = true
		if row.Ours.Count == 0 || row.Note == "" || row.Raw != nil && (row.Raw.Count == 0 || row.OpsRatio <= 0 || row.P99Ratio <= 0) {
			t.Errorf("incomplete row %+v", row)
		}
	}
	for _, name := range []string{"warm, in the process", "warm, in Redis only", "cold", "Redis is a black hole", "stampede", "a changed price"} {
		if !names[name] && (len(report.Notes) == 0 || !strings.Contains(name, "Redis only")) {
			t.Errorf("there is no row %q", name)
		}
	}
}
