package main

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/contracts/flows"
)

// TestTimeline draws instances in every stage of their life.
func TestTimeline(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 11, 24, 9, 30, 0, 0, time.Local)
	after := start.Add
	head := flows.Instance{Service: "orders", Flow: "checkout", ID: "o1", Version: 2, StartedAt: start}
	with := func(change func(f *flows.Instance)) flows.Instance {
		f := head
		change(&f)
		return f
	}
	for name, c := range map[string]struct {
		flow flows.Instance
		want string
	}{
		"pending": {with(func(f *flows.Instance) { f.Status, f.Version = flows.Pending, 0 }), `
checkout o1  pending
  orders, started 2026-11-24 09:30:00.000`},
		"completed": {with(func(f *flows.Instance) {
			f.Status, f.Result, f.EndedAt = flows.Completed, contract.Raw(`{"status":"shipped"}`), after(time.Second)
			f.Steps = []flows.StepInfo{
				{Kind: "step", Name: "reserve", Done: true, Attempts: 1, At: after(250 * time.Millisecond)},
				{Kind: "now", Done: true, At: after(250 * time.Millisecond)},
				{Kind: "step", Name: "authorize", Done: true, Attempts: 3, At: after(time.Second)},
			}
		}), `
checkout o1  completed  in 1.0s
  orders version 2, started 2026-11-24 09:30:00.000
  +250ms  ██████                    250ms  ✔  reserve
  +250ms        ▏                   <1ms   ✔  now
  +1.0s         ██████████████████  750ms  ✔  authorize  3 attempts
  result  {"status":"shipped"}`},
		"failed": {with(func(f *flows.Instance) {
			f.Status, f.Reason, f.EndedAt = flows.Failed, "no\x1b[1m money", after(20*time.Second)
			f.Error = &flows.Problem{Code: "conflict", Reason: "declined", Message: "declined"}
			f.Steps = []flows.StepInfo{
				{Kind: "step", Name: "pay", Done: true, Attempts: 1, At: after(10 * time.Second), Error: "declined"},
				{Kind: "undo", Name: "release", Done: true, Attempts: 1, At: after(20 * time.Second)},
				{Kind: "cancel", Done: true, At: after(20 * time.Second)},
			}
		}), `
checkout o1  failed  in 20.0s
  orders version 2, started 2026-11-24 09:30:00.000
  +10.0s  ████████████              10.0s  ✘  pay           declined
  +20.0s              ████████████  10.0s  ↶  undo release
  +20.0s                         ▏  <1ms   ■  cancel
  reason  no\u001b[1m money
  error   declined (conflict, declined)`},
		"long ago": {with(func(f *flows.Instance) {
			f.Status, f.Condensed, f.EndedAt, f.Result = flows.Completed, true, after(50*time.Hour), contract.Raw(`7`)
		}), `
checkout o1  completed  in 2d02h
  orders version 2, started 2026-11-24 09:30:00.000
  result  7
  steps   not kept: it ended long ago`},
		"in a step": {with(func(f *flows.Instance) {
			f.Status = flows.Running
			f.Steps = []flows.StepInfo{{Kind: "step", Name: "reserve", Done: true, Attempts: 1, At: after(time.Second)}}
		}), `
checkout o1  running
  orders version 2, started 2026-11-24 09:30:00.000
  +1.0s  ████████████████████████  1.0s  ✔  reserve
  under way  a step that is not done yet, for 59.0s`},
		"trying again": {with(func(f *flows.Instance) {
			f.Status = flows.Running
			f.Steps = []flows.StepInfo{{Kind: "step", Name: "pay", Attempts: 4, At: after(30 * time.Second), Error: "no answer", Due: after(65 * time.Second)}}
		}), `
checkout o1  running
  orders version 2, started 2026-11-24 09:30:00.000
  +30.0s  ████████████████████████  30.0s  …  pay  4 attempts, no answer, next attempt 09:31:05.000 (in 5.0s)`},
		"waiting": {with(func(f *flows.Instance) {
			f.Status, f.Report, f.Deadline = flows.Waiting, contract.Raw(`"asked twice"`), after(50*time.Hour)
			f.Wait = &flows.Wait{Kind: "signal", Name: "approved", Since: after(15 * time.Second), Due: after(90 * time.Minute)}
			f.Signals, f.Generation = []string{"hurry", "hurry"}, 2
			f.Steps = []flows.StepInfo{
				{Kind: "signal", Name: "paid", Done: true, TimedOut: true, At: after(15 * time.Second)},
				{Kind: "signal", Name: "approved", At: after(15 * time.Second), Due: after(90 * time.Minute)},
			}
		}), `
checkout o1  waiting
  orders version 2, continued as new 2 times, started 2026-11-24 09:30:00.000
  +15.0s  ██████                    15.0s  ◷  signal paid      did not come in time
  +1m00s        ██████████████████  45.0s  …  signal approved  until 11:00:00.000 (in 1h29m)
  waits     for signal approved, since 09:30:15.000, until 11:00:00.000 (in 1h29m)
  deadline  2026-11-26 11:30:00 (in 2d01h)
  signals   hurry, hurry
  report    "asked twice"`},
	} {
		got := strings.Join((&cli{out: &strings.Builder{}}).flowLines(c.flow, after(time.Minute)), "\n")
		if diff := cmp.Diff(strings.TrimPrefix(c.want, "\n"), got); diff != "" {
			t.Errorf("%s:\n%s\n%s", name, got, diff)
		}
	}
}

