// Package stormtest makes random flows for the stress tests of bus/flow and judges how they
// ended: it is a model of what a flow does, whatever becomes of the processes that run it.
//
// A program is a list of operations drawn from a seed, its flow carries it out, and the
// books are the far side of its effects. It is for tests alone.
package stormtest

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// What an operation does.
const (
	step   = "step"   // has an effect, perhaps at its second or third attempt
	both   = "both"   // has two effects at the same time, as steps have
	undo   = "undo"   // registers a compensation
	sleep  = "sleep"  // waits for a time
	word   = "word"   // takes a signal
	never  = "never"  // waits in vain for a signal
	child  = "child"  // starts a child flow
	join   = "join"   // waits for the child that was started last
	again  = "again"  // goes on as new
	refuse = "refuse" // ends the flow as failed
)

// Op is one operation of a program.
type Op struct {
	Do    string `json:"do"`
	Wait  int64  `json:"wait,omitzero"`  // nanoseconds
	Fails int    `json:"fails,omitzero"` // attempts that fail before one does not
	Size  int    `json:"size,omitzero"`  // of a step's result
}

// Program is what one instance does and what is done to it.
type Program struct {
	ID     string
	Flow   string // one of the flows of the books
	Ops    []Op
	Words  []time.Duration // when signals are sent, counted from the start
	Cancel time.Duration   // when it is cancelled; 0 for never
}

// Generate draws a program. Its waits are chosen from the given ones.
func Generate(seed uint64, id string, waits []time.Duration) Program {
	r := rand.New(rand.NewPCG(seed, seed))
	p := Program{ID: id, Flow: plain}
	wait := func() time.Duration { return waits[r.IntN(len(waits))] }
	open := 0 // children that were not joined
	for range 2 + r.IntN(10) {
		op := Op{Do: []string{step, step, both, undo, sleep, sleep, word, word, never, child, join, again}[r.IntN(12)]}
		switch op.Do {
		case step, both:
			op.Wait, op.Size = int64(wait()), 1
			if r.IntN(4) == 0 {
				op.Fails = 1 + r.IntN(2)
			}
			if r.IntN(4) == 0 {
				op.Size = 9 << 10
			}
		case sleep, never:
			op.Wait = int64(wait())
		case word:
			p.Words = append(p.Words, time.Duration(r.Int64N(int64(2*wait()))))
		case child:
			op.Wait = int64(wait())
			open++
		case join:
			if open == 0 {
				op.Do = step
				break
			}
			open--
		case again:
			open = 0
		}
		p.Ops = append(p.Ops, op)
	}
	switch r.IntN(6) {
	case 0:
		p.Ops = append(p.Ops, Op{Do: refuse})
	case 1:
		p.Cancel = 1 + time.Duration(r.Int64N(int64(3*wait())))
	case 2:
		p.Flow = bounded
	}
	return p
}

// String is the program on one line.
func (p Program) String() string {
	var text strings.Builder
	fmt.Fprint(&text, p.Flow, " ", p.ID, ":")
	for _, op := range p.Ops {
		fmt.Fprintf(&text, " %s %v %d %d,", op.Do, time.Duration(op.Wait), op.Fails, op.Size)
	}
	return text.String()
}

// refuses reports whether the program ends as failed.
func (p Program) refuses() bool { return p.Ops[len(p.Ops)-1].Do == refuse }
