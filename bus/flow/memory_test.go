package flow

import (
	"fmt"
	"testing"
	"time"
)

// Letters are recognised by their places when their ids are forgotten, unless they were
// handed back.
func TestLettersAreRecognised(t *testing.T) {
	t.Parallel()
	var m memory
	refused := letter{ID: "refused", Seq: 3}
	m.refuse(refused)
	for place := uint64(1); place <= 3*remembered; place++ {
		if place != refused.Seq && !m.note(fmt.Sprint(place), place, 0) {
			t.Fatalf("%d is not new", place)
		}
	}
	if len(m.seen) != remembered || len(m.places) != remembered {
		t.Errorf("%d ids and %d places are remembered", len(m.seen), len(m.places))
	}
	for place := uint64(1); place <= 3*remembered; place++ {
		l := letter{ID: fmt.Sprint(place), Seq: place}
		if l.Seq == refused.Seq {
			l = refused
		}
		if m.knows(l) == (l.ID == refused.ID) {
			t.Errorf("letter %d: known %v", place, m.knows(l))
		}
	}
	if m.accept(refused); !m.knows(refused) {
		t.Error("the letter that was handed back is not known once it was taken")
	}
	if m.knows(letter{ID: "new", Seq: 3*remembered + 1}) {
		t.Error("a new letter is taken for a known one")
	}
}

// After a flow was stuck its letters come in any order for a while: none is forgotten.
func TestNoLetterIsForgottenSoonAfterBeingStuck(t *testing.T) {
	t.Parallel()
	m := (&page{Status: Stuck, Seen: []string{"old"}}).memory()
	for place := uint64(100); place < 100+2*remembered; place++ {
		m.note(fmt.Sprint(place), place, 0)
	}
	if m.knows(letter{ID: "late", Seq: 50}) {
		t.Error("a letter that was handed back while the flow was stuck is lost")
	}
	m.young = time.Now()
	for place := uint64(1000); place < 1000+10*mostRemembered; place++ {
		m.note(fmt.Sprint(place), place, 0)
	}
	if len(m.seen) > mostRemembered {
		t.Errorf("%d ids are remembered", len(m.seen))
	}
}

// Clients that wait again and again do not make a journal grow; parents are kept.
func TestOnlySoManyWaitersAreRemembered(t *testing.T) {
	t.Parallel()
	j := &journal{}
	j.answerTo(parentPrefix + "f.1")
	for i := range 10 * maxWaiters {
		j.answerTo(fmt.Sprint("inbox.", i))
	}
	if r := j.waiters(); len(r) != maxWaiters || r[0] != parentPrefix+"f.1" || r[maxWaiters-1] != fmt.Sprint("inbox.", 10*maxWaiters-1) {
		t.Errorf("%d waiters, the first %s, the last %s", len(r), r[0], r[len(r)-1])
	}
}
