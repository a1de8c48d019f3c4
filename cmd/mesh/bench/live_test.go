package bench

import (
	"testing"
	"time"
)

func TestLiveSeesEveryChangeEverywhere(t *testing.T) {
	t.Parallel()
	o := quick(t)
	o.Rounds, o.Duration, o.Transports = 1, 300*time.Millisecond, []string{TCP}
	report, err := Live(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Rows) != 2 {
		t.Fatalf("report %+v", report)
	}
	for _, row := range report.Rows {
		if row.Ours.Count != 30 || row.Raw.Count != 30 || row.Ours.P50 <= 0 || row.P50Ratio <= 0 {
			t.Errorf("%+v", row)
		}
	}
}
