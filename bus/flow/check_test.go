package flow_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/flow"
)

var errNo = contract.NewError(contract.Conflict, "no", "no")

// trip has a step, a clock reading, a signal and a last step. Each of its variants
// changes one thing.
type trip struct {
	first, last string // names of the steps
	noNow       bool
	noUndo      bool
	lazy        bool // ends after the first step
	panics      bool
	hash        string // of the first step's input
	more        bool   // one more step at the end
	number      bool   // the first step's result is a number
	renews      bool   // continues as new after the first step
	calls       *atomic.Int64
}

func (v trip) define(version int) flow.Definition[args, result] {
	return flow.Define("trip", version, func(run *flow.Run, in args) (result, error) {
		if !v.noUndo {
			flow.Compensate(run, "undo", func(context.Context) error { v.calls.Add(1); return nil })
		}
		var opts []flow.StepOption
		if v.hash != "" {
			opts = append(opts, flow.WithInput(v.hash))
		}
		if err := v.begin(run, in, opts); err != nil || v.lazy {
			return result{}, err
		}
		if v.renews {
			return flow.ContinueAsNew[result](run, in)
		}
		if v.panics {
			panic("no way")
		}
		if !v.noNow {
			run.Now()
		}
		word, err := flow.Await[args](run, "word", time.Hour)
		if err != nil {
			return result{}, err
		}
		out, err := flow.Step(run, v.last, func(context.Context) (result, error) {
			v.calls.Add(1)
			if word.Text == "no" {
				return result{}, errNo
			}
			return result(word), nil
		})
		if v.more && err == nil {
			_, err = flow.Step(run, "more", func(context.Context) (int, error) { v.calls.Add(1); return 0, nil })
		}
		return out, err
	})
}

func (v trip) begin(run *flow.Run, in args, opts []flow.StepOption) error {
	if v.number {
		_, err := flow.Step(run, v.first, func(context.Context) (int, error) { v.calls.Add(1); return 1, nil }, opts...)
		return err
	}
	_, err := flow.Step(run, v.first, func(context.Context) (string, error) {
		v.calls.Add(1)
		if in.Text == "retry" {
			return "", errors.New("not yet")
		}
		return in.Text, nil
	}, append(opts, flow.WithRetry(flow.Retry{First: time.Hour, Max: time.Hour}))...)
	return err
}

func base(calls *atomic.Int64) trip { return trip{first: "first", last: "last", calls: calls} }

func TestCheck(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var ran atomic.Int64
	def := base(&ran).define(1)
	w.work(def)
	histories := map[string]flow.History{}
	for id, c := range map[string]struct {
		word string
		want flow.Status
	}{"wait": {"", flow.Waiting}, "retry": {"", flow.Running}, "yes": {"yes", flow.Completed}, "no": {"no", flow.Failed}} {
		if _, err := flow.Start(within(t), w.client, def, id, args{id}); err != nil {
			t.Fatal(err)
		}
		if c.word != "" {
			if err := w.client.Signal(within(t), "trip", id, "word", "1", args{c.word}); err != nil {
				t.Fatal(err)
			}
		}
		bustest.Eventually(t, patience, func() bool {
			s, err := w.client.Get(within(t), "trip", id)
			return err == nil && s.Status == c.want && len(s.Steps) > 0
		})
		histories[id] = roundTrip(t, w, id)
	}
	if _, err := w.client.History(within(t), "trip", "nothing"); !errors.Is(err, flow.ErrNotFound) {
		t.Errorf("the history of nothing: %v", err)
	}

	for name, c := range map[string]struct {
		change func(v *trip)
		says   map[string]string // by history; what is not named replays
	}{
		"the same": {func(*trip) {}, nil},
		"first renamed": {func(v *trip) { v.first = "begin" }, map[string]string{
			"wait":  `at index 0 the journal has step "first", the code does step "begin"`,
			"retry": `at index 0 the journal has step "first", the code does step "begin"`,
			"yes":   `at index 0 the journal has step "first", the code does step "begin"`,
			"no":    `at index 0 the journal has step "first", the code does step "begin"`,
		}},
		"last renamed": {func(v *trip) { v.last = "end" }, map[string]string{
			"yes": `at index 3 the journal has step "last", the code does step "end"`,
			"no":  `at index 3 the journal has step "last", the code does step "end"`,
		}},
		"clock reading left out": {func(v *trip) { v.noNow = true }, map[string]string{
			"wait": `at index 1 the journal has now, the code does signal "word"`,
			"yes":  `at index 1 the journal has now, the code does signal "word"`,
			"no":   `at index 1 the journal has now, the code does signal "word"`,
		}},
		"compensation left out": {func(v *trip) { v.noUndo = true }, map[string]string{
			"no": `at index 4 the journal has undo "undo", the code ends failed: no (no)`,
		}},
		"ends early": {func(v *trip) { v.lazy = true }, map[string]string{
			"wait": `at index 1 the journal has now, the code ends completed`,
			"yes":  `at index 1 the journal has now, the code ends completed`,
			"no":   `at index 1 the journal has now, the code ends completed`,
		}},
		"continues as new": {func(v *trip) { v.renews = true }, map[string]string{
			"wait": `at index 1 the journal has now, the code continues as new`,
			"yes":  `at index 1 the journal has now, the code continues as new`,
			"no":   `at index 1 the journal has now, the code continues as new`,
		}},
		"panics": {func(v *trip) { v.panics = true }, map[string]string{
			"wait": `at index 1 the journal has now, the code panics: no way`,
			"yes":  `at index 1 the journal has now, the code panics: no way`,
			"no":   `at index 1 the journal has now, the code panics: no way`,
		}},
		"one more step": {func(v *trip) { v.more = true }, map[string]string{
			"yes": `the journal has ended completed, the code goes on with step "more"`,
		}},
		"another input": {func(v *trip) { v.hash = "x" }, map[string]string{
			"wait":  `the code does step "first" with input`,
			"retry": `the code does step "first" with input`,
			"yes":   `the code does step "first" with input`,
			"no":    `the code does step "first" with input`,
		}},
		"another result": {func(v *trip) { v.number = true }, map[string]string{
			"wait": `the journaled result of the step "first" cannot be read`,
			"yes":  `the journaled result of the step "first" cannot be read`,
			"no":   `the journaled result of the step "first" cannot be read`,
		}},
	} {
		var calls atomic.Int64
		v := base(&calls)
		c.change(&v)
		for id, h := range histories {
			err := h.Check(within(t), v.define(1))
			says := c.says[id]
			if (err == nil) != (says == "") || (err != nil && (!errors.Is(err, flow.ErrNoReplay) || !strings.Contains(err.Error(), says))) {
				t.Errorf("%s, history %s: %v, want %q", name, id, err, says)
			}
		}
		if n := calls.Load(); n != 0 {
			t.Errorf("%s: %d steps or compensations ran", name, n)
		}
	}
	for _, c := range []struct {
		says string
		defs []flow.Registered
	}{
		{"the code has none", nil},
		{"the code has 2, 3", []flow.Registered{def2(&ran, 3), def2(&ran, 2)}},
		{"the code has 1", []flow.Registered{flow.Declare[args, result]("trip", 1)}},
	} {
		if err := histories["yes"].Check(within(t), c.defs...); !errors.Is(err, flow.ErrNoReplay) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v, want %q", err, c.says)
		}
	}
}

