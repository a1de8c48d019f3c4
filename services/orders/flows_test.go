package orders_test

import (
	"testing"

	"github.com/ordermesh/ordermesh/bus/flow/flowtest"
	"github.com/ordermesh/ordermesh/services/orders"
)

// TestHistories: flows that are under way somewhere go on with the code of today. A
// change that fails here needs a new version of the flow beside the old one.
func TestHistories(t *testing.T) {
	t.Parallel()
	flowtest.Replay(t, "testdata/histories", orders.Flows()...)
}
