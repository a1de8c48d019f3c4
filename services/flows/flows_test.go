package flows_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/flow"
	"github.com/ordermesh/ordermesh/bus/rpc"
	"github.com/ordermesh/ordermesh/bus/telemetry"
	wire "github.com/ordermesh/ordermesh/contracts/flows"
	"github.com/ordermesh/ordermesh/embedded/natsd"
	"github.com/ordermesh/ordermesh/services/flows"
)

const patience = 60 * time.Second

func TestMain(m *testing.M) { bustest.Main(m) }

// hosts are the services whose flows are steered.
var hosts = []contract.Service{
	{Name: "shop", Flows: []contract.FlowInfo{{Name: "sell", Version: 2}, {Name: "count", Version: 1}}},
	{Name: "farm", Flows: []contract.FlowInfo{{Name: "grow", Version: 1}}},
	{Name: "idle"},
}

// job is what the flows of these tests do: "ok", "fail", "hold" until cancelled, "wait"
// for two signals, or "stuck" until it is mended and retried.
type job struct {
	Do string `json:"do"`
}

// Validate refuses a job that asks for nothing in so many words.
func (j job) Validate() error {
	if j.Do == "nothing" {
		return contract.ErrInvalid.At("/do").Sayf("do must be something")
	}
	return nil
}

type done struct {
	Did string `json:"did"`
	As  string `json:"as"`
}

// world is a broker with workers and two instances of the flows service, which run
// with the rights that their descriptor gives and no more.
type world struct {
	broker *bustest.Broker
	client *rpc.Client
	mended sync.Map // ids of flows that are not stuck any more
	undone sync.Map // ids of flows that were compensated
}

func newWorld(t *testing.T, cfg flows.Config) *world {
	t.Helper()
	allowed := wire.Descriptor.Permissions(contract.Production)
	w := &world{broker: bustest.Server(t, bustest.WithServices(hosts...), bustest.WithServer(natsd.Config{DefaultUser: "admin", Users: []natsd.User{
		{Name: "admin", Admin: true},
		{Name: "flows", Password: "p", Publish: allowed.Publish, Subscribe: allowed.Subscribe, AllowResponses: allowed.Responses},
	}}))}
	w.client = rpc.NewClient(w.broker.Dial(t))
	cfg.Services = hosts
	cfg.Definitions = map[string][]flow.Registered{"shop": {flow.Define("sell", 1, never), flow.Define("sell", 2, w.run)}}
	var services []*flows.Service
	for range 2 {
		conn := w.broker.Dial(t, bustest.WithService("flows"), bustest.WithUser("flows", "p"))
		t.Cleanup(conn.WatchDenied(func(d bus.Denied) { t.Error(d) }))
		s, err := flows.New(conn, cfg)
		if err != nil {
			t.Fatal(err)
		}
		services = append(services, s)
	}
	bustest.Run(t, services...)
	return w
}

// work runs the flows of a service.
func (w *world) work(t *testing.T, service string, names ...string) {
	t.Helper()
	var list []flow.Registered
	for _, name := range names {
		version := 1
		if name == "sell" {
			version = 2
		}
		list = append(list, flow.Define(name, version, w.run))
	}
	worker, err := flow.NewWorker(w.broker.Dial(t, bustest.WithService(service)), service, list)
	if err != nil {
		t.Fatal(err)
	}
	bustest.Run(t, worker)
}

func (w *world) run(run *flow.Run, in job) (done, error) {
	switch in.Do {
	case "wait":
		return told(run)
	case "long":
		return long(run)
	}
	if in.Do == "stuck" {
		flow.Compensate(run, "mend", func(context.Context) error {
			if _, ok := w.mended.Load(run.ID()); !ok {
				return contract.NewError(contract.Conflict, "broken", "it is broken")
			}
			return nil
		})
	} else {
		flow.Compensate(run, "undo", func(context.Context) error {
			w.undone.Store(run.ID(), true)
			return nil
		})
	}
	out, err := flow.Step(run, "work", func(ctx context.Context) (done, error) {
		switch in.Do {
		case "fail", "stuck":
			return done{}, contract.NewError(contract.Unprocessable, "no_use", "it makes no sense")
		case "hold":
			return done{}, errors.New("not yet")
		}
		return done{Did: in.Do, As: telemetry.ActorFrom(ctx).Who}, nil
	}, flow.WithRetry(flow.Retry{First: 5 * time.Millisecond, Max: 50 * time.Millisecond}))
	return out, err
}