func def2(calls *atomic.Int64, version int) flow.Registered { return base(calls).define(version) }

// roundTrip reads a history, writes it and reads it again.
func roundTrip(t *testing.T, w *world, id string) flow.History {
	t.Helper()
	h, err := w.client.History(within(t), "trip", id)
	if err != nil {
		t.Fatal(err)
	}
	data, err := h.Encode()
	if err != nil {
		t.Fatal(err)
	}
	again, err := flow.DecodeHistory(data)
	if err != nil {
		t.Fatalf("%v\n%s", err, data)
	}
	if fmt.Sprint(again.Service, again.Flow, again.ID, again.Version, again.Status) != fmt.Sprint(h.Service, h.Flow, h.ID, h.Version, h.Status) || again.ID != id {
		t.Errorf("%+v became %+v", h, again)
	}
	twice, err := again.Encode()
	if err != nil || string(twice) != string(data) {
		t.Errorf("written again it is (%v)\n%s\nand was\n%s", err, twice, data)
	}
	return again
}

func TestCheckGenerationsAndLongJournals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	long := strings.Repeat("x", 3000)
	count := func(name string) flow.Definition[int, int] {
		return flow.Define("count", 1, func(run *flow.Run, in int) (int, error) {
			for i := range 8 {
				if _, err := flow.Step(run, fmt.Sprintf("%s-%d", name, i), func(context.Context) (string, error) { return long, nil }); err != nil {
					return 0, err
				}
			}
			if in < 2 {
				return flow.ContinueAsNew[int](run, in+1)
			}
			return flow.Await[int](run, "never", 0)
		})
	}
	w.work(count("write"))
	if _, err := flow.Start(within(t), w.client, count("write"), "c", 0); err != nil {
		t.Fatal(err)
	}
	bustest.Eventually(t, patience, func() bool {
		s, err := w.client.Get(within(t), "count", "c")
		return err == nil && s.Status == flow.Waiting && s.Generation == 2
	})
	h, err := w.client.History(within(t), "count", "c")
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Check(within(t), count("write")); err != nil {
		t.Error(err)
	}
	if err := h.Check(within(t), count("read")); !errors.Is(err, flow.ErrNoReplay) {
		t.Errorf("steps of other names: %v", err)
	}
}

func TestDecodeHistoryRefuses(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		``, `[]`, `{}`, `{"v":2,"service":"s","input":{},"journal":{"v":1,"flow":"f","id":"i","version":1,"start":1}}`,
		`{"v":1,"service":"*","input":{},"journal":{"v":1,"flow":"f","id":"i","version":1,"start":1}}`,
		`{"v":1,"service":"s","journal":{"v":1,"flow":"f","id":"i","version":1,"start":1}}`,
		`{"v":1,"service":"s","input":{},"journal":{"v":1,"flow":"f","id":"i","version":1,"start":1,"records":[{"i":1,"kind":"step"}]}}`,
	} {
		if h, err := flow.DecodeHistory([]byte(text)); err == nil {
			t.Errorf("%s is taken for %+v", text, h)
		}
	}
}
