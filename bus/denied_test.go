package bus_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/embedded/natsd"
)

// TestWhatIsDeniedIsAnErrorAtOnce: a service whose descriptor names nothing tries what the
// library does for others; each call says Denied and the subject long before a time-out.
func TestWhatIsDeniedIsAnErrorAtOnce(t *testing.T) {
	t.Parallel()
	folder := identities(t, contract.Service{Name: "shop"})
	server := start(t, natsd.Config{Operator: trusting(t, folder)})
	conn, err := bus.Dial(t.Context(), bus.Config{URL: server.URL(), Service: "shop", Creds: folder.Creds("main", "shop")})
	must(t, err)
	t.Cleanup(conn.Close)
	js := conn.JetStream()
	provision := func(spec contract.StreamSpec) func(context.Context) error {
		return func(ctx context.Context) error { return bus.Provision(ctx, conn, []contract.StreamSpec{spec}, 1) }
	}
	tests := []struct {
		subject string
		try     func(context.Context) error
	}{
		{"evt.thing.a", func(ctx context.Context) error {
			_, err := conn.Appender().Append(ctx, nats.NewMsg("evt.thing.a"), bus.NoExpectation)
			return err
		}},
		{"$JS.API.DIRECT.GET.THINGS", func(ctx context.Context) error {
			_, err := conn.Request(ctx, "$JS.API.DIRECT.GET.THINGS", nil)
			return err
		}},
		{"$JS.API.STREAM.INFO.THINGS", provision(things)},
		{"$JS.API.STREAM.UPDATE.KV_book", provision(contract.StreamSpec{Name: "book", KV: true})},
		{"$JS.API.STREAM.UPDATE.OBJ_large", provision(contract.StreamSpec{Name: "large", Objects: true})},
		{"$JS.API.STREAM.INFO.OTHER", func(ctx context.Context) error {
			_, err := js.Stream(ctx, "OTHER")
			return err
		}},
		{"$JS.API.STREAM.INFO.KV_other", func(ctx context.Context) error {
			_, err := js.KeyValue(ctx, "other")
			return err
		}},
		{"$JS.API.STREAM.INFO.OBJ_other", func(ctx context.Context) error {
			_, err := js.ObjectStore(ctx, "other")
			return err
		}},
		{"$JS.API.CONSUMER.INFO.OTHER.durable", func(ctx context.Context) error {
			_, err := js.Consumer(ctx, "OTHER", "durable")
			return err
		}},
		{"$JS.API.CONSUMER.CREATE.OTHER.durable.evt.*", func(ctx context.Context) error {
			_, err := js.CreateConsumer(ctx, "OTHER", jetstream.ConsumerConfig{Durable: "durable", FilterSubject: "evt.*"})
			return err
		}},
		{"$JS.API.CONSUMER.CREATE.THINGS.other.evt.*", func(ctx context.Context) error {
			_, err := js.CreateOrUpdateConsumer(ctx, "THINGS", jetstream.ConsumerConfig{Durable: "other", FilterSubject: "evt.*"})
			return err
		}},
	}
	for _, tt := range tests {
		t.Run(tt.subject, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			err := tt.try(ctx)
			denied, ok := errors.AsType[bus.Denied](err)
			if !ok || denied.Subject != tt.subject || denied.Op != "publish" {
				t.Errorf("got %v", err)
			}
		})
	}
}