// never is an older version, with another input.
func never(*flow.Run, int) (int, error) { return 0, errors.New("it was never started") }

// long takes many steps and has a result that no message carries.
func long(run *flow.Run) (done, error) {
	for i := range manySteps {
		if _, err := flow.Step(run, fmt.Sprint("step-", i), func(context.Context) (int, error) { return i, nil }); err != nil {
			return done{}, err
		}
	}
	return done{Did: strings.Repeat("x", largeResult)}, nil
}

const manySteps, largeResult = 1200, 1 << 20

// told waits for two words and returns both.
func told(run *flow.Run) (done, error) {
	var all done
	for range 2 {
		run.Report(map[string]string{"so_far": all.Did})
		word, err := flow.Await[job](run, "word", time.Hour)
		if err != nil {
			return all, err
		}
		all.Did += word.Do
	}
	return all, nil
}

func input(do string) contract.Raw { return contract.Raw(fmt.Sprintf(`{"do":%q}`, do)) }

func (w *world) start(t *testing.T, service, name, id, do string) wire.Instance {
	t.Helper()
	return call(t, w, wire.Start, wire.StartFlow{Service: service, Flow: name, ID: id, Input: input(do)})
}

func call[Req, Resp any](t *testing.T, w *world, m contract.Method[Req, Resp], req Req) Resp {
	t.Helper()
	resp, err := rpc.Call(t.Context(), w.client, m, req)
	if err != nil {
		t.Fatalf("%s %+v: %v", m.Info().FullName(), req, err)
	}
	return resp
}

// refused asserts that a call is refused with an error and a field.
func refused[Req, Resp any](t *testing.T, w *world, m contract.Method[Req, Resp], req Req, want *contract.Error, field string) {
	t.Helper()
	_, err := rpc.Call(t.Context(), w.client, m, req)
	if e := contract.AsError(err); !errors.Is(err, want) || e.Field != field {
		t.Errorf("%s %+v: %v, want %v at %s", m.Info().FullName(), req, err, want, field)
	}
}

// until waits until an instance has a status.
func (w *world) until(t *testing.T, service, name, id string, status wire.Status) wire.Instance {
	t.Helper()
	var found wire.Instance
	bustest.Eventually(t, patience, func() bool {
		found = call(t, w, wire.Get, wire.Ref{Service: service, Flow: name, ID: id})
		return found.Status == status
	}, name, " ", id, " to be ", status)
	return found
}

func TestStartAndGet(t *testing.T) {
	t.Parallel()
	w := newWorld(t, flows.Config{})
	before := time.Now().Add(-time.Second)
	first := w.start(t, "shop", "sell", "1", "ok")
	if first.Status != wire.Pending || first.Service != "shop" || first.Flow != "sell" || first.ID != "1" || first.StartedAt.Before(before) {
		t.Errorf("without a worker: %+v", first)
	}
	w.work(t, "shop", "sell")
	end := w.until(t, "shop", "sell", "1", wire.Completed)
	if string(end.Result) != `{"did":"ok","as":""}` || end.Version != 2 || !end.StartedAt.Equal(first.StartedAt) || len(end.Steps) != 1 {
		t.Errorf("%+v", end)
	}
	if step := end.Steps[0]; step.Name != "work" || step.Kind != "step" || !step.Done || step.Attempts != 1 || step.At.IsZero() {
		t.Errorf("%+v", step)
	}
	if again := w.start(t, "shop", "sell", "1", "ok"); again.Status != wire.Completed || string(again.Result) != string(end.Result) {
		t.Errorf("started again: %+v", again)
	}
	spaced := call(t, w, wire.Start, wire.StartFlow{Service: "shop", Flow: "sell", ID: "1", Input: contract.Raw("{ \"do\" :\n\"ok\" }")})
	if spaced.Status != wire.Completed {
		t.Errorf("the same input with other spaces: %+v", spaced)
	}
	refused(t, w, wire.Start, wire.StartFlow{Service: "shop", Flow: "sell", ID: "1", Input: input("fail")}, wire.ErrOtherInput, "/input")
	refused(t, w, wire.Start, wire.StartFlow{Service: "shop", Flow: "sell", ID: "1"}, wire.ErrOtherInput, "/input")
	call(t, w, wire.Start, wire.StartFlow{Service: "shop", Flow: "sell", ID: "2"})
	if bare := w.until(t, "shop", "sell", "2", wire.Completed); string(bare.Result) != `{"did":"","as":""}` {
		t.Errorf("without input: %s", bare.Result)
	}
	w.start(t, "shop", "sell", "3", "fail")
	failed := w.until(t, "shop", "sell", "3", wire.Failed)
	if failed.Error == nil || *failed.Error != (wire.Problem{Code: "unprocessable", Reason: "no_use", Message: "it makes no sense"}) {
		t.Errorf("%+v", failed.Error)
	}
}

