package bench

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/eventstore"
)

func TestAppendMeasuresAllRows(t *testing.T) {
	t.Parallel()
	o := quick(t)
	o.Stored, o.Transports = 50, []string{Pipe}
	report, err := Append(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Rows) != 4 {
		t.Fatalf("%d rows, want one append, many, hot and load", len(report.Rows))
	}
	for i, row := range report.Rows {
		if row.Ours.Count == 0 || row.Ours.P50 <= 0 || (row.Raw != nil) != (i != 2) || row.Raw != nil && row.Raw.Count == 0 {
			t.Errorf("incomplete row %+v", row)
		}
	}
}

// The comparison is fair: by hand the same messages are stored, but for the time.
func TestRawStoresWhatAnEntityStores(t *testing.T) {
	t.Parallel()
	g, err := newGround(quick(t), Pipe)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := g.close(); err != nil {
			t.Error(err)
		}
	}()
	conn, err := g.dial(t.Context(), "bench")
	if err := errors.Join(err, g.provision(t.Context(), contract.Streams(gaugeService()))); err != nil {
		t.Fatal(err)
	}
	ids, entities, raw := newCommandIDs(1), newGauges(conn), newRawGauges(conn, "raw-", 1)
	for range 300 {
		id, m := ids.next(0), moved{Delta: 3, Reason: "benchmark"}
		_, _, err := entities.Do(t.Context(), "ours-0", id, m)
		if err := errors.Join(err, raw.do(t.Context(), 0, id, m)); err != nil {
			t.Fatal(err)
		}
	}
	log := eventstore.NewJetStreamLog(conn, benchStream)
	ours, byHand := stored(t.Context(), t, log, "evt.gauge.ours-0"), stored(t.Context(), t, log, "evt.gauge.raw-0")
	if len(ours) != 300 {
		t.Fatalf("%d messages", len(ours))
	}
	if diff := cmp.Diff(byHand, ours); diff != "" {
		t.Errorf("what is stored differs (-raw +ours):\n%s", diff)
	}
}

type shape struct {
	Commit  contract.Commit
	Headers int
	State   bool
}

// stored reads what a subject holds, without times, event ids and sequences.
func stored(ctx context.Context, t *testing.T, log eventstore.Log, subject string) []shape {
	t.Helper()
	var all []shape
	for m, err := range log.Range(ctx, subject, 0) {
		if err != nil {
			t.Fatal(err)
		}
		c, err := contract.DecodeCommit(m.Data)
		if err != nil {
			t.Fatal(err)
		}
		h, err := contract.ParseCommitHeader(m.Header)
		if err != nil {
			t.Fatal(err)
		}
		for i := range c.Events {
			c.Events[i].At, c.Events[i].ID = time.Time{}, ""
		}
		all = append(all, shape{Commit: c, Headers: len(m.Header), State: h.Snap == contract.SnapSelf})
	}
	return all
}
