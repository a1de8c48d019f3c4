package flow_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/flow"
	"github.com/ordermesh/ordermesh/embedded/natsd"
)

// What is no input goes to the dead letters with its subject and reason, and does
// not stop its neighbours.
func TestPoisonIsBuried(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var effects book
	def := steps("one", 1, &effects)
	w.work(def)
	admin := w.broker.Dial(t)
	letters := make(chan jetstream.Msg, 10)
	consumer, err := admin.JetStream().CreateConsumer(within(t), contract.DLQStream, jetstream.ConsumerConfig{AckPolicy: jetstream.AckNonePolicy})
	if err != nil {
		t.Fatal(err)
	}
	feed, err := consumer.Consume(func(m jetstream.Msg) { letters <- m }, jetstream.PullExpiry(time.Second), jetstream.PullHeartbeat(500*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { feed.Stop(); <-feed.Closed() })
	for _, header := range []nats.Header{
		{"X-Kind": {"no kind at all"}},
		{"Mesh-Flow": {"start"}, "Mesh-Flow-Version": {"minus one"}},
	} {
		subject := contract.FlowInput(service, 3, "one", "bad")
		if _, err := admin.Appender().Append(within(t), &nats.Msg{Subject: subject, Header: header, Data: []byte("\x00\xff")}, bus.NoExpectation); err != nil {
			t.Fatal(err)
		}
		m := <-letters
		if m.Headers().Get("Mesh-Dead-Subject") != subject || m.Headers().Get("Mesh-Dead-Reason") == "" || m.Headers().Get("Mesh-Dead-Sequence") == "" || string(m.Data()) != "\x00\xff" {
			t.Errorf("dead letter %v %q", m.Headers(), m.Data())
		}
	}
	if _, err := flow.Do(within(t), w.client, def, "good", args{}); err != nil {
		t.Error(err)
	}
	bustest.Eventually(t, patience, func() bool {
		info, err := admin.JetStream().Consumer(within(t), contract.FlowStream, service+"-3")
		return err == nil && info.CachedInfo().NumAckPending == 0
	}, "the poison to be taken out of the inbox")
}

// Two versions of a flow live side by side, and a version or a flow that a worker
// does not know waits for one that does.
func TestUnknownVersionsAreHandedBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	version := func(n int) flow.Definition[args, result] {
		return flow.Define("evolving", n, func(run *flow.Run, _ args) (result, error) {
			return flow.Step(run, "say", value(result{strings.Repeat("v", n)}))
		})
	}
	var effects book
	other := steps("other", 1, &effects)
	old := w.work(version(1))
	if out, err := flow.Do(within(t), w.client, version(1), "a", args{}); err != nil || out.Text != "v" {
		t.Fatalf("got %+v, %v", out, err)
	}
	h, err := flow.Start(within(t), w.client, version(2), "b", args{})
	if err != nil {
		t.Fatal(err)
	}
	o, err := flow.Start(within(t), w.client, other, "c", args{"x"})
	if err != nil {
		t.Fatal(err)
	}
	bustest.Eventually(t, patience, func() bool { // both inputs have come and gone back
		pending := 0
		for p := range 16 {
			c, err := w.broker.Dial(t).JetStream().Consumer(within(t), contract.FlowStream, service+"-"+itoa(p))
			if err != nil {
				return false
			}
			pending += c.CachedInfo().NumAckPending
		}
		return pending == 2
	}, "the old worker to have seen both")
	if s := w.state("evolving", "b", flow.Pending); len(s.Steps) > 0 {
		t.Errorf("state %+v", s)
	}
	w.work(version(1), version(2), other)
	old.stop()
	if out, err := h.Result(within(t)); err != nil || out.Text != "vv" {
		t.Errorf("got %+v, %v", out, err)
	}
	if out, err := o.Result(within(t)); err != nil || out.Text != "x0" {
		t.Errorf("got %+v, %v", out, err)
	}
}

// The number of partitions belongs to the stream, and a worker that disagrees does
// not start.
func TestPartitionsCannotChange(t *testing.T) {
	t.Parallel()
	specs := streams()
	b := bustest.Server(t, bustest.WithStreams(specs...))
	var effects book
	def := steps("one", 1, &effects)
	w, err := flow.NewWorker(b.Dial(t), service, []flow.Registered{def}, flow.WithPartitions(4))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Run(within(t)); err == nil || !strings.Contains(err.Error(), "16") || !strings.Contains(err.Error(), "4") {
		t.Errorf("got %v, want an error that names both numbers", err)
	}

	for i := range specs {
		if specs[i].Name == contract.FlowStream {
			specs[i].Metadata = map[string]string{"mesh-flow-partitions": "4"}
		}
	}
	small := bustest.Server(t, bustest.WithStreams(specs...))
	start(t, small.Dial(t, bustest.WithService(service)), []flow.Registered{def}, flow.WithPartitions(4))
	c := flow.NewClient(small.Dial(t), service)
	for i := range 20 {
		if _, err := flow.Do(within(t), c, def, "i"+itoa(i), args{}); err != nil {
			t.Fatal(err)
		}
	}
}