// TestLong: what does not fit into an answer is left out, and the answer says so.
func TestLong(t *testing.T) {
	t.Parallel()
	w := newWorld(t, flows.Config{})
	w.work(t, "shop", "sell")
	w.start(t, "shop", "sell", "1", "long")
	end := w.until(t, "shop", "sell", "1", wire.Completed)
	if end.Result != nil || end.ResultBytes < largeResult {
		t.Errorf("a result of %d bytes, said to have %d", len(end.Result), end.ResultBytes)
	}
	if n := len(end.Steps); n != 1000 || end.StepsBefore != manySteps-n || end.Steps[n-1].Name != "step-1199" {
		t.Errorf("%d steps after %d, the last is %+v", n, end.StepsBefore, end.Steps[n-1])
	}
}

// TestInput: what a flow could do nothing with is not started.
func TestInput(t *testing.T) {
	t.Parallel()
	w := newWorld(t, flows.Config{})
	for text, field := range map[string]string{`7`: "/input", `{"do":7}`: "/input/do", `{"do":"ok","dont":1}`: "/input/dont", `{"Do":"ok"}`: "/input/Do", `{"do":"nothing"}`: "/input/do"} {
		req := wire.StartFlow{Service: "shop", Flow: "sell", ID: "1", Input: contract.Raw(text)}
		refused(t, w, wire.Start, req, contract.ErrInvalid, field)
	}
	refused(t, w, wire.Get, wire.Ref{Service: "shop", Flow: "sell", ID: "1"}, wire.ErrUnknown, "/id")
	if free := call(t, w, wire.Start, wire.StartFlow{Service: "farm", Flow: "grow", ID: "1", Input: contract.Raw(`[1,"x"]`)}); free.Status != wire.Pending {
		t.Errorf("a flow whose input is not known here: %+v", free)
	}
}

func TestUnknown(t *testing.T) {
	t.Parallel()
	w := newWorld(t, flows.Config{})
	for _, c := range []struct {
		ref   wire.Ref
		want  *contract.Error
		field string
	}{
		{wire.Ref{Service: "nobody", Flow: "sell", ID: "1"}, wire.ErrNoService, "/service"},
		{wire.Ref{Service: "idle", Flow: "sell", ID: "1"}, wire.ErrNoService, "/service"},
		{wire.Ref{Service: "shop", Flow: "grow", ID: "1"}, wire.ErrNoFlow, "/flow"},
		{wire.Ref{Service: "shop", Flow: "sell", ID: "1"}, wire.ErrUnknown, "/id"},
	} {
		refused(t, w, wire.Get, c.ref, c.want, c.field)
		refused(t, w, wire.Retry, c.ref, c.want, c.field)
		refused(t, w, wire.Cancel, wire.CancelFlow{Service: c.ref.Service, Flow: c.ref.Flow, ID: c.ref.ID, Reason: "r"}, c.want, c.field)
		if c.field != "/id" {
			refused(t, w, wire.Start, wire.StartFlow{Service: c.ref.Service, Flow: c.ref.Flow, ID: c.ref.ID}, c.want, c.field)
		}
	}
	refused(t, w, wire.List, wire.ListFlows{Service: "nobody"}, wire.ErrNoService, "/service")
	refused(t, w, wire.List, wire.ListFlows{Flow: "nothing"}, wire.ErrNoFlow, "/flow")
	refused(t, w, wire.List, wire.ListFlows{Service: "farm", Flow: "sell"}, wire.ErrNoFlow, "/flow")
}

