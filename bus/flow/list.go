package flow

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// Query selects instances.
type Query struct {
	Flow   string // by name; "" means every flow of the service
	Status Status // "" means any
	Limit  int    // 0 means 100
}

// List returns the instances that have a journal and match the query, in the order of
// their last change. It reads the last message of every journal and is meant for
// people and tools, not for hot paths. Steps of a long journal may be missing; Get has
// them all.
func (c *Client) List(ctx context.Context, q Query) ([]State, error) {
	if q.Limit <= 0 {
		q.Limit = 100
	}
	filter := contract.FlowLogFilter(c.service)
	if q.Flow != "" {
		if err := contract.CheckID("/flow", q.Flow); err != nil {
			return nil, err
		}
		filter = contract.FlowLog(c.service, q.Flow, "*")
	}
	consumer, err := c.conn.JetStream().CreateConsumer(ctx, contract.FlowStream, jetstream.ConsumerConfig{
		FilterSubject: filter, DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy, AckPolicy: jetstream.AckNonePolicy,
		MemoryStorage: true, Replicas: 1, InactiveThreshold: 10 * time.Second,
	})
	if err != nil {
		return nil, unavailable(err)
	}
	defer func() { // it goes by itself if this fails
		_ = c.conn.JetStream().DeleteConsumer(context.WithoutCancel(ctx), contract.FlowStream, consumer.CachedInfo().Name)
	}()
	return readList(consumer, consumer.CachedInfo().NumPending, q)
}

// readList takes what was there when the consumer was made.
func readList(consumer jetstream.Consumer, pending uint64, q Query) ([]State, error) {
	var list []State
	for pending > 0 && len(list) < q.Limit {
		batch, err := consumer.Fetch(int(min(pending, 500)), jetstream.FetchMaxWait(2*time.Second))
		if err != nil {
			return nil, unavailable(err)
		}
		got := uint64(0)
		for m := range batch.Messages() {
			got++
			p, err := decodePage(m.Data())
			if err != nil || (q.Status != "" && p.Status != q.Status) || len(list) == q.Limit {
				continue // somebody else's message is no flow
			}
			list = append(list, stateOf(p, p.Records))
		}
		if err := batch.Error(); err != nil {
			return nil, unavailable(err)
		}
		if got == 0 {
			return nil, unavailable(fmt.Errorf("%d journals were not delivered", pending))
		}
		pending -= min(got, pending)
	}
	return list, nil
}
