package flowtest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/flow"
	"github.com/ordermesh/ordermesh/bus/flow/internal/stormtest"
)

// Random flows, processes that die at random and a log that fails at random: each flow
// ends as the model says, and nothing is left behind. A failure names the seed.
// MESH_LONG=1 goes through fifty times as many.
func TestStorm(t *testing.T) {
	t.Parallel()
	seeds := uint64(400)
	if os.Getenv("MESH_LONG") != "" {
		seeds *= 50
	}
	for seed := range seeds {
		synctest.Test(t, func(t *testing.T) {
			defer func() {
				if t.Failed() {
					t.Log("the seed is", seed)
				}
			}()
			brew(t, seed)
		})
	}
}

// waits are chosen to be on both sides of what makes a difference to the engine.
var waits = []time.Duration{
	100 * time.Millisecond, time.Second, 1499 * time.Millisecond, 1600 * time.Millisecond, 4 * time.Second,
	11 * time.Second, time.Hour,
}

func brew(t *testing.T, seed uint64) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 1))
	books, log := stormtest.NewBooks(), NewLog()
	if r.IntN(2) == 0 {
		log.late = time.Duration(r.Int64N(int64(3 * time.Second)))
	}
	var programs []stormtest.Program
	for i := range 1 + r.IntN(5) {
		programs = append(programs, stormtest.Generate(seed*100+uint64(i), fmt.Sprint("p", i), waits))
	}
	// The keeper starts all others and outlives them.
	keeper := flow.Define("keeper", 1, func(run *flow.Run, _ int) (int, error) {
		for _, p := range programs {
			if _, err := flow.StartChild(run, p.Definition(), p.ID, p.Input(), flow.Detached()); err != nil {
				return 0, err
			}
		}
		return 0, run.Sleep("all", 1000*time.Hour)
	})
	all := flow.Rehearsal{Flow: keeper, With: books.Flows(30 * time.Second), ID: "k", Input: 1, Log: log, Alive: log.Alive}
	for _, p := range programs {
		go disturb(t, log, p)
	}
	for crashes := r.IntN(8); ; crashes-- {
		weather(r, log, crashes > 0)
		ctx, cancel := context.WithCancel(t.Context())
		log.onDeath(cancel)
		state, ended, err := all.Run(ctx)
		cancel()
		if err == nil && ended {
			err = state.Err
		}
		if err != nil {
			t.Fatal(err)
		}
		if ended && log.Alive() {
			break
		}
		log.Revive()
	}
	for _, left := range log.unacked() {
		if strings.Contains(left.Subject, ".keeper.") {
			continue // its run ends with it
		}
		t.Errorf("the input %s %v is not acknowledged", left.Subject, left.Header)
	}
	if n := log.Scheduled(); n != 0 {
		t.Errorf("%d alarms are left behind", n)
	}
	for _, p := range programs {
		judge(t, log, books, p)
	}
}

// weather sets the faults until the next crash, if there is to be one.
func weather(r *rand.Rand, log *Log, crash bool) {
	for range r.IntN(6) {
		log.Fail(1+r.IntN(60), []Fault{LostAck, LostMessage, Refused, Missing}[r.IntN(4)])
	}
	if !crash {
		return
	}
	if r.IntN(2) == 0 {
		log.Fail(1+r.IntN(30), []Fault{CrashBefore, CrashAfter}[r.IntN(2)])
		return
	}
	time.AfterFunc(time.Duration(r.Int64N(int64(20*time.Second))), func() {
		log.mu.Lock()
		defer log.mu.Unlock()
		log.die()
	})
}

// disturb signals and cancels a program.
func disturb(t *testing.T, log *Log, p stormtest.Program) {
	it := flow.Rehearsal{Flow: p.Definition(), ID: p.ID, Log: log}
	for !log.started(contract.FlowInput("rehearsal", 0, p.Flow, p.ID)) {
		<-time.After(time.Second)
	}
	for i, after := range p.Words {
		for range 1 + i%2 { // sent twice, counted once
			time.AfterFunc(after, func() {
				if err := it.Signal(stormtest.SignalName, fmt.Sprint(i), stormtest.Word(i)); err != nil {
					t.Error(err)
				}
			})
		}
	}
	if p.Cancel > 0 {
		time.AfterFunc(p.Cancel, func() {
			if err := it.Cancel("enough"); err != nil {
				t.Error(err)
			}
		})
	}
}

// started reports whether an inbox has a start.
func (l *Log) started(inbox string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.ContainsFunc(l.messages, func(s flow.Stored) bool {
		return s.Subject == inbox && s.Header.Get("Mesh-Flow") == "start"
	})
}

func judge(t *testing.T, log *Log, books *stormtest.Books, p stormtest.Program) {
	t.Helper()
	state, ended, err := flow.Rehearsal{Flow: p.Definition(), ID: p.ID, Log: log}.State(t.Context())
	if err == nil && !ended {
		err = fmt.Errorf("it is %s and waits for %+v, open %+v", state.Status, state.Wait, state.Steps)
	}
	if err == nil {
		err = books.Judge(p, state)
	}
	if err != nil {
		t.Errorf("%v: %v", p, err)
	}
	for _, id := range p.Children() {
		kid := flow.Rehearsal{Flow: flow.Declare[int64, string](stormtest.Kid, 1), ID: id, Log: log}
		if state, ended, err := kid.State(t.Context()); err != nil || (!ended && log.started(contract.FlowInput("rehearsal", 0, stormtest.Kid, id))) {
			t.Errorf("%v: its child %s is %s: %v", p, id, state.Status, err)
		}
	}
}