func TestCancelAndRetry(t *testing.T) {
	t.Parallel()
	w := newWorld(t, flows.Config{})
	w.work(t, "shop", "sell")

	w.start(t, "shop", "sell", "1", "hold")
	w.until(t, "shop", "sell", "1", wire.Running)
	refused(t, w, wire.Retry, wire.Ref{Service: "shop", Flow: "sell", ID: "1"}, wire.ErrNotStuck, "/id")
	cancel := wire.CancelFlow{Service: "shop", Flow: "sell", ID: "1", Reason: "changed my mind"}
	call(t, w, wire.Cancel, cancel)
	if end := w.until(t, "shop", "sell", "1", wire.Cancelled); end.Reason != cancel.Reason {
		t.Errorf("%+v", end)
	}
	if _, ok := w.undone.Load("1"); !ok {
		t.Error("the cancelled flow was not compensated")
	}
	refused(t, w, wire.Cancel, cancel, wire.ErrEnded, "/id")
	refused(t, w, wire.Retry, wire.Ref{Service: "shop", Flow: "sell", ID: "1"}, wire.ErrEnded, "/id")

	w.start(t, "shop", "sell", "2", "stuck")
	if stuck := w.until(t, "shop", "sell", "2", wire.Stuck); stuck.Reason == "" || stuck.Error != nil {
		t.Errorf("%+v", stuck)
	}
	w.mended.Store("2", true)
	call(t, w, wire.Retry, wire.Ref{Service: "shop", Flow: "sell", ID: "2"})
	w.until(t, "shop", "sell", "2", wire.Failed)
}

func TestSignal(t *testing.T) {
	t.Parallel()
	w := newWorld(t, flows.Config{})
	w.work(t, "shop", "sell")
	w.start(t, "shop", "sell", "1", "wait")
	waiting := w.until(t, "shop", "sell", "1", wire.Waiting)
	if wait := waiting.Wait; wait == nil || wait.Kind != "signal" || wait.Name != "word" || wait.Due.Before(time.Now()) || wait.Since.IsZero() {
		t.Errorf("%+v", wait)
	}
	if string(waiting.Report) != `{"so_far":""}` {
		t.Errorf("it reports %s", waiting.Report)
	}
	bustest.Eventually(t, patience, func() bool {
		ids, _ := w.names(t, wire.ListFlows{Status: wire.Waiting})
		return slices.Equal(ids, []string{"shop/sell/1"})
	})
	signal := wire.SignalFlow{Service: "shop", Flow: "sell", ID: "1", Signal: "word", SignalID: "s1", Data: input("a")}
	for range 3 { // a signal id is taken once
		call(t, w, wire.Signal, signal)
	}
	bustest.Eventually(t, patience, func() bool {
		now := call(t, w, wire.Get, wire.Ref{Service: "shop", Flow: "sell", ID: "1"})
		return string(now.Report) == `{"so_far":"a"}` && now.Status == wire.Waiting
	})
	early := signal
	early.Signal, early.SignalID = "later", "s2"
	call(t, w, wire.Signal, early) // nobody waits for it
	bustest.Eventually(t, patience, func() bool {
		return slices.Equal(call(t, w, wire.Get, wire.Ref{Service: "shop", Flow: "sell", ID: "1"}).Signals, []string{"later"})
	})
	signal.SignalID, signal.Data = "s3", nil
	call(t, w, wire.Signal, signal)
	if end := w.until(t, "shop", "sell", "1", wire.Completed); string(end.Result) != `{"did":"a","as":""}` {
		t.Errorf("the flow was told %s", end.Result)
	}
	refused(t, w, wire.Signal, signal, wire.ErrEnded, "/id")
	signal.ID = "nothing"
	refused(t, w, wire.Signal, signal, wire.ErrUnknown, "/id")
	signal.Flow = "grow"
	refused(t, w, wire.Signal, signal, wire.ErrNoFlow, "/flow")
}

// TestTrace: what a request starts belongs to the request's trace.
func TestTrace(t *testing.T) {
	t.Parallel()
	w := newWorld(t, flows.Config{})
	const trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	conn := w.broker.Dial(t)
	msg := nats.NewMsg(wire.Start.Subject())
	msg.Data = []byte(`{"service":"shop","flow":"sell","id":"1"}`)
	msg.Header[contract.HeaderTrace] = []string{trace}
	if _, err := conn.NATS().RequestMsg(msg, patience); err != nil {
		t.Fatal(err)
	}
	stream, err := conn.JetStream().Stream(t.Context(), contract.FlowStream)
	if err != nil {
		t.Fatal(err)
	}
	start, err := stream.GetMsg(t.Context(), stream.CachedInfo().State.LastSeq)
	if err != nil {
		t.Fatal(err)
	}
	if got := start.Header.Get(contract.HeaderTrace); !strings.Contains(got, trace[3:35]) {
		t.Errorf("the flow is in the trace %q", got)
	}
}

