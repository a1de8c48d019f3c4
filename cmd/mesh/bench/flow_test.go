package bench

import (
	"strings"
	"testing"
)

func TestFlowMeasuresEveryTrial(t *testing.T) {
	t.Parallel()
	o := quick(t)
	report, err := Flow(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if want := 2*3 + 2 + 2; len(report.Rows) != want {
		t.Fatalf("%d rows, want %d", len(report.Rows), want)
	}
	for _, row := range report.Rows {
		if row.Raw == nil || row.Raw.Count == 0 || row.Ours.Count == 0 || row.Ours.CPU <= 0 || !strings.Contains(row.Note, "appends") {
			t.Errorf("incomplete row %+v", row)
		}
	}
}
