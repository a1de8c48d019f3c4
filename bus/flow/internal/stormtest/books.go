package stormtest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/flow"
)

// The flows.
const (
	plain   = "storm"
	bounded = "storm_bounded" // has a deadline
	kid     = "storm_kid"
)

// Input is what an instance goes on with.
type Input struct {
	Ops   []Op     `json:"ops"`
	From  int      `json:"from,omitzero"`
	Gen   int      `json:"gen,omitzero"`
	Words []string `json:"words,omitzero"`
}

// Books are the far side of all effects. They outlive the processes.
type Books struct {
	mu         sync.Mutex
	tries      map[string]int             // attempts by key
	effects    map[string]map[string]bool // keys by instance, generation and operation
	registered map[string][]string        // compensations by instance and generation
	last       map[string]int             // generation by instance
}

// NewBooks returns empty books.
func NewBooks() *Books {
	return &Books{
		tries: map[string]int{}, effects: map[string]map[string]bool{}, registered: map[string][]string{}, last: map[string]int{},
	}
}

var errRefused = contract.NewError(contract.Conflict, "storm_refused", "the program ends like that")

// attempt counts an attempt and reports whether it is one that fails.
func (b *Books) attempt(key string, fails int) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.tries[key]++; b.tries[key] <= fails {
		return errors.New("not yet")
	}
	return nil
}

func effectOf(id string, gen int, name string) string { return fmt.Sprint(id, " ", gen, " ", name) }

// effect notes what happened with a key.
func (b *Books) effect(id string, gen int, name, key string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := effectOf(id, gen, name)
	if b.effects[e] == nil {
		b.effects[e] = map[string]bool{}
	}
	b.effects[e][key] = true
}

// register notes a compensation.
func (b *Books) register(id string, gen int, name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := effectOf(id, gen, "")
	b.registered[e] = append(b.registered[e], name)
}

// begin notes that a generation runs, from its first line on.
func (b *Books) begin(id string, gen int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last[id] = max(b.last[id], gen)
	delete(b.registered, effectOf(id, gen, ""))
}

// Flows are the definitions; flows with a deadline end by it.
func (b *Books) Flows(deadline time.Duration) []flow.Registered {
	return []flow.Registered{b.storm(plain), b.storm(bounded, flow.WithDeadline(deadline)), b.kid()}
}

// Definition is the flow of a program, to start it.
func (p Program) Definition() flow.Definition[Input, []string] {
	return flow.Declare[Input, []string](p.Flow, 1)
}

// Input is what a program is started with.
func (p Program) Input() Input { return Input{Ops: p.Ops} }

func (b *Books) kid() flow.Definition[int64, string] {
	return flow.Define(kid, 1, func(run *flow.Run, d int64) (string, error) {
		if err := run.Sleep("nap", time.Duration(d)); err != nil {
			return "", err
		}
		return flow.Step(run, "play", func(context.Context) (string, error) {
			b.effect(run.ID(), 0, "play", run.Key("play"))
			return run.ID(), nil
		})
	})
}

func (b *Books) storm(name string, opts ...flow.DefineOption) flow.Definition[Input, []string] {
	return flow.Define(name, 1, func(run *flow.Run, in Input) ([]string, error) {
		b.begin(run.ID(), in.Gen)
		x := &execution{books: b, run: run, in: in}
		for i := in.From; i < len(in.Ops); i++ {
			switch op := in.Ops[i]; op.Do {
			case again:
				return flow.ContinueAsNew[[]string](run, Input{Ops: in.Ops, From: i + 1, Gen: in.Gen + 1, Words: x.in.Words})
			case refuse:
				return nil, errRefused
			default:
				if err := x.do(fmt.Sprint(op.Do, i), op); err != nil {
					return nil, err
				}
			}
		}
		return x.in.Words, nil
	}, opts...)
}

// execution is one run of a program's function.
type execution struct {
	books    *Books
	run      *flow.Run
	in       Input
	children []*flow.Child[string]
}

// parts are the branches of an operation that has two effects.
var parts = []string{"a", "b"}

// effect is the work of a step.
func (x *execution) effect(name string, op Op) func(context.Context) (string, error) {
	key := x.run.Key(name)
	return func(context.Context) (string, error) {
		if err := x.books.attempt(key, op.Fails); err != nil {
			return "", err
		}
		x.books.effect(x.run.ID(), x.in.Gen, name, key)
		return strings.Repeat("x", op.Size), nil
	}
}

func (x *execution) do(name string, op Op) error {
	run, wait := x.run, time.Duration(op.Wait)
	run.Report(name)
	switch op.Do {
	case step:
		_, err := flow.Step(run, name, x.effect(name, op), flow.WithRetry(flow.Retry{First: wait, Max: wait}))
		return err
	case both:
		var branches []flow.Branch
		for _, part := range parts {
			branches = append(branches, flow.Parallel(name+part, x.effect(name+part, op), flow.WithRetry(flow.Retry{First: wait, Max: wait})))
			op.Fails = 2 - op.Fails // the other one has more to do, or less
		}
		return flow.All(run, branches...)
	case undo:
		x.books.register(run.ID(), x.in.Gen, name)
		flow.Compensate(run, name, func(context.Context) error {
			x.books.effect(run.ID(), x.in.Gen, name, run.Key(name))
			return nil
		})
	case sleep:
		begun := run.Now()
		if err := run.Sleep(name, wait); err != nil {
			return err
		}
		if slept := run.Now().Sub(begun); slept < wait {
			return fmt.Errorf("slept %v of %v", slept, wait)
		}
	case word:
		said, err := flow.Await[string](run, word, 0)
		x.in.Words = append(x.in.Words, said)
		return err
	case never:
		if _, err := flow.Await[string](run, never, wait); !errors.Is(err, flow.ErrTimedOut) {
			return err
		}
	case child:
		c, err := flow.StartChild(run, flow.Declare[int64, string](kid, 1), run.ID()+"-"+name, op.Wait)
		x.children = append(x.children, c)
		return err
	case join:
		c := x.children[len(x.children)-1]
		x.children = x.children[:len(x.children)-1]
		if said, err := c.Await(); err != nil || said != c.ID() {
			return fmt.Errorf("child %s said %q: %w", c.ID(), said, err)
		}
	}
	return nil
}
