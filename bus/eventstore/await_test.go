package eventstore_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/eventstore"
)

func TestAwait(t *testing.T) {
	t.Parallel()
	log := eventstore.NewMemoryLog()
	reader, writer := newCounters(log), newCounters(log)
	if _, version, err := reader.Await(t.Context(), "none", 7); version != 0 || err != nil {
		t.Errorf("what does not exist: version %d, %v", version, err)
	}
	do(t, writer, "c", "", command{add: 1})
	if c, version, err := reader.Await(t.Context(), "c", 1); c.N != 1 || version != 1 || err != nil {
		t.Errorf("what is there already: %+v, version %d, %v", c, version, err)
	}
	short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	c, version, err := reader.Await(short, "c", 3)
	var e *contract.Error
	if !errors.Is(err, eventstore.ErrNotReached) || !errors.As(err, &e) || e.Code != contract.Deadline || c.N != 1 || version != 1 {
		t.Errorf("what does not come: %+v, version %d, %v", c, version, err)
	}
	if short.Err() != nil {
		t.Error("there was no time left to answer")
	}
	if _, _, err := reader.Await(short, "a.b", 3); !errors.As(err, &e) || e.Code != contract.Invalid {
		t.Errorf("no id: %v", err)
	}
	reached := make(chan error, 1)
	go func() {
		c, version, err := reader.Await(t.Context(), "c", 3)
		if err == nil && (c.N != 111 || version != 3) {
			err = errors.New("it came too early")
		}
		reached <- err
	}()
	do(t, writer, "c", "", command{add: 10})
	do(t, writer, "c", "", command{add: 100})
	if err := <-reached; err != nil {
		t.Error(err)
	}
	over, end := context.WithCancel(t.Context())
	end()
	if _, _, err := reader.Await(over, "c", 9); err == nil {
		t.Error("a caller who is gone was answered")
	}
}
