// Package storetest is the conformance suite of eventstore.Log: what every log does,
// whether in memory, on one server or on three.
//
// It is for tests of implementations. New behaviour of a log is first a case here.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/eventstore"
)

// Subject is a pattern that the logs under test must store.
const Subject = "evt.storetest.*"

// Run runs the suite; open returns a log that holds no message on Subject.
func Run(t *testing.T, open func(t *testing.T) eventstore.Log) {
	t.Helper()
	l := open(t)
	for name, test := range map[string]func(*testing.T, eventstore.Log, string){
		"nothing yet":                        nothingYet,
		"what is stored is read":             roundTrip,
		"plain messages":                     plainMessage,
		"expectation":                        expectation,
		"buffers are copied":                 buffersAreCopied,
		"sequences grow":                     sequencesGrow,
		"ranges":                             ranges,
		"long ranges":                        longRange,
		"an ended context":                   endedContext,
		"of many writers one wins each time": manyWriters,
		"the last message is never old":      freshness,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, l, "evt.storetest."+token(t.Name()))
		})
	}
}

func token(name string) string {
	b := []byte(name)
	for i, c := range b {
		if c == '/' || c == ' ' || c == '.' {
			b[i] = '-'
		}
	}
	return string(b)
}

func message(subject, text string) eventstore.Message {
	return eventstore.Message{Subject: subject, Header: nats.Header{"Mesh-Test": {text}}, Data: []byte(text)}
}

func append1(t *testing.T, l eventstore.Log, subject, text string, expect uint64) uint64 {
	t.Helper()
	seq, err := Append(t.Context(), l, message(subject, text), expect)
	if err != nil {
		t.Fatalf("append %q: %v", text, err)
	}
	return seq
}

// Append appends like a careful caller: on a cluster a conflict with a write that is
// still on its way, and the first moments of a stream, are waited for.
func Append(ctx context.Context, l eventstore.Log, m eventstore.Message, expect uint64) (uint64, error) {
	for {
		seq, err := l.Append(ctx, m, expect)
		if err == nil || ctx.Err() != nil {
			return seq, err
		}
		if !errors.Is(err, bus.ErrNoStream) && !errors.Is(err, bus.ErrConflict) {
			return 0, err
		}
		if last, lerr := l.Last(ctx, m.Subject); errors.Is(err, bus.ErrConflict) && lerr == nil &&
			(expect == bus.NoExpectation || last.Sequence != expect) {
			return 0, err
		}
	}
}

// read reads the range after a sequence until it holds want messages, because a
// range may miss the newest.
func read(t *testing.T, l eventstore.Log, subject string, after uint64, want int) []eventstore.Message {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		var got []eventstore.Message
		var failed error
		for m, err := range l.Range(t.Context(), subject, after) {
			if err != nil {
				failed = err
				break
			}
			got = append(got, m)
		}
		if len(got) >= want && failed == nil {
			return got
		}
		if time.Now().After(deadline) {
			t.Fatalf("range after %d has %d messages, want %d (%v)", after, len(got), want, failed)
		}
	}
}

func nothingYet(t *testing.T, l eventstore.Log, subject string) {
	t.Helper()
	for name, look := range map[string]func(context.Context, string) (eventstore.Message, error){"Last": l.Last, "Peek": l.Peek} {
		if m, err := look(t.Context(), subject); err != nil || m.Sequence != 0 {
			t.Errorf("%s of an unused subject: sequence %d, error %v; want 0 and none", name, m.Sequence, err)
		}
	}
	if got := read(t, l, subject, 0, 0); len(got) != 0 {
		t.Errorf("range of an unused subject has %d messages", len(got))
	}
}

