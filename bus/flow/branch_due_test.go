package flow

import (
	"testing"
	"time"
)

// A branch that may begin does so, however long others pause.
func TestABranchIsNotHeldUpByThePausesOfOthers(t *testing.T) {
	t.Parallel()
	later := time.Now().Add(time.Hour)
	pausing, ready := &branch{due: later}, &branch{}
	for _, branches := range [][]*branch{{pausing, ready}, {ready, pausing}} {
		if due := (&group{branches: branches}).due(); !due.IsZero() {
			t.Errorf("the next attempt is in %v", time.Until(due))
		}
	}
	if due := (&group{branches: []*branch{{done: true}, pausing, {running: true}}}).due(); !due.Equal(later) {
		t.Errorf("the next attempt is at %v", due)
	}
}
