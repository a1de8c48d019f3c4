package flow

import (
	"sync"
	"time"
)

// clockWindow is how long what one input tells of the clocks counts, at least.
const clockWindow = time.Minute

// clock estimates by how much the server's clock is ahead of ours, or behind. An input
// tells at least that much: it was stored before it came. So the most that the inputs of
// the last minutes tell is right but for the time that the quickest of them took. Alarms
// ring by the server's clock: set by a clock that is an hour ahead they would ring an hour
// late, for whoever has the flow then.
type clock struct {
	mu           sync.Mutex
	now, before  time.Duration // the most in this window and in the one before
	since        time.Time     // when this window began; zero: nothing is known
	knowsEarlier bool
}

// note takes in when an input was stored.
func (c *clock) note(stored time.Time) {
	if stored.IsZero() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	ahead := time.Until(stored)
	switch {
	case c.since.IsZero():
		c.now, c.since = ahead, time.Now()
	case time.Since(c.since) > clockWindow:
		c.before, c.now, c.since, c.knowsEarlier = c.now, ahead, time.Now(), true
	default:
		c.now = max(c.now, ahead)
	}
}

// ahead is the estimate; 0 while nothing is known.
func (c *clock) ahead() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.knowsEarlier {
		return max(c.now, c.before)
	}
	return c.now
}
