package bustest_test

import (
	"path/filepath"
	"testing"

	"github.com/ordermesh/ordermesh/bus/auth"
	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
)

func TestAuthAndTLS(t *testing.T) {
	t.Parallel()
	folder, err := auth.Init(filepath.Join(t.TempDir(), "auth"))
	if err != nil {
		t.Fatal(err)
	}
	writer := contract.Service{Name: "writer", Appends: []contract.EventsInfo{{Entity: "thing", Stream: "THINGS"}}}
	if err := folder.AddTenant("main", auth.Limits{Disk: 64 << 20}, []contract.Service{writer}); err != nil {
		t.Fatal(err)
	}
	if _, err := folder.MakeTLS([]string{"127.0.0.1", "localhost"}); err != nil {
		t.Fatal(err)
	}
	bustest.Each(t, func(t *testing.T, b *bustest.Broker) {
		t.Helper()
		appendUntil(t, b.Dial(t, bustest.WithAuth(folder, "main"), bustest.WithService("writer")), "evt.thing.a")
		b.Stop(t, "THINGS")
		b.Start(t)
		appendUntil(t, b.Dial(t, bustest.WithAuth(folder, "main"), bustest.WithService("writer")), "evt.thing.b")
	}, bustest.WithStreams(things), bustest.WithAuth(folder, "main"))
}
