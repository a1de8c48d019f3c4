package bus_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
)

// A bucket that the client library makes is the one that StreamConfig describes, or a
// plan would find differences that are none.
func TestStreamConfigIsWhatProvisionMakes(t *testing.T) {
	t.Parallel()
	specs := []contract.StreamSpec{
		{Name: "PLAIN", Subjects: []string{"plain.>"}, DiscardNew: true, DenyDelete: true},
		{Name: "TIMERS", Subjects: []string{"timers.>"}, Schedules: true, Metadata: map[string]string{"a": "b"}},
		{Name: "book", KV: true, History: 1},
		{Name: "lease", KV: true, History: 1, MarkerTTL: 2 * time.Second},
		{Name: "large", Objects: true},
	}
	conn := bustest.New(t, bustest.WithStreams(specs...))
	for _, spec := range specs {
		stream, err := conn.JetStream().Stream(t.Context(), spec.StreamName())
		if err != nil {
			t.Fatal(err)
		}
		got := stream.CachedInfo().Config
		want, err := conn.JetStream().UpdateStream(t.Context(), bus.StreamConfig(spec, 1))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want.CachedInfo().Config, got); d != "" {
			t.Errorf("%s (-described +made):\n%s", spec.StreamName(), d)
		}
	}
}