func roundTrip(t *testing.T, l eventstore.Log, subject string) {
	t.Helper()
	before := time.Now().Add(-time.Minute)
	want := eventstore.Message{
		Subject: subject, Data: []byte(`{"text":"ä \" \\ ∅"}`),
		Header: nats.Header{"Mesh-Version": {"1-2"}, "Mesh-Prev": {"0"}, "lower-case": {"kept"}, "Mesh-Many": {"a", "b"}},
	}
	seq, err := Append(t.Context(), l, want, 0)
	if err != nil {
		t.Fatal(err)
	}
	last, err := l.Last(t.Context(), subject)
	if err != nil {
		t.Fatal(err)
	}
	got := append(read(t, l, subject, 0, 1), last)
	if peeked, err := l.Peek(t.Context(), subject); err == nil && peeked.Sequence > 0 {
		got = append(got, peeked)
	}
	for _, m := range got {
		if m.Time.Before(before) || m.Time.After(time.Now().Add(time.Minute)) {
			t.Errorf("stored at %s", m.Time)
		}
		m.Time, m.Sequence = time.Time{}, m.Sequence-seq
		delete(m.Header, "Nats-Expected-Last-Subject-Sequence")
		delete(want.Header, "Nats-Expected-Last-Subject-Sequence")
		if diff := cmp.Diff(want, m); diff != "" {
			t.Errorf("read something else than stored (-want +got):\n%s", diff)
		}
	}
}

func plainMessage(t *testing.T, l eventstore.Log, subject string) {
	t.Helper()
	if _, err := Append(t.Context(), l, eventstore.Message{Subject: subject, Data: []byte("no header")}, bus.NoExpectation); err != nil {
		t.Fatal(err)
	}
	if _, err := Append(t.Context(), l, eventstore.Message{Subject: subject}, bus.NoExpectation); err != nil {
		t.Fatal(err)
	}
	got := read(t, l, subject, 0, 2)
	if len(got) != 2 || len(got[0].Header) != 0 || string(got[0].Data) != "no header" || len(got[1].Data) != 0 {
		t.Errorf("read %+v", got)
	}
	if m, err := l.Last(t.Context(), subject); err != nil || len(m.Data) != 0 || len(m.Header) != 0 || m.Sequence != got[1].Sequence {
		t.Errorf("Last of an empty message: %+v, %v", m, err)
	}
}

func expectation(t *testing.T, l eventstore.Log, subject string) {
	t.Helper()
	first := append1(t, l, subject, "first", 0)
	second := append1(t, l, subject, "second", first)
	for _, wrong := range []uint64{0, first, second - 1, second + 1, second + 1000} {
		if seq, err := Append(t.Context(), l, message(subject, "wrong"), wrong); !errors.Is(err, bus.ErrConflict) {
			t.Errorf("append expecting %d after %d: sequence %d, error %v; want a conflict", wrong, second, seq, err)
		}
	}
	third := append1(t, l, subject, "third", bus.NoExpectation)
	if got := read(t, l, subject, 0, 3); len(got) != 3 || got[2].Sequence != third {
		t.Errorf("refused appends left something behind: %d messages", len(got))
	}
	if _, err := Append(t.Context(), l, message(subject+"-other", "x"), second); !errors.Is(err, bus.ErrConflict) {
		t.Errorf("an expectation holds for one subject only, got %v", err)
	}
}

func buffersAreCopied(t *testing.T, l eventstore.Log, subject string) {
	t.Helper()
	m := message(subject, "original")
	seq, err := Append(t.Context(), l, m, 0)
	if err != nil {
		t.Fatal(err)
	}
	copy(m.Data, "changed!")
	m.Header["Mesh-Test"] = []string{"changed"}
	got, err := l.Last(t.Context(), subject)
	if err != nil || !bytes.Equal(got.Data, []byte("original")) || got.Header.Get("Mesh-Test") != "original" || got.Sequence != seq {
		t.Errorf("a change after the append shows in the log: %+v, %v", got, err)
	}
}

func sequencesGrow(t *testing.T, l eventstore.Log, subject string) {
	t.Helper()
	var previous uint64
	for i := range 20 {
		s := subject + "-" + strconv.Itoa(i%3)
		seq := append1(t, l, s, "x", bus.NoExpectation)
		if seq <= previous {
			t.Errorf("sequence %d after %d", seq, previous)
		}
		previous = seq
	}
}

