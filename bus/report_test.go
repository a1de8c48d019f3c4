package bus_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ordermesh/ordermesh/bus/bustest"
)

func TestTheLastReportOfANameCounts(t *testing.T) {
	t.Parallel()
	conn := bustest.New(t)
	stopFirst := conn.Report("view.order", func() any { return 1 })
	stopSecond := conn.Report("view.order", func() any { return 2 })
	conn.Report("breaker.payments", func() any { return "closed" })
	stopFirst() // was replaced: changes nothing
	if diff := cmp.Diff(map[string]any{"view.order": 2, "breaker.payments": "closed"}, conn.Reports()); diff != "" {
		t.Error(diff)
	}
	stopSecond()
	if diff := cmp.Diff(map[string]any{"breaker.payments": "closed"}, conn.Reports()); diff != "" {
		t.Error(diff)
	}
}
