package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
)

// quick measures just enough to see that everything runs.
func quick(t *testing.T) Options {
	t.Helper()
	return Options{Rounds: 1, Duration: 20 * time.Millisecond, Concurrency: []int{2}, Dir: t.TempDir()}
}

func TestRPCMeasuresBothSides(t *testing.T) {
	t.Parallel()
	report, err := RPC(t.Context(), quick(t))
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Rows) != 2 {
		t.Fatalf("%d rows, want one for each transport", len(report.Rows))
	}
	for _, row := range report.Rows {
		if row.Raw == nil || row.Raw.Count == 0 || row.Ours.Count == 0 || row.Ours.P50 <= 0 || row.OpsRatio <= 0 {
			t.Errorf("incomplete row %+v", row)
		}
	}
	var text, js bytes.Buffer
	if err := errors.Join(report.WriteText(&text), report.WriteJSON(&js)); err != nil {
		t.Fatal(err)
	}
	var back Report
	if err := json.Unmarshal(js.Bytes(), &back); err != nil || len(back.Rows) != 2 || !strings.Contains(text.String(), "ops ratio") {
		t.Errorf("%v\n%s\n%s", err, js.String(), text.String())
	}
}

func TestLoadEndsWithTheFirstError(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	_, err := load(t.Context(), 4, time.Minute, func(ctx context.Context, client int) error {
		if client == 0 {
			return boom
		}
		return ctx.Err() // the others end because the first one failed
	})
	if !errors.Is(err, boom) && !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestGoals(t *testing.T) {
	t.Parallel()
	row := Row{Ours: Sample{Ops: 100, P50: time.Millisecond}, OpsRatio: 0.95, P50Ratio: 1.1}
	for name, tc := range map[string]struct {
		goal Goal
		met  bool
	}{
		"none":         {Goal{}, true},
		"ratio met":    {Goal{OpsRatio: 0.9, P50Ratio: 1.15}, true},
		"too slow":     {Goal{OpsRatio: 0.96}, false},
		"p50 too high": {Goal{P50Ratio: 1.05}, false},
		"absolute":     {Goal{Ops: 100, P50: time.Millisecond}, true},
		"absolute ops": {Goal{Ops: 101}, false},
		"absolute p50": {Goal{P50: time.Microsecond}, false},
	} {
		r := row
		r.Goal = tc.goal
		if r.Met() != tc.met {
			t.Errorf("%s: met is %v", name, r.Met())
		}
	}
}

func TestMedianIsPerFigure(t *testing.T) {
	t.Parallel()
	got := median([]Sample{{Ops: 3, P50: 1}, {Ops: 1, P50: 3}, {Ops: 2, P50: 2}})
	if got.Ops != 2 || got.P50 != 2 {
		t.Errorf("got %+v", got)
	}
}
