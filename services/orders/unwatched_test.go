package orders

import (
	"strconv"
	"testing"
	"time"

	"github.com/ordermesh/ordermesh/bus/event"
	"github.com/ordermesh/ordermesh/contracts/orders"
)

func TestUnwatchedIsCertainForAWhile(t *testing.T) {
	t.Parallel()
	var u unwatched
	now := time.Now()
	if u.take("a", now) {
		t.Error("nothing is known of a parcel that was never noted")
	}
	for _, id := range []string{"a", "b", "c"} {
		u.note(id, now)
	}
	if !u.take("a", now.Add(justSent-1)) {
		t.Error("certain until the parcel may come again")
	}
	if u.take("a", now) {
		t.Error("it is taken once")
	}
	if u.take("b", now.Add(justSent)) {
		t.Error("the parcel may have come again")
	}
	u.note("d", now.Add(justSent+1)) // a new generation
	if !u.take("c", now.Add(justSent-1)) {
		t.Error("the generation before is still known")
	}
}

func TestUnwatchedForgets(t *testing.T) {
	t.Parallel()
	var u unwatched
	now := time.Now()
	for i := range 1000 {
		u.note(strconv.Itoa(i), now.Add(time.Duration(i)*justSent/10))
	}
	if n := len(u.young) + len(u.old); n > 22 {
		t.Errorf("%d parcels are kept, of two generations of at most 11", n)
	}
}

// TestADeliveryLooksForNoFlowWhereNoneIs: the service has no client of flows here, and
// asks for none.
func TestADeliveryLooksForNoFlowWhereNoneIs(t *testing.T) {
	t.Parallel()
	var s Service
	s.unwatched.note("o1", time.Now().Add(time.Hour))
	if got := s.follow(t.Context(), event.Event[orders.Event]{ID: "o1", Data: orders.OrderDelivered{}}); got != event.Done {
		t.Errorf("%+v", got)
	}
}
