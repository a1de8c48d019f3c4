package flow_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/flow"
	"github.com/ordermesh/ordermesh/embedded/natsd"
)

// big is a text of n KiB that says what it is.
func big(what string, n int) string { return strings.Repeat(what+" ", n<<10)[:n<<10] }

// objects lists the names in the object store. The client library's list waits for ever
// when the last object goes meanwhile.
func (w *world) objects() []string {
	w.t.Helper()
	stream, err := w.broker.Dial(w.t, bustest.WithService("onlooker")).JetStream().Stream(within(w.t), "OBJ_"+contract.FlowPayloads)
	if err != nil {
		w.t.Fatal(err)
	}
	var names []string
	for sequence := uint64(1); ; {
		m, err := stream.GetMsg(within(w.t), sequence, jetstream.WithGetMsgSubject("$O."+contract.FlowPayloads+".M.>"))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return names
		}
		if err != nil {
			w.t.Fatal(err)
		}
		var info jetstream.ObjectInfo
		if err := json.Unmarshal(m.Data, &info); err != nil {
			w.t.Fatal(err)
		}
		names, sequence = append(names, info.Name), m.Sequence+1
	}
}

// largest is the size of the largest message in the stream.
func (w *world) largest() int {
	w.t.Helper()
	stream, err := w.broker.Dial(w.t, bustest.WithService("onlooker")).JetStream().Stream(within(w.t), contract.FlowStream)
	if err != nil {
		w.t.Fatal(err)
	}
	largest := 0
	for sequence := uint64(1); ; {
		m, err := stream.GetMsg(within(w.t), sequence, jetstream.WithGetMsgSubject("flow.>"))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return largest
		}
		if err != nil {
			w.t.Fatal(err)
		}
		largest, sequence = max(largest, len(m.Data)), m.Sequence+1
	}
}

// large takes a large input, has a large result of a step and a large signal, and
// returns all of it.
func large(effects *book, gate <-chan struct{}) flow.Definition[args, result] {
	return flow.Define("large", 1, func(run *flow.Run, in args) (result, error) {
		made, err := flow.Step(run, "make", func(context.Context) (string, error) {
			effects.note("make", run.Key("make"))
			return big("made", 700), nil
		})
		if err != nil {
			return result{}, err
		}
		told, err := flow.Await[string](run, "tell", 0)
		if err != nil {
			return result{}, err
		}
		_, err = flow.Step(run, "wait", func(ctx context.Context) (int, error) {
			select {
			case <-gate:
				return 1, nil
			case <-ctx.Done():
				return 0, ctx.Err()
			}
		})
		return result{in.Text + made + told}, err
	})
}

// Large inputs, results and signals are kept beside the stream, and a replay and every
// client find them.
func TestLargeValuesAreKeptBesideTheStream(t *testing.T) {
	t.Parallel()
	bustest.Each(t, func(t *testing.T, b *bustest.Broker) {
		w := worldOn(t, b)
		var effects book
		gate := make(chan struct{})
		def := large(&effects, gate)
		first := w.work(def)
		in, told := args{big("in", 300)}, big("told", 2000)
		want := in.Text + big("made", 700) + told
		h, err := flow.Start(within(t), w.client, def, "a", in)
		if err != nil {
			t.Fatal(err)
		}
		w.state("large", "a", flow.Waiting)
		for range 2 {
			if err := w.client.Signal(within(t), "large", "a", "tell", "1", told); err != nil {
				t.Fatal(err)
			}
		}
		bustest.Eventually(t, patience, func() bool {
			s, err := w.client.Get(within(t), "large", "a")
			return err == nil && len(s.Steps) == 2 && s.Steps[1].Done
		}, "the signal to be stored")
		first.stop() // the next worker replays from what is stored
		w.work(def)
		close(gate)
		got, err := h.Result(within(t))
		if err != nil || got.Text != want {
			t.Fatalf("the result has %d bytes, want %d: %v", len(got.Text), len(want), err)
		}
		if n := effects.count("make"); n != 1 {
			t.Errorf("the step ran %d times", n)
		}
		again, err := flow.Do(within(t), w.client, def, "a", in)
		if err != nil || again.Text != want {
			t.Errorf("a second start got %d bytes: %v", len(again.Text), err)
		}
		if _, err := flow.Do(within(t), w.client, def, "a", args{big("other", 300)}); !errors.Is(err, flow.ErrOtherInput) {
			t.Errorf("another large input: %v", err)
		}
		if _, err := flow.Start(within(t), w.client, def, "a", args{"small"}); !errors.Is(err, flow.ErrOtherInput) {
			t.Errorf("another small input: %v", err)
		}
		if n := w.largest(); n > contract.MaxRequestBytes {
			t.Errorf("the stream has a message of %d bytes", n)
		}
		if h, err := w.client.History(within(t), "large", "a"); err != nil || h.Check(within(t), def) != nil {
			t.Errorf("the history: %v, %v", err, h.Check(within(t), def))
		}
		// Input, signal, result of the step and of the flow, and the input that was refused.
		if names := w.objects(); len(names) != 5 {
			t.Errorf("%d objects: %v", len(names), names)
		}
	}, bustest.WithStreams(streams()...))
}