func ranges(t *testing.T, l eventstore.Log, subject string) {
	t.Helper()
	var seqs []uint64
	var expect uint64
	for i := range 10 {
		expect = append1(t, l, subject, strconv.Itoa(i), expect)
		seqs = append(seqs, expect)
		append1(t, l, subject+"-neighbour", "x", bus.NoExpectation)
	}
	for i, after := range append([]uint64{0}, seqs...) {
		got := read(t, l, subject, after, len(seqs)-i)
		var gotSeqs []uint64
		for _, m := range got {
			gotSeqs = append(gotSeqs, m.Sequence)
		}
		if !slices.Equal(gotSeqs, seqs[i:]) {
			t.Errorf("range after %d: %v, want %v", after, gotSeqs, seqs[i:])
		}
	}
	if got := read(t, l, subject, seqs[9]+100, 0); len(got) != 0 {
		t.Errorf("a range behind the end has %d messages", len(got))
	}
	for range 2 { // stopping early leaves a log that works
		for m, err := range l.Range(t.Context(), subject, 0) {
			if err != nil || m.Sequence != seqs[0] {
				t.Errorf("first of the range: %d, %v", m.Sequence, err)
			}
			break
		}
	}
}

func longRange(t *testing.T, l eventstore.Log, subject string) {
	t.Helper()
	const n = 700
	var wait sync.WaitGroup
	for w := range 10 {
		wait.Go(func() {
			for i := range n / 10 {
				if _, err := Append(t.Context(), l, message(subject, fmt.Sprint(w, i)), bus.NoExpectation); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wait.Wait()
	got := read(t, l, subject, 0, n)
	if len(got) != n || !slices.IsSortedFunc(got, bySequence) {
		t.Errorf("%d messages, want %d in order", len(got), n)
	}
}

func endedContext(t *testing.T, l eventstore.Log, subject string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Append(ctx, message(subject, "late"), 0); !errors.Is(err, context.Canceled) {
		t.Errorf("append: %v", err)
	}
	if _, err := l.Last(ctx, subject); !errors.Is(err, context.Canceled) {
		t.Errorf("last: %v", err)
	}
	if m, err := l.Last(t.Context(), subject); err != nil || m.Sequence != 0 {
		t.Errorf("an append that was too late is stored: %+v, %v", m, err)
	}
}

// manyWriters counts up in one subject: each message says how many came before.
func manyWriters(t *testing.T, l eventstore.Log, subject string) {
	t.Helper()
	const writers, each = 10, 10
	var wait sync.WaitGroup
	for range writers {
		wait.Go(func() {
			for range each {
				if err := countUp(t.Context(), l, subject); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wait.Wait()
	for i, m := range read(t, l, subject, 0, writers*each) {
		if string(m.Data) != strconv.Itoa(i+1) {
			t.Fatalf("message %d says %s: an update was lost", i+1, m.Data)
		}
	}
}

func countUp(ctx context.Context, l eventstore.Log, subject string) error {
	for {
		last, err := l.Last(ctx, subject)
		if err != nil {
			return err
		}
		n, _ := strconv.Atoi(string(last.Data))
		_, err = l.Append(ctx, message(subject, strconv.Itoa(n+1)), last.Sequence)
		if err == nil || !errors.Is(err, bus.ErrConflict) {
			return err
		}
	}
}

func freshness(t *testing.T, l eventstore.Log, subject string) {
	t.Helper()
	var expect uint64
	for i := range 100 {
		expect = append1(t, l, subject, strconv.Itoa(i), expect)
		if m, err := l.Last(t.Context(), subject); err != nil || m.Sequence != expect {
			t.Fatalf("Last after append %d: %d, %v", expect, m.Sequence, err)
		}
	}
}

func bySequence(a, b eventstore.Message) int {
	switch {
	case a.Sequence < b.Sequence:
		return -1
	case a.Sequence > b.Sequence:
		return 1
	}
	return 0
}
