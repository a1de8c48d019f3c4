package rpc

import (
	"slices"
	"time"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// The delays that a queue is kept to. They follow "Fail at Scale" (Ben Maurer, ACM Queue
// 13(8), 2015), which follows CoDel (Kathleen Nichols and Van Jacobson, "Controlling Queue
// Delay", ACM Queue 10(5), 2012; RFC 8289): a queue that empties now and then absorbs a
// burst and may be long; one that has not been empty for a while only makes everybody wait,
// and is kept short.
//
// There, who has waited too long is dropped when his turn comes. Here a request is refused
// when it arrives, if the requests before it will take too long at the pace at which the
// queue moves: its caller learns it at once, and what is in the queue is served.
const (
	// standing is how long a queue may not be empty before it is kept short.
	standing = 100 * time.Millisecond
	// calm is how long a queue is kept short after the last refusal for that reason.
	calm = time.Second
	// burst is how long a request may have to wait in a queue that empties now and then.
	burst = 100 * time.Millisecond
	// shortest and longest bound how long a request may have to wait in a standing queue:
	// half of what a handler takes, so that what is accepted takes hardly longer than usual;
	// a command twice as long, as more depends on it.
	shortest = 5 * time.Millisecond
	longest  = 100 * time.Millisecond
	// starved is how long a request waits at most while others overtake it.
	starved = time.Second
)

// The queue's lines, by priority. What is urgent is refused only when nothing else waits.
const (
	urgent = int(contract.PriorityUrgent)
	lines  = urgent + 1
)

// queue is the requests that wait for a goroutine: those of a higher priority first, and
// in the order of their arrival. It belongs to the pool's lock.
type queue struct {
	most   int // requests
	hands  int // that serve
	lines  [lines][]job
	length int

	handler time.Duration // what a handler takes, on average
	filled  time.Duration // since when it has not been empty
	moved   time.Duration // when a request left it last; 0 if it has been empty since

	shortUntil time.Duration // by when it may be long again

	second  time.Duration // when the current one began
	refused [2]int        // in the second before and in this one
}

// line is where a request stands.
func line(j *job) int { return min(int(j.endpoint.info.Priority), lines-1) }

// offer takes a request in. It returns those that must be refused: this one, or others of
// a lower priority that give way to it.
func (q *queue) offer(j job, now time.Duration) (refused []job) {
	refused = q.hopeless(now)
	if q.length == 0 {
		q.filled, q.moved = now, 0
	}
	mine := line(&j)
	if mine < urgent && q.ahead(mine) >= q.room(mine, now) {
		if q.stands(now) {
			q.shortUntil = now + calm
		}
		return append(refused, j)
	}
	if q.length >= q.most {
		other, ok := q.lowest(mine)
		if !ok {
			return append(refused, j)
		}
		refused = append(refused, other)
	}
	j.queued = true
	q.lines[mine] = append(q.lines[mine], j)
	q.length++
	return refused
}

// ahead is how many requests are served before one that comes now.
func (q *queue) ahead(mine int) int {
	n := 0
	for _, l := range q.lines[mine:] {
		n += len(l)
	}
	return n
}

// room is how many requests may stand before one that is accepted.
func (q *queue) room(mine int, now time.Duration) int {
	wait := max(burst, q.handler)
	if q.stands(now) {
		wait = min(max(q.handler/2, shortest), longest)
		if mine >= int(contract.PriorityCommand) {
			wait *= 2
		}
	}
	return min(max(int(wait/q.pace(now)), 1), q.most)
}

// stands reports a queue that is kept short.
func (q *queue) stands(now time.Duration) bool {
	return now-q.filled > standing && q.length > 0 || now < q.shortUntil
}

// pace is the time between two requests that leave: so many hands take one each in the
// time of a handler. As long as nothing leaves, handlers take longer than they did.
func (q *queue) pace(now time.Duration) time.Duration {
	since := q.moved
	if since == 0 {
		since = q.filled
	}
	return max(max(q.handler, now-since)/time.Duration(q.hands), 1)
}

// lowest takes out the newest request of the lowest line below mine.
func (q *queue) lowest(mine int) (job, bool) {
	for i := range mine {
		if n := len(q.lines[i]); n > 0 {
			j := q.lines[i][n-1]
			q.lines[i][n-1] = job{}
			q.lines[i] = q.lines[i][:n-1]
			q.length--
			return j, true
		}
	}
	return job{}, false
}

// hopeless takes out requests that others have overtaken for too long.
func (q *queue) hopeless(now time.Duration) (refused []job) {
	for i := range q.lines {
		for len(q.lines[i]) > 0 && now-q.lines[i][0].arrival > starved && q.ahead(i+1) > 0 {
			refused = append(refused, q.shift(i))
		}
	}
	return refused
}

// take returns the request whose turn it is.
func (q *queue) take(now time.Duration) (job, bool) {
	if q.length == 0 {
		return job{}, false
	}
	q.moved = now
	for i := range slices.Backward(q.lines[:]) {
		if len(q.lines[i]) > 0 {
			return q.shift(i), true
		}
	}
	return job{}, false
}

func (q *queue) shift(i int) job {
	j := q.lines[i][0]
	q.lines[i][0] = job{}
	if q.lines[i] = q.lines[i][1:]; len(q.lines[i]) == 0 {
		q.lines[i] = nil
	}
	if q.length--; q.length == 0 {
		q.moved = 0
	}
	return j
}

// note counts a refusal and returns when to come back: when all that was refused in the
// last second could have been served.
func (q *queue) note(now time.Duration) time.Duration {
	if past := now - q.second; past >= time.Second {
		q.refused[0] = q.refused[1]
		if past >= 2*time.Second {
			q.refused[0] = 0
		}
		q.refused[1], q.second = 0, now
	}
	q.refused[1]++
	return min(max(q.pace(now)*time.Duration(max(q.refused[0], q.refused[1])), soonest), latest)
}

// The bounds of the time after which a refused caller may come back.
const (
	soonest = 25 * time.Millisecond
	latest  = 2 * time.Second
)

// served notes what a handler took.
func (q *queue) served(took time.Duration) {
	const weight = 32
	if q.handler == 0 {
		q.handler = took
	}
	q.handler += (took - q.handler) / weight
}
