package bench

import "testing"

func TestConsumeMeasuresBothSides(t *testing.T) {
	t.Parallel()
	o := quick(t)
	o.Stored = 2000
	report, err := Consume(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Rows) != 4 {
		t.Fatalf("%d rows", len(report.Rows))
	}
	for _, row := range report.Rows {
		if row.Raw == nil || row.Raw.Count == 0 || row.Ours.Count == 0 || row.Ours.CPU <= 0 || row.OpsRatio <= 0 || row.Note == "" {
			t.Errorf("incomplete row %+v", row)
		}
	}
}