// TestSchedulesAreShown: a service's schedules are flows that are not started from
// outside.
func TestSchedulesAreShown(t *testing.T) {
	t.Parallel()
	w := newWorld(t, flows.Config{})
	sell := flow.Define("sell", 2, w.run)
	worker, err := flow.NewWorker(w.broker.Dial(t, bustest.WithService("shop")), "shop", []flow.Registered{sell},
		flow.WithSchedules(flow.Every("nightly", 24*time.Hour, sell, job{Do: "ok"}, flow.Skip)))
	if err != nil {
		t.Fatal(err)
	}
	bustest.Run(t, worker)
	bustest.Eventually(t, patience, func() bool {
		ids, _ := w.names(t, wire.ListFlows{Flow: wire.ScheduleFlow})
		return slices.Equal(ids, []string{"shop/schedule/nightly"})
	})
	w.until(t, "shop", wire.ScheduleFlow, "nightly", wire.Waiting)
	refused(t, w, wire.Start, wire.StartFlow{Service: "shop", Flow: wire.ScheduleFlow, ID: "hourly"}, wire.ErrNoFlow, "/flow")
}

// TestActor: a flow runs for who started it, and not for customers.
func TestActor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, flows.Config{})
	w.work(t, "shop", "sell")
	ctx := telemetry.WithActor(t.Context(), contract.Actor{Who: "ada"})
	if _, err := rpc.Call(ctx, w.client, wire.Start, wire.StartFlow{Service: "shop", Flow: "sell", ID: "1", Input: input("ok")}); err != nil {
		t.Fatal(err)
	}
	if end := w.until(t, "shop", "sell", "1", wire.Completed); string(end.Result) != `{"did":"ok","as":"ada"}` {
		t.Errorf("the step ran for %s", end.Result)
	}
	ctx = telemetry.WithActor(t.Context(), contract.Actor{Who: "gateway", For: "c1"})
	_, get := rpc.Call(ctx, w.client, wire.Get, wire.Ref{Service: "shop", Flow: "sell", ID: "1"})
	_, start := rpc.Call(ctx, w.client, wire.Start, wire.StartFlow{Service: "shop", Flow: "sell", ID: "2"})
	_, list := rpc.Call(ctx, w.client, wire.List, wire.ListFlows{})
	for _, err := range []error{get, start, list} {
		if !errors.Is(err, wire.ErrCustomer) {
			t.Errorf("for a customer: %v", err)
		}
	}
	refused(t, w, wire.Get, wire.Ref{Service: "shop", Flow: "sell", ID: "2"}, wire.ErrUnknown, "/id")
}