// A child's large result is its parent's, too; a generation has a large input.
func TestLargeValuesOfChildrenAndGenerations(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	child := flow.Define("child", 1, func(_ *flow.Run, in args) (result, error) {
		return result{in.Text + big("child", 400)}, nil
	})
	parent := flow.Define("parent", 1, func(run *flow.Run, in args) (result, error) {
		if in.Text == "" {
			return flow.ContinueAsNew[result](run, args{big("next", 300)})
		}
		c, err := flow.StartChild(run, child, run.ID()+"-child", in)
		if err != nil {
			return result{}, err
		}
		return c.Await()
	})
	w.work(parent, child)
	want := big("next", 300) + big("child", 400)
	got, err := flow.Do(within(t), w.client, parent, "p", args{})
	if err != nil || got.Text != want {
		t.Fatalf("got %d bytes, want %d: %v", len(got.Text), len(want), err)
	}
	if got, err := flow.Result[result](within(t), w.client, "child", "p-child"); err != nil || got.Text != want {
		t.Errorf("the child has %d bytes: %v", len(got.Text), err)
	}
	if n := w.largest(); n > contract.MaxRequestBytes {
		t.Errorf("the stream has a message of %d bytes", n)
	}
}

// What is too large is refused by name, and a value that has gone parks the flow.
func TestValuesThatCannotBeKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	def := flow.Define("plain", 1, func(run *flow.Run, in args) (result, error) {
		_, err := flow.Await[string](run, "go", time.Hour)
		return result{in.Text[:5]}, err
	})
	first := w.work(def)
	_, err := flow.Start(within(t), w.client, def, "a", args{big("x", 17<<10)})
	if !errors.Is(err, contract.ErrInvalid) || !strings.Contains(err.Error(), "input") || !strings.Contains(err.Error(), "16777216") {
		t.Errorf("an input of 17 MiB: %v", err)
	}
	h, err := flow.Start(within(t), w.client, def, "b", args{big("x", 300)})
	if err != nil {
		t.Fatal(err)
	}
	w.state("plain", "b", flow.Waiting)
	err = w.client.Signal(within(t), "plain", "b", "go", "1", big("x", 17<<10))
	if !errors.Is(err, contract.ErrInvalid) || !strings.Contains(err.Error(), "signal") {
		t.Errorf("a signal of 17 MiB: %v", err)
	}
	first.stop()
	store, err := w.broker.Dial(t).JetStream().ObjectStore(within(t), contract.FlowPayloads)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range w.objects() {
		if err := store.Delete(within(t), name); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.client.Signal(within(t), "plain", "b", "go", "1", "now"); err != nil {
		t.Fatal(err)
	}
	w.work(def)
	if _, err := h.Result(within(t)); !errors.Is(err, flow.ErrStuck) || !strings.Contains(err.Error(), "object store") {
		t.Errorf("without its input: %v", err)
	}
}

// A service and its callers keep large values, and let go of them, with the permissions
// of their descriptors.
func TestThePermissionsSufficeForLargeValues(t *testing.T) {
	t.Parallel()
	runs := contract.Service{Name: service, Flows: []contract.FlowInfo{{Name: "large", Version: 1}}}
	calls := contract.Service{Name: "caller", Starts: []string{service}}
	users := []natsd.User{{Name: "admin", Admin: true}}
	for _, s := range []contract.Service{runs, calls} {
		p := s.Permissions(contract.Production)
		users = append(users, natsd.User{Name: s.Name, Password: "secret", Publish: p.Publish, Subscribe: p.Subscribe, AllowResponses: p.Responses})
	}
	b := bustest.Server(t, bustest.WithServices(runs, calls), bustest.WithServer(natsd.Config{DefaultUser: "admin", Users: users}))
	denied := make(chan bus.Denied, 100)
	dial := func(name string) *bus.Conn {
		conn := b.Dial(t, bustest.WithService(name), bustest.WithUser(name, "secret"))
		t.Cleanup(conn.WatchDenied(func(d bus.Denied) { denied <- d }))
		return conn
	}
	var effects book
	gate := make(chan struct{})
	close(gate)
	def := large(&effects, gate)
	conn := b.Dial(t, bustest.WithService(service)) // makes the consumers, as an operator does
	start(t, conn, []flow.Registered{def}).stop()
	start(t, dial(service), []flow.Registered{def}, flow.WithKeep(2*time.Second), flow.WithOrphans(time.Millisecond))
	c := flow.NewClient(dial("caller"), service)
	h, err := flow.Start(within(t), c, def, "a", args{big("in", 300)})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Signal(within(t), "large", "a", "tell", "1", big("told", 300)); err != nil {
		t.Fatal(err)
	}
	(&world{t: t, broker: b, client: c}).state("large", "a", flow.Completed)
	if got, err := h.Result(within(t)); err != nil || len(got.Text) != 1300<<10 {
		t.Errorf("got %d bytes: %v", len(got.Text), err)
	}
	w := &world{t: t, broker: b, client: c}
	w.condensed("large", "a")
	bustest.Eventually(t, patience, func() bool { return len(w.objects()) == 1 }, "all values but the result to go")
	if got, err := h.Result(within(t)); err != nil || len(got.Text) != 1300<<10 {
		t.Errorf("after that: %d bytes, %v", len(got.Text), err)
	}
	select {
	case d := <-denied:
		t.Error(d)
	default:
	}
}
