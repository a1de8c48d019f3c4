package bench

import (
	"strings"
	"testing"
	"time"
)

func TestTimersMeasureEveryKind(t *testing.T) {
	t.Parallel()
	o := quick(t).withDefaults()
	o.Sleepers = 50
	report := newReport("timers", o)
	if err := timersOver(t.Context(), o, naps{flows: 20, near: 1600 * time.Millisecond, far: 2 * time.Second}, &report); err != nil {
		t.Fatal(err)
	}
	if len(report.Rows) != 3 || len(report.Notes) != 2 || !strings.Contains(report.Notes[0], "50 flows asleep") {
		t.Fatalf("report %+v", report)
	}
	for _, row := range report.Rows {
		if row.Ours.Count != 20 {
			t.Errorf("%s: %d flows", row.Name, row.Ours.Count)
		}
	}
}
