package stormtest

import (
	"errors"
	"fmt"
	"slices"

	"github.com/ordermesh/ordermesh/bus/flow"
)

// Judge holds the end of a program's instance against the model.
func (b *Books) Judge(p Program, s flow.State) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case s.Status == flow.Completed && !p.refuses():
		return errors.Join(b.completed(p), p.heard(s))
	case s.Status == flow.Failed && p.refuses() && errors.Is(s.Err, errRefused),
		s.Status == flow.Failed && p.Flow == bounded && errors.Is(s.Err, flow.ErrDeadline),
		s.Status == flow.Cancelled && p.Cancel > 0:
		return b.undone(p)
	}
	return fmt.Errorf("it is %s: %w (%s)", s.Status, s.Err, s.Reason)
}

// completed checks that each effect happened, and with one key.
func (b *Books) completed(p Program) error {
	var errs []error
	gen := 0
	for i, op := range p.Ops {
		switch op.Do {
		case again:
			gen++
		case step:
			errs = append(errs, b.once(effectOf(p.ID, gen, fmt.Sprint(step, i))))
		case both:
			for _, part := range parts {
				errs = append(errs, b.once(effectOf(p.ID, gen, fmt.Sprint(both, i, part))))
			}
		}
	}
	for _, name := range b.registered[effectOf(p.ID, b.last[p.ID], "")] {
		if e := effectOf(p.ID, b.last[p.ID], name); len(b.effects[e]) != 0 {
			errs = append(errs, fmt.Errorf("the completed flow was compensated: %s", e))
		}
	}
	return errors.Join(errs...)
}

// once checks that an effect happened with one key.
func (b *Books) once(effect string) error {
	if n := len(b.effects[effect]); n != 1 {
		return fmt.Errorf("the effect %s happened with %d keys", effect, n)
	}
	return nil
}

// undone checks that everything registered in the last generation was compensated.
func (b *Books) undone(p Program) error {
	gen := b.last[p.ID]
	for _, name := range b.registered[effectOf(p.ID, gen, "")] {
		if e := effectOf(p.ID, gen, name); len(b.effects[e]) != 1 {
			return fmt.Errorf("the compensation %s happened with %d keys", e, len(b.effects[e]))
		}
	}
	return nil
}

// Word is the i-th signal that a program is sent; its id is the number.
func Word(i int) string { return fmt.Sprint("word ", i) }

// heard checks that each signal was taken once.
func (p Program) heard(s flow.State) error {
	words, err := flow.ResultOf[[]string](s)
	if err != nil {
		return err
	}
	var want []string
	for i := range p.Words {
		want = append(want, Word(i))
	}
	slices.Sort(words)
	if slices.Sort(want); !slices.Equal(words, want) {
		return fmt.Errorf("it heard %q of %d signals", words, len(want))
	}
	return nil
}

// Children are the ids of the child flows that may have been started.
func (p Program) Children() []string {
	var ids []string
	for i, op := range p.Ops {
		if op.Do == child {
			ids = append(ids, p.ID+"-"+fmt.Sprint(child, i))
		}
	}
	return ids
}

// Kid is the name of the child flows.
const Kid = kid

// SignalName is the signal that programs take.
const SignalName = word
