package eventstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// A leader that is cut off from the other servers goes on answering reads for ten seconds
// and more, with what it knew, while they have a new leader and new messages. It says
// itself how long it has not heard from them: as long as that is too short for them to
// have elected anybody, what it says of a message is true. So a read from the leader
// counts only within such a lease, and one question a second keeps it.
//
// What this cannot see is a server that has lost the leader while a third one hears both
// and elects the first: until the leader notices, within its heartbeat of a second, it may
// answer with what it knew.
const (
	// electedAfter is the shortest time without the leader after which servers elect a
	// new one, less the time that its answers may take to them.
	electedAfter = 3500 * time.Millisecond
	// renewBefore is how much of a lease is left when it is renewed beside the reads.
	renewBefore = 1500 * time.Millisecond
	// aloneFor is the lease of a stream with one copy: nobody can take it over.
	aloneFor = time.Minute
)

// errCutOff reports a leader whom the others may have replaced.
var errCutOff = errors.New("the stream's leader has not heard from the other servers, who may have another leader")

// lease is until when what the leader says is believed.
type lease struct {
	ask  func(context.Context) (time.Duration, error) // for how long nobody can have replaced the leader
	lost func() uint64                                // how often the connection was lost
	held atomic.Pointer[grant]

	mu       sync.Mutex // held by the one that asks
	renewing atomic.Bool
}

// grant is one answer to ask. It is about the leader whom this connection reaches: behind
// another server there may be a former one.
type grant struct {
	until time.Time
	lost  uint64
}

// left is for how much longer the lease lasts; it is 0 or less when it is over.
func (l *lease) left() time.Duration {
	g := l.held.Load()
	if g == nil || g.lost != l.lost() {
		return 0
	}
	return time.Until(g.until)
}

// take returns once there is a lease, before a read. Soon before its end it is renewed
// beside the reads.
func (l *lease) take(ctx context.Context) error {
	switch left := l.left(); {
	case left > renewBefore:
	case left <= 0:
		return l.renew(ctx)
	case l.renewing.CompareAndSwap(false, true):
		go func() {
			defer l.renewing.Store(false)
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readTimeout)
			defer cancel()
			_ = l.renew(ctx) // a read after its end asks itself
		}()
	}
	return nil
}

// covers reports whether the answer to a read, which has just come, was given within the
// lease that the read had taken.
func (l *lease) covers() error {
	if l.left() <= 0 {
		return errCutOff
	}
	return nil
}

// renew asks the leader, once for all who wait.
func (l *lease) renew(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.left() > renewBefore {
		return nil
	}
	sent := grant{until: time.Now(), lost: l.lost()}
	lasts, err := l.ask(ctx)
	if err != nil {
		return err
	}
	if lasts == 0 {
		return errCutOff
	}
	sent.until = sent.until.Add(lasts)
	l.held.Store(&sent)
	return nil
}

// leaderInfo is what a stream's leader says of the others.
type leaderInfo struct {
	Error *struct {
		Description string `json:"description"`
	} `json:"error"`
	Config struct {
		Replicas int `json:"num_replicas"`
	} `json:"config"`
	Cluster struct {
		Replicas []struct {
			Active int64 `json:"active"` // nanoseconds since it was heard of; 0 for never
		} `json:"replicas"`
	} `json:"cluster"`
}

// lasts is for how long from now on nobody can have replaced the leader: with itself, a
// majority heard of it so short a time ago.
func (i leaderInfo) lasts() time.Duration {
	if i.Config.Replicas <= 1 && len(i.Cluster.Replicas) == 0 {
		return aloneFor
	}
	var recent []time.Duration
	for _, r := range i.Cluster.Replicas {
		if heard := time.Duration(r.Active); heard > 0 && heard < electedAfter {
			recent = append(recent, heard)
		}
	}
	others := max(i.Config.Replicas, len(i.Cluster.Replicas)+1) / 2 // that make a majority with the leader
	if len(recent) < others {
		return 0
	}
	slices.Sort(recent)
	return electedAfter - recent[others-1]
}

// askLeader asks the stream's leader for how long it cannot have been replaced.
func (l *JetStreamLog) askLeader(ctx context.Context) (time.Duration, error) {
	resp, err := l.request(ctx, l.info, nil)
	if err != nil {
		return 0, fmt.Errorf("ask for the leader of %s: %w", l.stream, err)
	}
	var info leaderInfo
	if err := contract.UnmarshalLenient(resp.Data, &info); err != nil {
		return 0, fmt.Errorf("ask for the leader of %s: %w", l.stream, err)
	}
	if info.Error != nil {
		return 0, fmt.Errorf("ask for the leader of %s: %s", l.stream, info.Error.Description)
	}
	return info.lasts(), nil
}
