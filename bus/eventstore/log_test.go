package eventstore_test

import (
	"testing"

	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/eventstore"
	"github.com/ordermesh/ordermesh/bus/eventstore/storetest"
)

func TestMain(m *testing.M) { bustest.Main(m) }

var stream = contract.StreamSpec{
	Name: "TEST", Subjects: []string{storetest.Subject, counterEvents.Info().Filter()}, DiscardNew: true, DenyDelete: true,
}

func TestMemoryLog(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(*testing.T) eventstore.Log { return eventstore.NewMemoryLog() })
}

func TestJetStreamLog(t *testing.T) {
	t.Parallel()
	bustest.Each(t, func(t *testing.T, b *bustest.Broker) {
		t.Helper()
		log := eventstore.NewJetStreamLog(b.Dial(t), stream.Name)
		storetest.Run(t, func(*testing.T) eventstore.Log { return log })
	}, bustest.WithStreams(stream))
}
