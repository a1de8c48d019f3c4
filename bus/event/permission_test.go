package event_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/event"
	"github.com/ordermesh/ordermesh/embedded/natsd"
)

// restricted starts a server on which the user "reader" may do what a service that
// consumes may do, and the default user everything.
func restricted(t *testing.T, rights contract.Rights) (reader, admin *bus.Conn) {
	t.Helper()
	method := contract.NewMethod[struct{}, struct{}]("reader", "read") // who serves may answer, also replays
	service := contract.Service{Name: "reader", Consumes: counting.Consumes, Serves: []contract.MethodInfo{method.Info()}}
	allowed := service.Permissions(rights)
	b := bustest.Server(t, bustest.WithServices(counting), bustest.WithServer(natsd.Config{DefaultUser: "admin", Users: []natsd.User{
		{Name: "admin", Admin: true},
		{Name: "reader", Password: "p", Publish: allowed.Publish, Subscribe: allowed.Subscribe, AllowResponses: allowed.Responses},
	}}))
	return b.Dial(t, bustest.WithService("reader"), bustest.WithUser("reader", "p")), b.Dial(t)
}

func TestDerivedPermissionsAreEnough(t *testing.T) {
	t.Parallel()
	reader, admin := restricted(t, contract.Development)
	stop := reader.WatchDenied(func(d bus.Denied) { t.Error(d) })
	defer stop()
	w := newWriter(admin)
	var got seen
	start(t, reader, func(_ context.Context, e event.Event[counterEvent]) event.Outcome {
		if got.add(e); got.len() == 2 {
			return event.Reject(errors.New("once"))
		}
		return event.Done
	}, event.WithConcurrency(1))
	w.add(t, "a", 1)
	w.add(t, "b", 1)
	letter := letters(t, admin, 1)[0]
	check(t, event.NewDeadLetters(admin).Replay(t.Context(), letter.ID))
	got.wait(t, 3)
	settled(t, admin)
}

func TestAMissingDurableThatMayNotBeMadeIsAClearError(t *testing.T) {
	t.Parallel()
	reader, admin := restricted(t, contract.Production)
	c, err := event.NewConsumer(reader, counters, "test")
	check(t, err)
	if err := c.Run(t.Context(), new(seen).done); err == nil || !strings.Contains(err.Error(), "does not exist and may not be created here") {
		t.Errorf("got %v", err)
	}
	start(t, admin, new(seen).done).stop() // an operator makes it
	var got seen
	start(t, reader, got.done)
	newWriter(admin).add(t, "a", 1)
	got.wait(t, 1)
	settled(t, admin)
}
