package chaos

import (
	"context"
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
	reader reader
}

// NewFold starts at the stream's beginning.
func NewFold() *Fold { return &Fold{Orders: map[string]*Outcome{}, reader: newReader("ORDERS")} }

// Advance reads to the stream's present end.
func (f *Fold) Advance(ctx context.Context, js jetstream.JetStream) error {
	return f.reader.advance(ctx, js, f.apply)
}

func (f *Fold) apply(msg jetstream.Msg, _ *jetstream.MsgMetadata) error {
	id := strings.TrimPrefix(msg.Subject(), "evt.order.")
	commit, err := contract.DecodeCommit(msg.Data())
	if err != nil {
		return err
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
