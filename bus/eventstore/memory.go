package eventstore

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/ordermesh/ordermesh/bus"
)

// MemoryLog is a [Log] that lives and dies with the process: for tests of domain
// code, simulations and programs that need no durability.
type MemoryLog struct {
	mu       sync.RWMutex
	last     uint64
	subjects map[string][]Message
}

// NewMemoryLog returns an empty log.
func NewMemoryLog() *MemoryLog { return &MemoryLog{subjects: map[string][]Message{}} }

// Append implements [Log].
func (l *MemoryLog) Append(ctx context.Context, m Message, expect uint64) (uint64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	m.Header, m.Data = maps.Clone(m.Header), bytes.Clone(m.Data)
	l.mu.Lock()
	defer l.mu.Unlock()
	if current := last(l.subjects[m.Subject]).Sequence; expect != bus.NoExpectation && expect != current {
		return 0, fmt.Errorf("append to %s: %w: expected %d, it is %d", m.Subject, bus.ErrConflict, expect, current)
	}
	l.last++
	m.Sequence, m.Time = l.last, time.Now().UTC()
	l.subjects[m.Subject] = append(l.subjects[m.Subject], m)
	return m.Sequence, nil
}

func last(messages []Message) Message {
	if len(messages) == 0 {
		return Message{}
	}
	return messages[len(messages)-1]
}

// Last implements [Log].
func (l *MemoryLog) Last(ctx context.Context, subject string) (Message, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return last(l.subjects[subject]), ctx.Err()
}

// Peek implements [Log]; it is never older than Last here.
func (l *MemoryLog) Peek(ctx context.Context, subject string) (Message, error) {
	return l.Last(ctx, subject)
}

// Range implements [Log].
func (l *MemoryLog) Range(ctx context.Context, subject string, after uint64) iter.Seq2[Message, error] {
	return func(yield func(Message, error) bool) {
		l.mu.RLock()
		messages := l.subjects[subject] // appended to, never changed
		l.mu.RUnlock()
		i, found := slices.BinarySearchFunc(messages, after, func(m Message, seq uint64) int {
			return cmp.Compare(m.Sequence, seq)
		})
		if found {
			i++
		}
		for _, m := range messages[i:] {
			if err := ctx.Err(); err != nil {
				yield(Message{}, err)
				return
			}
			if !yield(m, nil) {
				return
			}
		}
	}
}