// TestFlowCommands looks at flows of a running mesh, starts one and steers it.
func TestFlowCommands(t *testing.T) {
	t.Parallel()
	mesh := startMesh(t, devArgs("--ephemeral")...)
	s := mesh.shop()
	run := func(want int, args ...string) string {
		t.Helper()
		code, out := runMesh(t, append(append([]string{"flow"}, args...), "--nats", mesh.note.NATS)...)
		if code != want {
			t.Errorf("mesh flow %s: exit code %d, want %d:\n%s", strings.Join(args, " "), code, want, out)
		}
		return out
	}
	good := s.ended(s.place(sampleOrder).OrderID).OrderID
	bad := s.ended(s.place(orderJSON("TEA-001", 1, "tok_declined")).OrderID).OrderID
	s.settled(bad)

	if out := run(exitGood, "show", "checkout", good); !strings.Contains(out, "completed  in ") || !strings.Contains(out, "✔  authorize") || !strings.Contains(out, `{"status":"shipped"}`) {
		t.Errorf("show:\n%s", out)
	}
	if out := run(exitGood, "show", "checkout", bad, "--follow"); !strings.Contains(out, "↶  undo release") || !strings.Contains(out, "payment_declined") {
		t.Errorf("show --follow:\n%s", out)
	}
	shown := decode[flows.Instance](t, []byte(run(exitGood, "show", "checkout", good, "--json")))
	if shown.Status != flows.Completed || len(shown.Steps) < 5 || shown.Service != "orders" {
		t.Errorf("show --json: %+v", shown)
	}
	bustest.Eventually(t, patience, func() bool {
		failed := decode[flows.Instances](t, []byte(run(exitGood, "ls", "--status", "failed", "--younger-than", "1h", "--json")))
		return len(failed.Flows) > 0 && failed.Flows[0].ID == bad
	}, "the failed checkout to be listed")
	for _, args := range [][]string{{"ls"}, {"list", "checkout"}, {"ls", "--flow", "checkout", "--service", "orders", "--limit", "1000"}} {
		if out := run(exitGood, args...); !strings.Contains(out, good) || !strings.Contains(out, "STARTED") {
			t.Errorf("mesh flow %s:\n%s", strings.Join(args, " "), out)
		}
	}
	if out := run(exitGood, "ls", "--older-than", "1h"); out != "no flows\n" {
		t.Errorf("older than an hour:\n%s", out)
	}
	if out := run(exitGood, "ls", "--limit", "1"); strings.Count(out, "checkout") != 1 || !strings.Contains(out, "there are more") {
		t.Errorf("one of several:\n%s", out)
	}
	for _, verb := range []string{"cancel", "retry"} {
		if out := run(exitBad, verb, "checkout", good); !strings.Contains(out, "flow_ended") {
			t.Errorf("%s what has ended: %s", verb, out)
		}
		if out := run(exitBad, verb, "checkout", "nothing"); !strings.Contains(out, "flow_not_found") {
			t.Errorf("%s what never began: %s", verb, out)
		}
	}
	run(exitGood, "start", "checkout", "odd", "--input", `{"order_id":""}`)
	if out := run(exitGood, "show", "checkout", "odd", "--follow"); !strings.Contains(out, "stuck") {
		t.Errorf("a checkout of no order:\n%s", out)
	}
	if out := run(exitBad, "start", "checkout", "odd", "--input", `{"order_id":"o2"}`); !strings.Contains(out, "flow_other_input") {
		t.Errorf("another input: %s", out)
	}
	again := decode[flows.Instance](t, []byte(run(exitGood, "start", "checkout", "odd", "--input", `{"order_id":""}`, "--json")))
	if again.Status != flows.Stuck {
		t.Errorf("started twice: %+v", again)
	}
	run(exitGood, "retry", "checkout", "odd")
	if out := run(exitGood, "show", flows.ScheduleFlow, "reconcile-nightly"); !strings.Contains(out, "waiting") {
		t.Errorf("the schedule of the nightly comparison:\n%s", out)
	}
	if out := run(exitBad, "ls", "--service", "nobody"); !strings.Contains(out, "flow_service_unknown") {
		t.Errorf("flows of nobody: %s", out)
	}
}

