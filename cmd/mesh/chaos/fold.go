package chaos

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// Outcome is one order as the stream ORDERS tells it.
type Outcome struct {
	Types  []string // event types in order
	Reason string   // of the cancellation
}

// End is "delivered" or "cancelled", or "" while the order is under way.
func (o *Outcome) End() string {
	for _, t := range o.Types {
		switch t {
		case "order.delivered.v1":
			return "delivered"
		case "order.cancelled.v1":
			return "cancelled"
		}
	}
	return ""
}

// Fold follows the stream ORDERS without any service's help.
type Fold struct {
	Orders map[string]*Outcome
	next   uint64
}

// NewFold starts at the stream's beginning.
func NewFold() *Fold { return &Fold{Orders: map[string]*Outcome{}, next: 1} }

const foldBatch = 1000

// Advance reads to the stream's present end.
func (f *Fold) Advance(ctx context.Context, js jetstream.JetStream) error {
	consumer, err := js.CreateConsumer(ctx, "ORDERS", jetstream.ConsumerConfig{
		AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, InactiveThreshold: 5 * time.Second,
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: f.next,
	})
	if err != nil {
		return fmt.Errorf("read the stream ORDERS: %w", err)
	}
	defer func() { // bounded by InactiveThreshold if this fails
		_ = js.DeleteConsumer(context.WithoutCancel(ctx), "ORDERS", consumer.CachedInfo().Name)
	}()
	for {
		batch, err := consumer.FetchNoWait(foldBatch)
		if err != nil {
			return fmt.Errorf("read the stream ORDERS: %w", err)
		}
		count := 0
		for msg := range batch.Messages() {
			count++
			if err := f.apply(msg); err != nil {
				return err
			}
		}
		if err := batch.Error(); err != nil && !errors.Is(err, jetstream.ErrNoMessages) {
			return fmt.Errorf("read the stream ORDERS: %w", err)
		}
		if count == 0 {
			return nil
		}
	}
}

func (f *Fold) apply(msg jetstream.Msg) error {
	meta, err := msg.Metadata()
	if err != nil {
		return fmt.Errorf("read the stream ORDERS: %w", err)
	}
	f.next = meta.Sequence.Stream + 1
	id := strings.TrimPrefix(msg.Subject(), "evt.order.")
	commit, err := contract.DecodeCommit(msg.Data())
	if err != nil {
		return fmt.Errorf("message %d of ORDERS: %w", meta.Sequence.Stream, err)
	}
	o := f.Orders[id]
	if o == nil {
		o = &Outcome{}
		f.Orders[id] = o
	}
	for _, e := range commit.Events {
		o.Types = append(o.Types, e.Type)
		var data struct {
			Reason string `json:"reason"`
		}
		if e.Type == "order.cancelled.v1" && contract.UnmarshalLenient(e.Data, &data) == nil {
			o.Reason = data.Reason
		}
	}
	return nil
}

// Unfinished counts the orders under way.
func (f *Fold) Unfinished() int {
	n := 0
	for _, o := range f.Orders {
		if o.End() == "" {
			n++
		}
	}
	return n
}

// Finish reads on until every order has ended.
func (f *Fold) Finish(ctx context.Context, js jetstream.JetStream, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		if err := f.Advance(ctx, js); err != nil {
			return err
		}
		if f.Unfinished() == 0 {
			return nil
		}
		select {
		case <-time.After(pollEvery):
		case <-ctx.Done():
			return fmt.Errorf("%d orders did not end in %v; %s", f.Unfinished(), limit, f.unfinished())
		}
	}
}

// Ends counts how orders ended: "delivered", "cancelled: <reason>".
func (f *Fold) Ends() map[string]int {
	ends := map[string]int{}
	for _, o := range f.Orders {
		end := o.End()
		if end == "cancelled" {
			end += ": " + o.Reason
		}
		ends[end]++
	}
	return ends
}

// unfinished describes one order under way, the first by id.
func (f *Fold) unfinished() string {
	first := ""
	for id, o := range f.Orders {
		if o.End() == "" && (first == "" || id < first) {
			first = id
		}
	}
	return fmt.Sprintf("order %s: %v", first, f.Orders[first].Types)
}

// Broken compares what clients were told with what the stream says and returns one
// sentence for each promise that was broken.
func (f *Fold) Broken(entries []Entry) []string {
	var out []string
	for _, e := range entries {
		if why := broken(e, f.Orders[e.OrderID]); why != "" {
			out = append(out, fmt.Sprintf("order %s (%s): %s", e.OrderID, e.Token, why))
		}
	}
	return out
}

func broken(e Entry, o *Outcome) string {
	switch {
	case o == nil:
		return "was acknowledged and is not stored"
	case o.End() == "":
		return fmt.Sprintf("never ended: %v", o.Types)
	case e.Cancelled && o.End() != "cancelled":
		return fmt.Sprintf("its cancellation was acknowledged, yet it ended %s: %v", o.End(), o.Types)
	case e.Token == tokDeclined && o.End() != "cancelled":
		return fmt.Sprintf("ended %s without being paid", o.End())
	case o.End() == "cancelled" && e.Token != tokDeclined && !e.Asked && !e.Scarce:
		return "was cancelled for no reason of the customer: " + o.Reason
	}
	return ""
}