// names goes through a list page by page.
func (w *world) names(t *testing.T, req wire.ListFlows) (ids []string, last wire.Instances) {
	t.Helper()
	for {
		last = call(t, w, wire.List, req)
		for _, f := range last.Flows {
			ids = append(ids, f.Service+"/"+f.Flow+"/"+f.ID)
		}
		if req.Cursor = last.NextCursor; req.Cursor == "" {
			return ids, last
		}
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	w := newWorld(t, flows.Config{})
	w.work(t, "shop", "sell")
	var all, sells, stuck []string
	for i := range 12 {
		service, name, do := "shop", "sell", "ok"
		switch i % 4 {
		case 1:
			do = "stuck"
		case 2:
			name = "count" // nobody runs it
		case 3:
			service, name = "farm", "grow"
		}
		id := fmt.Sprint(100 + i)
		w.start(t, service, name, id, do)
		key := service + "/" + name + "/" + id
		all = append(all, key)
		if name == "sell" {
			sells = append(sells, key)
		}
		if do == "stuck" {
			stuck = append(stuck, key)
		}
		bustest.Eventually(t, patience, func() bool { // the next one starts in another millisecond
			return time.Since(call(t, w, wire.Get, wire.Ref{Service: service, Flow: name, ID: id}).StartedAt) > 2*time.Millisecond
		})
	}
	for _, ids := range [][]string{all, sells, stuck} {
		slices.Reverse(ids)
	}
	for _, id := range stuck {
		w.until(t, "shop", "sell", id[len("shop/sell/"):], wire.Stuck)
	}
	for _, c := range []struct {
		req  wire.ListFlows
		want []string
	}{
		{wire.ListFlows{}, all},
		{wire.ListFlows{Limit: 5}, all},
		{wire.ListFlows{Flow: "sell", Limit: 4}, sells},
		{wire.ListFlows{Service: "shop", Status: wire.Stuck}, stuck},
		{wire.ListFlows{Status: wire.Stuck, YoungerThan: "1h"}, stuck},
		{wire.ListFlows{OlderThan: "1h"}, nil},
		{wire.ListFlows{Service: "farm", Status: wire.Completed}, nil},
	} {
		bustest.Eventually(t, patience, func() bool {
			for range 4 { // whichever instance answers
				if ids, last := w.names(t, c.req); !slices.Equal(ids, c.want) || last.Behind != 0 {
					return false
				}
			}
			return true
		}, fmt.Sprintf("%+v to list %v", c.req, c.want))
	}
	for _, status := range []wire.Status{wire.Pending, wire.Completed} {
		if ids, _ := w.names(t, wire.ListFlows{Status: status}); len(ids) == 0 {
			t.Errorf("none is %s", status)
		}
	}
	page := call(t, w, wire.List, wire.ListFlows{Limit: 3})
	if f := page.Flows[0]; f.Steps != nil || f.Result != nil || f.UpdatedAt.IsZero() || f.Version == 0 {
		t.Errorf("%+v", f)
	}
	middle := call(t, w, wire.Get, wire.Ref{Service: "shop", Flow: "sell", ID: "104"}).StartedAt
	young, _ := w.names(t, wire.ListFlows{StartedAfter: middle})
	old, _ := w.names(t, wire.ListFlows{StartedBefore: middle})
	if !slices.Equal(append(young, old...), all) || len(old) != 4 {
		t.Errorf("from %v on %v, before %v", middle, young, old)
	}
	var e *contract.Error
	for _, cursor := range []string{"bm9uc2Vuc2U", page.NextCursor} {
		_, err := rpc.Call(t.Context(), w.client, wire.List, wire.ListFlows{Flow: "sell", Cursor: cursor})
		if !errors.As(err, &e) || e.Code != contract.Invalid || e.Field != "/cursor" {
			t.Errorf("the cursor of another list: %v", err)
		}
	}
}

// TestListKeepsTheLatest: ended flows beyond the bound leave the list, which says so;
// get still finds them.
func TestListKeepsTheLatest(t *testing.T) {
	t.Parallel()
	w := newWorld(t, flows.Config{Keep: 3})
	w.work(t, "shop", "sell")
	w.start(t, "shop", "sell", "stuck", "stuck")
	for i := range 8 {
		w.start(t, "shop", "sell", fmt.Sprint(i), "ok")
		w.until(t, "shop", "sell", fmt.Sprint(i), wire.Completed)
	}
	want := []string{"shop/sell/7", "shop/sell/6", "shop/sell/5", "shop/sell/stuck"}
	bustest.Eventually(t, patience, func() bool {
		ids, last := w.names(t, wire.ListFlows{})
		return slices.Equal(ids, want) && last.Forgotten == 5
	})
	if first := call(t, w, wire.Get, wire.Ref{Service: "shop", Flow: "sell", ID: "0"}); first.Status != wire.Completed {
		t.Errorf("%+v", first)
	}
}

// TestCondensed: a flow whose journal has gone is not listed any more, and get still
// tells how it ended.
func TestCondensed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, flows.Config{})
	worker, err := flow.NewWorker(w.broker.Dial(t, bustest.WithService("shop")), "shop",
		[]flow.Registered{flow.Define("sell", 2, w.run)}, flow.WithKeep(time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	bustest.Run(t, worker)
	w.start(t, "shop", "sell", "stuck", "stuck")
	w.start(t, "shop", "sell", "1", "ok")
	bustest.Eventually(t, patience, func() bool {
		return call(t, w, wire.Get, wire.Ref{Service: "shop", Flow: "sell", ID: "1"}).Condensed
	})
	bustest.Eventually(t, patience, func() bool {
		ids, _ := w.names(t, wire.ListFlows{})
		return slices.Equal(ids, []string{"shop/sell/stuck"})
	})
	left := call(t, w, wire.Get, wire.Ref{Service: "shop", Flow: "sell", ID: "1"})
	if left.Status != wire.Completed || string(left.Result) != `{"did":"ok","as":""}` || left.EndedAt.Before(left.StartedAt) || len(left.Steps) > 0 {
		t.Errorf("%+v", left)
	}
	if again := w.start(t, "shop", "sell", "1", "ok"); again.Status != wire.Completed {
		t.Errorf("started again: %+v", again)
	}
	refused(t, w, wire.Start, wire.StartFlow{Service: "shop", Flow: "sell", ID: "1", Input: input("fail")}, wire.ErrOtherInput, "/input")
	refused(t, w, wire.Cancel, wire.CancelFlow{Service: "shop", Flow: "sell", ID: "1", Reason: "late"}, wire.ErrEnded, "/id")
}

// TestListSurvivesARestart: a list goes on after the server was away.
func TestListSurvivesARestart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, flows.Config{})
	w.work(t, "shop", "sell")
	for i := range 3 {
		w.start(t, "shop", "sell", fmt.Sprint(i), "ok")
	}
	complete := func(n int) func() bool {
		return func() bool {
			page, err := rpc.Call(t.Context(), w.client, wire.List, wire.ListFlows{Status: wire.Completed})
			return err == nil && len(page.Flows) == n
		}
	}
	bustest.Eventually(t, patience, complete(3))
	w.broker.Stop(t, contract.FlowStream)
	w.broker.Start(t)
	bustest.Eventually(t, patience, func() bool {
		_, err := rpc.Call(t.Context(), w.client, wire.Start, wire.StartFlow{Service: "shop", Flow: "sell", ID: "3", Input: input("ok")})
		return err == nil
	})
	bustest.Eventually(t, patience, complete(4))
}