// TestNoFlowsService: where the service does not run, the commands say how to start it.
func TestNoFlowsService(t *testing.T) {
	t.Parallel()
	url := bustest.Server(t).URL()
	for _, args := range []string{"flow ls", "flow show checkout o1", "flow retry checkout o1", "flow check"} {
		code, out := runMesh(t, append(strings.Fields(args), "--nats", url)...)
		if code != exitUsage || !strings.Contains(out, "'mesh run flows'") || strings.Count(out, "\n") != 1 {
			t.Errorf("mesh %s: exit code %d, %s", args, code, out)
		}
	}
}

// TestReadmeRequests sends every request to svc.flows that the README shows.
func TestReadmeRequests(t *testing.T) {
	t.Parallel()
	s := startMesh(t, devArgs("--ephemeral")...).shop()
	order := s.ended(s.place(sampleOrder).OrderID).OrderID
	s.settled(order)
	want := map[string]string{ // what each is refused with; "" for nothing
		"get": "", "list": "", "start": "", "signal": "flow_ended", "cancel": "flow_ended", "retry": "flow_ended",
	}
	// A flow that is started by hand has no order; the other requests are about one that has.
	fill := strings.NewReplacer("<order id>", order, "<id>", order, "{…}", `{"order_id":"none"}`)
	for _, m := range regexp.MustCompile(`nats req svc\.flows\.(\w+) +'(.*?)'`).FindAllStringSubmatch(read(t, "../../README.md"), -1) {
		method, body := m[1], fill.Replace(m[2])
		if method == "start" {
			body = strings.Replace(body, order, "by-hand", 1)
		}
		_, refusal := s.ask("flows."+method, body)
		reason := ""
		if refusal != nil {
			reason = refusal.Reason
		}
		if expected, known := want[method]; !known || reason != expected {
			t.Errorf("%s: %v, want %q", m[0], refusal, expected)
		}
		delete(want, method)
	}
	if len(want) > 0 {
		t.Errorf("the README does not show %v", want)
	}
}