// A worker may be there before its stream.
func TestAWorkerWaitsForItsStream(t *testing.T) {
	t.Parallel()
	b := bustest.Server(t)
	var effects book
	def := steps("one", 1, &effects)
	conn := b.Dial(t, bustest.WithService(service))
	w, err := flow.NewWorker(conn, service, []flow.Registered{def})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(within(t))
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	c := flow.NewClient(b.Dial(t), service)
	if _, err := flow.Start(within(t), c, def, "a", args{}); !errors.Is(err, contract.ErrUnavailable) {
		t.Errorf("start without a stream: %v", err)
	}
	if err := bus.Provision(within(t), conn, streams(), 1); err != nil {
		t.Fatal(err)
	}
	<-w.Ready()
	if _, err := flow.Do(within(t), c, def, "a", args{}); err != nil {
		t.Error(err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A service runs and starts its flows with the permissions that its descriptor gives.
func TestThePermissionsSuffice(t *testing.T) {
	t.Parallel()
	desc := contract.Service{Name: service, Flows: []contract.FlowInfo{{Name: "one", Version: 1}}}
	allowed := desc.Permissions(contract.Development)
	b := bustest.Server(t, bustest.WithServices(desc), bustest.WithServer(natsd.Config{DefaultUser: "admin", Users: []natsd.User{
		{Name: "admin", Admin: true},
		{Name: service, Password: "secret", Publish: allowed.Publish, Subscribe: allowed.Subscribe, AllowResponses: allowed.Responses},
	}}))
	conn := b.Dial(t, bustest.WithService(service), bustest.WithUser(service, "secret"))
	denied := make(chan bus.Denied, 100)
	t.Cleanup(conn.WatchDenied(func(d bus.Denied) { denied <- d }))
	var effects book
	def := steps("one", 3, &effects)
	start(t, conn, []flow.Registered{def})
	c := flow.NewClient(conn, service)
	for range 2 {
		if out, err := flow.Do(within(t), c, def, "a", args{"x"}); err != nil || out.Text != "x012" {
			t.Fatalf("got %+v, %v", out, err)
		}
	}
	if err := c.Cancel(within(t), "one", "a", ""); !errors.Is(err, flow.ErrEnded) {
		t.Error(err)
	}
	if _, err := c.List(within(t), flow.Query{}); err != nil {
		t.Error(err)
	}
	select {
	case d := <-denied:
		t.Error(d)
	default:
	}
}

// The last word of a former owner moves the journal on under its new owner. It is
// still the owner, so it reads the journal again and goes on from there.
func TestTheLastWordOfAFormerOwner(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var effects book
	reached, gate := make(chan struct{}, 9), make(chan struct{})
	def := flow.Define("moved", 1, func(run *flow.Run, in args) (result, error) {
		text := in.Text
		for _, step := range []string{"one", "two", "three"} {
			s, err := flow.Step(run, step, func(context.Context) (string, error) {
				effects.note(step, run.Key(step))
				if step == "two" {
					reached <- struct{}{}
					<-gate
				}
				return step[:1], nil
			})
			if err != nil {
				return result{}, err
			}
			text += s
		}
		return result{text}, nil
	})
	w.work(def)
	h, err := flow.Start(within(t), w.client, def, "a", args{"x"})
	if err != nil {
		t.Fatal(err)
	}
	<-reached
	w.state("moved", "a", flow.Running) // the first record is stored
	admin := w.broker.Dial(t)
	stream, err := admin.JetStream().Stream(within(t), contract.FlowStream)
	if err != nil {
		t.Fatal(err)
	}
	subject := contract.FlowLog(service, "moved", "a")
	last, err := stream.GetLastMsgForSubject(within(t), subject)
	if err != nil {
		t.Fatal(err)
	}
	foreign := strings.Replace(string(last.Data), `"writer":"`, `"writer":"former.`, 1)
	foreign = strings.Replace(foreign, `}]`, `},{"i":1,"kind":"step","name":"two","tries":1,"out":"T"}]`, 1)
	if _, err := admin.Appender().Append(within(t), &nats.Msg{Subject: subject, Data: []byte(foreign)}, last.Sequence); err != nil {
		t.Fatal(err)
	}
	close(gate)
	if out, err := h.Result(within(t)); err != nil || out.Text != "xoTt" {
		t.Errorf("got %+v, %v, want the former owner's result of the second step", out, err)
	}
	if n := effects.count("one"); n != 1 {
		t.Errorf("the first step ran %d times", n)
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var effects book
	one, two := steps("one", 1, &effects), steps("two", 1, &effects)
	bad := flow.Define("bad", 1, func(*flow.Run, args) (result, error) { return result{}, errTaken })
	w.work(one, two, bad)
	for i := range 5 {
		for _, def := range []flow.Definition[args, result]{one, two} {
			if _, err := flow.Do(within(t), w.client, def, "i"+itoa(i), args{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	_, _ = flow.Do(within(t), w.client, bad, "i0", args{})
	for name, c := range map[string]struct {
		query flow.Query
		want  int
	}{
		"all": {flow.Query{}, 11}, "by name": {flow.Query{Flow: "one"}, 5}, "by status": {flow.Query{Status: flow.Failed}, 1},
		"both": {flow.Query{Flow: "one", Status: flow.Failed}, 0}, "limited": {flow.Query{Limit: 3}, 3},
	} {
		list, err := w.client.List(within(t), c.query)
		if err != nil || len(list) != c.want {
			t.Errorf("%s: %d, %v", name, len(list), err)
		}
	}
}
