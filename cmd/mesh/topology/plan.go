package topology

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/contract"
)

// What a plan says of one stream, bucket or consumer.
const (
	Keep   = "keep"
	Create = "create"
	Update = "update"
	Refuse = "refuse" // it needs a person: applying it would lose something, or cannot be done
)

// Difference is one field that is not as it should be.
type Difference struct {
	Field   string `json:"field"`
	Is      string `json:"is"`
	Should  string `json:"should"`
	Refused string `json:"refused,omitzero"` // why apply leaves it alone
}

// String is one sentence.
func (d Difference) String() string {
	text := fmt.Sprintf("%s is %s, should be %s", d.Field, d.Is, d.Should)
	if d.Refused != "" {
		text += " (" + d.Refused + ")"
	}
	return text
}

// Item is what a plan says of one thing, and what [Planner.Apply] sends to make it so.
type Item struct {
	Kind        string       `json:"kind"` // stream, bucket, objects or consumer
	Name        string       `json:"name"` // of a consumer "<stream> > <durable>"
	Action      string       `json:"action"`
	Differences []Difference `json:"differences,omitzero"`

	stream   *jetstream.StreamConfig
	consumer *jetstream.ConsumerConfig
	of       string // the consumer's stream
}

// String names the thing.
func (p Item) String() string { return p.Kind + " " + p.Name }

// Planner compares a mesh with what its descriptors say.
type Planner struct {
	JetStream jetstream.JetStream
	Replicas  int
	More      bool // more copies than needed are no difference
}

// Plan looks at every stream and consumer and changes nothing. A consumer whose stream
// is missing is to be created as well.
func (p Planner) Plan(ctx context.Context, streams []contract.StreamSpec, consumers []contract.ConsumerSpec) ([]Item, error) {
	var items []Item
	missing := map[string]bool{}
	for _, spec := range streams {
		item, err := p.planStream(ctx, spec)
		if err != nil {
			return nil, err
		}
		missing[spec.StreamName()] = item.Action == Create
		items = append(items, item)
	}
	for _, spec := range consumers {
		item, err := p.planConsumer(ctx, spec, missing[spec.Stream])
		if err != nil {
			return nil, err
		}
		items = append(items, item)
	}
	return items, nil
}

func (p Planner) planStream(ctx context.Context, spec contract.StreamSpec) (Item, error) {
	want := bus.StreamConfig(spec, p.Replicas)
	item := Item{Kind: kindOf(spec), Name: spec.Name, Action: Create, stream: &want}
	is, err := p.lookAtStream(ctx, spec.StreamName())
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return item, nil
	}
	if err != nil {
		return item, fmt.Errorf("look at %s: %w", item, err)
	}
	if p.More {
		want.Replicas = max(want.Replicas, is.Replicas)
	}
	changed := is
	item.Differences = compareFields(streamFields(spec), &is, &want, &changed)
	item.settle()
	item.stream = &changed
	return item, nil
}

func (p Planner) lookAtStream(ctx context.Context, name string) (jetstream.StreamConfig, error) {
	var cfg jetstream.StreamConfig
	err := p.insist(ctx, func(ctx context.Context) error {
		stream, err := p.JetStream.Stream(ctx, name)
		if err == nil {
			cfg = stream.CachedInfo().Config
		}
		return err
	})
	return cfg, err
}

func (p Planner) planConsumer(ctx context.Context, spec contract.ConsumerSpec, noStream bool) (Item, error) {
	want := bus.ConsumerConfig(spec)
	item := Item{Kind: "consumer", Name: spec.Stream + " > " + spec.Name, Action: Create, consumer: &want, of: spec.Stream}
	if noStream {
		return item, nil
	}
	var is jetstream.ConsumerConfig
	err := p.insist(ctx, func(ctx context.Context) error {
		consumer, err := p.JetStream.Consumer(ctx, spec.Stream, spec.Name)
		if err == nil {
			is = consumer.CachedInfo().Config
		}
		return err
	})
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return item, nil
	}
	if err != nil {
		return item, fmt.Errorf("look at %s: %w", item, err)
	}
	changed := is
	item.Differences = compareFields(consumerFields(p.Replicas), &is, &want, &changed)
	item.settle()
	item.consumer = &changed
	return item, nil
}

