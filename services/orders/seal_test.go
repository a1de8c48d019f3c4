package orders

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ordermesh/ordermesh/contracts/sealed"
)

func TestTheSealerRenewsItsKeyAndSurvivesAnOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSealer(nil)
		var owner *sealed.PrivateKey
		fetches := 0
		errDown := errors.New("down")
		down := true
		s.fetch = func(context.Context) (*sealed.Sealer, error) {
			fetches++
			if down {
				return nil, errDown
			}
			var err error
			if owner, err = sealed.NewPrivateKey(); err != nil {
				return nil, err
			}
			return sealed.NewSealer(owner.Public())
		}
		if _, err := s.seal(t.Context(), "tok", "o1"); !errors.Is(err, errDown) {
			t.Errorf("without a key: %v", err)
		}
		opens := func(what string, wantFetches int) {
			t.Helper()
			text, err := s.seal(t.Context(), "tok", "o1")
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			if got, err := owner.Open(text, "o1"); err != nil || got != "tok" {
				t.Errorf("%s: opened %q, %v", what, got, err)
			}
			if fetches != wantFetches {
				t.Errorf("%s: %d fetches, want %d", what, fetches, wantFetches)
			}
		}
		down = false
		opens("first", 2)
		opens("soon after", 2)
		<-time.After(keyAge + time.Second) // the bubble's clock
		opens("renewed", 3)
		down = true
		<-time.After(keyAge + time.Second) // the bubble's clock
		opens("in an outage", 4)
		opens("soon after in an outage", 4)
	})
}

// TestWaitingForTheKeyEndsWithTheCaller lets one order fetch while another's time
// runs out.
func TestWaitingForTheKeyEndsWithTheCaller(t *testing.T) {
	t.Parallel()
	s := newSealer(nil)
	fetching, release := make(chan struct{}), make(chan struct{})
	s.fetch = func(context.Context) (*sealed.Sealer, error) {
		close(fetching)
		<-release
		return nil, context.DeadlineExceeded
	}
	done := make(chan error)
	go func() { _, err := s.seal(context.Background(), "tok", "o1"); done <- err }()
	<-fetching
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.seal(ctx, "tok", "o2"); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want the end of the caller", err)
	}
	close(release)
	if err := <-done; !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}
