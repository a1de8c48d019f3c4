package bench

import (
	"testing"

	"github.com/ordermesh/ordermesh/embedded/postgres/postgrestest"
)

func TestViewMeasuresBothSides(t *testing.T) {
	t.Parallel()
	postgrestest.Database(t) // or skip
	o := quick(t)
	o.Stored = 4000
	report, err := View(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Rows) != 3 {
		t.Fatalf("%d rows", len(report.Rows))
	}
	for i, row := range report.Rows {
		if row.Ours.Count == 0 || row.Ours.CPU <= 0 {
			t.Errorf("incomplete row %+v", row)
		}
		if i < 2 && (row.Raw == nil || row.Raw.Count != 2000 || row.OpsRatio <= 0) {
			t.Errorf("incomplete comparison %+v", row)
		}
	}
}