// settle derives the action from the differences.
func (p *Item) settle() {
	refused := func(d Difference) bool { return d.Refused != "" }
	switch {
	case len(p.Differences) == 0:
		p.Action = Keep
	case slices.ContainsFunc(p.Differences, refused):
		p.Action = Refuse
	default:
		p.Action = Update
	}
}

// codeNoPeers: too few servers of the cluster are there for the copies; they may still
// be starting.
const codeNoPeers = 10005

// insist repeats a request while the server has no JetStream leader that could answer.
func (p Planner) insist(ctx context.Context, f func(context.Context) error) error {
	for {
		try, cancel := context.WithTimeout(ctx, 2*time.Second)
		err := f(try)
		cancel()
		var api *jetstream.APIError
		unanswered := errors.Is(err, context.DeadlineExceeded) || errors.Is(err, jetstream.ErrNoStreamResponse) ||
			(errors.As(err, &api) && (api.Code == 503 || api.ErrorCode == codeNoPeers))
		if err == nil || !unanswered || ctx.Err() != nil {
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func kindOf(spec contract.StreamSpec) string {
	switch {
	case spec.KV:
		return "bucket"
	case spec.Objects:
		return "objects"
	}
	return "stream"
}

// Tally counts what a plan would do.
type Tally struct {
	Create  int `json:"create"`
	Update  int `json:"update"`
	Refused int `json:"refused"`
}

// Count adds a plan up.
func Count(items []Item) Tally {
	var t Tally
	for _, item := range items {
		switch item.Action {
		case Create:
			t.Create++
		case Update:
			t.Update++
		case Refuse:
			t.Refused++
		}
	}
	return t
}

// Differing are the items that are not as they should be.
func Differing(items []Item) []Item {
	return slices.DeleteFunc(slices.Clone(items), func(p Item) bool { return p.Action == Keep })
}

// Problems says each difference in one sentence. Missing consumers share one, for there
// are many.
func Problems(items []Item) []string {
	var list, consumers []string
	for _, item := range items {
		switch {
		case item.Action == Create && item.Kind == "consumer":
			consumers = append(consumers, item.Name)
		case item.Action == Create:
			list = append(list, item.String()+" is missing")
		}
		for _, d := range item.Differences {
			list = append(list, item.String()+": "+d.String())
		}
	}
	if len(consumers) > 0 {
		list = append(list, "consumers are missing: "+strings.Join(consumers, ", "))
	}
	return list
}

// Names says what each item is.
func Names(items []Item) []string {
	names := make([]string, len(items))
	for i, item := range items {
		names[i] = item.String()
	}
	return names
}

// Refusals are the differences that keep a plan from being applied.
func Refusals(items []Item) []string {
	var list []string
	for _, item := range items {
		for _, d := range item.Differences {
			if d.Refused != "" {
				list = append(list, item.String()+": "+d.String())
			}
		}
	}
	return list
}

// Apply makes one thing as it was planned. Somebody else may be doing the same.
func (p Planner) Apply(ctx context.Context, item Item) error {
	err := p.insist(ctx, func(ctx context.Context) error {
		var err error
		switch {
		case item.consumer != nil && item.Action == Create:
			_, err = p.JetStream.CreateConsumer(ctx, item.of, *item.consumer)
		case item.consumer != nil:
			_, err = p.JetStream.UpdateConsumer(ctx, item.of, *item.consumer)
		case item.Action == Create:
			_, err = p.JetStream.CreateStream(ctx, *item.stream)
		default:
			_, err = p.JetStream.UpdateStream(ctx, *item.stream)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("%s %s: %w", item.Action, item, err)
	}
	return nil
}
