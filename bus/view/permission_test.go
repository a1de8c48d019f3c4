package view_test

import (
	"testing"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/view"
	"github.com/ordermesh/ordermesh/bus/view/viewtest"
	"github.com/ordermesh/ordermesh/embedded/natsd"
)

func TestDerivedPermissionsAreEnough(t *testing.T) {
	t.Parallel()
	allowed := contract.Service{Name: "reader", Views: []contract.EventsInfo{tallies.Info()}}.Permissions(contract.Production)
	b := bustest.Server(t, bustest.WithServices(tallying), bustest.WithServer(natsd.Config{DefaultUser: "admin", Users: []natsd.User{
		{Name: "admin", Admin: true},
		{Name: "reader", Password: "p", Publish: allowed.Publish, Subscribe: allowed.Subscribe, AllowResponses: allowed.Responses},
	}}))
	reader := b.Dial(t, bustest.WithService("reader"), bustest.WithUser("reader", "p"))
	stop := reader.WatchDenied(func(d bus.Denied) { t.Error(d) })
	defer stop()
	p, err := view.New(reader, tallies, view.NewMemory[viewtest.Row](), fold)
	check(t, err)
	end := run(t, p)
	check(t, p.Wait(t.Context(), newWriter(b.Dial(t)).add(t, "a", 1)))
	end()
}
