// Package spec runs the specifications of a domain: tables of "given these events,
// when this command comes, then these events follow, or this refusal".
//
// It is for tests of the domain packages under services/ alone. Besides the outcome
// it checks what every domain promises: folding changes no state that was handed to
// it, and a state survives being stored as a snapshot.
package spec

import (
	"bytes"
	"errors"
	"reflect"
	"testing"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// Case is one sentence of a specification.
type Case[C, E any] struct {
	Name  string
	Given []E
	When  C
	Then  []E   // empty: nothing to do
	Err   error // compared with errors.Is
}

// Run checks every case against a domain.
func Run[S, C, E any](t *testing.T, decide func(S, C) ([]E, error), evolve func(S, E) S, cases []Case[C, E]) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			state := Fold(t, evolve, c.Given...)
			got, err := decide(state, c.When)
			if !errors.Is(err, c.Err) || (c.Err == nil && err != nil) {
				t.Fatalf("%+v: error %v, want %v", c.When, err, c.Err)
			}
			if len(got) != len(c.Then) {
				t.Fatalf("%+v: events %+v, want %+v", c.When, got, c.Then)
			}
			for i := range got {
				if !reflect.DeepEqual(got[i], c.Then[i]) {
					t.Errorf("%+v: event %d is %+v, want %+v", c.When, i, got[i], c.Then[i])
				}
			}
			fold(t, evolve, state, got)
		})
	}
}

// Fold folds events into a state and checks each step.
func Fold[S, E any](t testing.TB, evolve func(S, E) S, events ...E) S {
	t.Helper()
	var zero S
	return fold(t, evolve, zero, events)
}

func fold[S, E any](t testing.TB, evolve func(S, E) S, state S, events []E) S {
	t.Helper()
	for _, e := range events {
		before := snapshot(t, state)
		next := evolve(state, e)
		if after := snapshot(t, state); !bytes.Equal(before, after) {
			t.Fatalf("%+v changed the state it was given from %s to %s", e, before, after)
		}
		var restored S
		stored := snapshot(t, next)
		if err := contract.Unmarshal(stored, &restored); err != nil {
			t.Fatalf("the state %s cannot be read back: %v", stored, err)
		}
		if again := snapshot(t, restored); !bytes.Equal(stored, again) {
			t.Fatalf("the state %s comes back as %s", stored, again)
		}
		state = next
	}
	return state
}

func snapshot[S any](t testing.TB, state S) []byte {
	t.Helper()
	b, err := contract.Marshal(state)
	if err != nil {
		t.Fatalf("the state %+v cannot be stored: %v", state, err)
	}
	return b
}
