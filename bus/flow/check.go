package flow

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ordermesh/ordermesh/bus/telemetry"
)

// ErrNoReplay is what a history that the code does not follow fails with: a worker with
// this code would park the instance, or hand it back for good.
var ErrNoReplay = errors.New("the code does not follow the journal")

// patience is how long a function may take to come to the end of its history. It waits
// for nothing on the way.
const patience = 10 * time.Second

// Check replays the history with the definition of its version and says whether the
// code still does what the journal says. No step, compensation or timer runs: the
// function is left where the history ends. The definitions therefore need nothing that
// their steps would need.
//
// The error is nil or wraps [ErrNoReplay] and names both sides.
func (h History) Check(ctx context.Context, definitions ...Registered) error {
	flows := catalogue{flowVersion{scheduling.name, scheduling.version}: scheduling.spec}
	for _, d := range definitions {
		s := d.registered()
		flows[flowVersion{s.name, s.version}] = s
	}
	s, ok := flows.find(h.Flow, h.Version)
	if !ok || s.run == nil {
		return fmt.Errorf("%w: it runs version %d of %s, the code has %s", ErrNoReplay, h.Version, h.Flow, flows.versions(h.Flow))
	}
	if unknown := unknownKind(h.page.Records); unknown != "" {
		return fmt.Errorf("%w: it has a record of the kind %s, which this build does not know", ErrNoReplay, unknown)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	c := h.checking(ctx, flows)
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.replay(s)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		return fmt.Errorf("%w: it did not come to the end of its history: %w", ErrNoReplay, ctx.Err())
	}
	if text := c.verdict(h); text != "" {
		return fmt.Errorf("%w: %s", ErrNoReplay, text)
	}
	return nil
}

// check is an instance that is replayed and goes nowhere.
type check struct {
	inst    *instance
	run     *Run
	beyond  string // what the code does where the history ends
	crash   any
	renewed bool
}

func (h History) checking(ctx context.Context, flows catalogue) *check {
	quiet := telemetry.Nop()
	e := &engine{
		service: h.Service, session: "check", log: nowhere{}, payloads: nowhere{}, flows: flows, partitions: 1, reading: make(chan struct{}, 1),
		telemetry: quiet, metrics: newMetrics(quiet, h.Service, flows), alive: func() bool { return false }, answer: func(string, []byte) {},
	}
	c := &check{inst: &instance{
		eng: e, ctx: ctx, name: h.Flow, id: h.ID, wake: make(chan struct{}, 1),
		history: slices.Clone(h.page.Records), ended: func(*instance) {}, fenced: func(*instance, []*input) {},
	}}
	if h.page.Open != nil {
		open := *h.page.Open
		open.Intent = false // a step in doubt is no matter of the code
		c.inst.open = &open
	}
	c.inst.beyond = func(k kind, name string) { c.beyond = describe(k, name, "") }
	j := c.inst.newJournal(h.page.origin)
	j.stop()
	c.inst.attach(j, spec{}, h.input)
	c.run = &Run{inst: c.inst}
	return c
}

// replay calls the function once.
func (c *check) replay(s spec) {
	c.inst.spec = s
	out, crash, err := c.inst.call(c.run)
	if _, ok := err.(continued); ok { //nolint:errorlint // only the function itself may say so
		c.renewed = true
		return
	}
	if c.crash = crash; crash == nil {
		c.inst.conclude(c.run, out, err)
	}
}

// verdict compares where the replay has come to with the history.
func (c *check) verdict(h History) string {
	end := c.inst.j.end
	switch {
	case c.crash != nil:
		return fmt.Sprintf("at index %d %s, the code panics: %v", c.run.next, c.journaled(h), c.crash)
	case end != nil && end.Status == Stuck:
		return strings.TrimPrefix(end.Reason, ErrNoReplay.Error()+": ")
	case c.beyond != "" && h.Status.Ended():
		return fmt.Sprintf("the journal has ended %s, the code goes on with %s", h.Status, c.beyond)
	case c.beyond != "":
		return ""
	}
	does := "continues as new"
	if end != nil {
		does = "ends " + string(end.Status)
		if end.Reason != "" {
			does += ": " + end.Reason
		}
	}
	switch {
	case c.run.next < len(c.inst.history) || c.inst.open != nil:
		return fmt.Sprintf("at index %d %s, the code %s", c.run.next, c.journaled(h), does)
	case h.Status.Ended() && (end == nil || end.Status != h.Status):
		return fmt.Sprintf("the journal has ended %s, the code %s", h.Status, does)
	}
	return ""
}

// journaled says what the journal has where the code has come to.
func (c *check) journaled(h History) string {
	r := c.inst.open
	if c.run.next < len(c.inst.history) {
		r = &c.inst.history[c.run.next]
	}
	if r == nil {
		return "the journal is " + string(h.Status)
	}
	return "the journal has " + describe(r.Kind, r.Name, r.Hash)
}

// versions lists the versions of a flow in a sentence.
func (c catalogue) versions(name string) string {
	var list []int
	for v := range c {
		if v.name == name {
			list = append(list, v.version)
		}
	}
	if len(list) == 0 {
		return "none"
	}
	slices.Sort(list)
	text := make([]string, len(list))
	for i, v := range list {
		text[i] = strconv.Itoa(v)
	}
	return strings.Join(text, ", ")
}

// nowhere is a log and an object store that has nothing and keeps nothing. A history has
// no references: what is too large for a journal is in it.
type nowhere struct{}

var errNowhere = errors.New("a check has no log")

func (nowhere) Append(_ *nats.Msg, _ uint64, done func(uint64, error))     { done(0, errNowhere) }
func (nowhere) Last(context.Context, string) (Stored, error)               { return Stored{}, errNowhere }
func (nowhere) At(context.Context, uint64) (Stored, error)                 { return Stored{}, errNowhere }
func (nowhere) Next(context.Context, string, uint64) (s Stored, err error) { return s, errNowhere }
func (nowhere) PutPayload(context.Context, string, []byte) error           { return nil }
func (nowhere) Payload(context.Context, string) ([]byte, error)            { return nil, ErrNoPayload }