// TestRights: beside what it needs, the service's user is denied everything; that it
// is denied nothing that it needs, every test of this package holds.
func TestRights(t *testing.T) {
	t.Parallel()
	w := newWorld(t, flows.Config{})
	conn := w.broker.Dial(t, bustest.WithService("flows"), bustest.WithUser("flows", "p"))
	denied := make(chan string, 16)
	t.Cleanup(conn.WatchDenied(func(d bus.Denied) { denied <- d.Subject }))
	for _, subject := range []string{
		contract.FlowLog("shop", "sell", "1"), contract.FlowTimer("shop", "sell", "1", "t"), "$JS.API.STREAM.DELETE.FLOW", "$JS.API.STREAM.PURGE.FLOW",
		"$JS.API.CONSUMER.DELETE.FLOW.x", "$JS.API.CONSUMER.RESET.FLOW.x", "$JS.ACK.FLOW.x.1.1.1.1.1", "$KV.flow_lease.shop.p0", "$JS.API.STREAM.INFO.ORDERS",
		"evt.order.1", "svc.orders.place", contract.DeadLetter("FLOW", "x"), "_INBOX_shop.x",
	} {
		if err := conn.NATS().Publish(subject, nil); err != nil {
			t.Fatal(err)
		}
		select {
		case got := <-denied:
			if got != subject {
				t.Errorf("%s was denied instead of %s", got, subject)
			}
		case <-time.After(patience):
			t.Fatalf("%s is allowed", subject)
		}
	}
}

// TestSameWords: the engine and the service that shows it say the same.
func TestSameWords(t *testing.T) {
	t.Parallel()
	for _, s := range []flow.Status{flow.Pending, flow.Running, flow.Waiting, flow.Compensating, flow.Stuck, flow.Completed, flow.Failed, flow.Cancelled} {
		if there := wire.Status(s); !there.Known() || there.Ended() != s.Ended() {
			t.Errorf("%s is known: %v, ended: %v", s, there.Known(), there.Ended())
		}
	}
	for engine, service := range map[error]error{flow.ErrNotFound: wire.ErrUnknown, flow.ErrEnded: wire.ErrEnded, flow.ErrOtherInput: wire.ErrOtherInput} {
		if !errors.Is(engine, service) {
			t.Errorf("%v and %v differ", engine, service)
		}
	}
}
