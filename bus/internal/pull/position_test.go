package pull_test

import (
	"testing"

	"github.com/ordermesh/ordermesh/bus/internal/pull"
)

func TestParsePosition(t *testing.T) {
	t.Parallel()
	want := pull.Position{Attempt: 3, Sequence: 17, Delivery: 20, Stored: 1700000000000000001, Pending: 5}
	for _, reply := range []string{
		"$JS.ACK.S.c.3.17.20.1700000000000000001.5",
		"$JS.ACK.hub.ACC.S.c.3.17.20.1700000000000000001.5",
		"$JS.ACK._.ACC.S.c.3.17.20.1700000000000000001.5.token",
	} {
		if got, ok := pull.ParsePosition(reply); !ok || got != want {
			t.Errorf("%q: %+v, %v", reply, got, ok)
		}
	}
	want.Pending = 0
	if got, ok := pull.ParsePosition("$JS.ACK.S.c.3.17.20.1700000000000000001.18446744073709551615"); !ok || got != want {
		t.Errorf("a count that makes no sense: %+v, %v", got, ok)
	}
	for _, reply := range []string{
		"", "_INBOX.x", "$JS.ACK.S.c.3.17.20.x.5", "$JS.ACK.S.c.3.17.20.1", "$JS.ACK.S.c.3.17.20.99999999999999999999.1",
	} {
		if got, ok := pull.ParsePosition(reply); ok {
			t.Errorf("%q was taken: %+v", reply, got)
		}
	}
}
