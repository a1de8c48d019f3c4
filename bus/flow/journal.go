package flow

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/failpoint"
)

const (
	// fullPage is the size from which a journal message is no longer extended: later
	// messages name its sequence instead of repeating it.
	fullPage = 8 << 10
	// lingers is how long a record may wait for company when the function neither
	// begins another step nor returns.
	lingers = 2 * time.Millisecond
	// lingersCheap is how long the record of a cheap step may.
	lingersCheap = 500 * time.Millisecond
)

// errFenced reports that another writer extends the journal: this one stops without
// a trace.
var errFenced = errors.New("another writer has taken over the journal")

// ending is how an instance leaves the engine: ended, or stuck.
type ending struct {
	Status Status
	Result contract.Raw
	Ref    string // a large result's name in the object store; Result may be at hand as well
	Error  contract.Raw
	Reason string
}

// journalOwner is told what becomes of a journal, on the goroutine that brought it
// about.
type journalOwner interface {
	written(size int) // a message is stored
	settle(e ending)  // the end is stored; called at most once
	lose(err error)   // somebody else writes, or nobody can; called at most once
}

// journal writes one instance's subject. It is a group commit: at most one message
// is on its way, what is recorded meanwhile shares the next one. The flow's
// goroutine adds records, acknowledgements arrive on another; nobody waits for the
// network under the lock.
type journal struct {
	ctx     context.Context //nolint:containedctx // the partition's life: after it nothing is sent again
	log     Log
	subject string
	writer  string
	origin  origin
	prefix  []byte // the encoded origin
	owner   journalOwner

	mu      sync.Mutex
	changed sync.Cond
	status  Status
	waiting bool // the open record is a wait
	fresh   bool // a generation has begun of which nothing is stored
	replies []string
	memory
	mail    []letter
	wish    string // the name of the letter that the function asked for last
	report  contract.Raw
	pages   []uint64 // full pages before the current one
	page    []byte   // encoded records of the current page, as far as they were sent
	pending []byte   // encoded records that were never sent
	ends    []span   // where each of them ends
	few     [8]span  // room for them
	open    *record
	end     *ending

	base    uint64 // sequence of the last message that is known to be stored
	n       uint64 // messages built by this writer
	version uint64 // counts changes
	wanted  uint64 // changes up to here shall be stored without delay
	sent    uint64 // changes up to here are in the message under way or stored
	cheap   uint64 // how many of the changes after that are records of cheap steps
	durable uint64 // changes up to here are stored
	sending bool
	final   bool // the message under way, or the last one, has the end
	dead    bool

	revoking bool   // the message under way removes the stale alarm
	held     bool   // something else than an alarm wakes the flow until the wait or the end is known
	unsure   bool   // nobody knows whether the alarm is set
	alarm    string // subject of the alarm that may be set for the current wait
	stale    string // subject of one that is not needed any more
	buf      []byte
	msg      nats.Msg
	timer    *time.Timer
}

// span is a pending record: where its text ends, and the letter that it took, if any.
type span struct {
	end  int
	took *letter
}

var buffers = sync.Pool{New: func() any { return new([]byte) }}

// borrow returns an empty buffer with some room.
func borrow() []byte {
	if b, ok := buffers.Get().(*[]byte); ok {
		return (*b)[:0]
	}
	return nil
}

// giveBack returns a buffer that nobody refers to any more. One that has become big
// is left to the garbage collector.
func giveBack(b []byte) {
	if cap(b) <= 4*fullPage {
		buffers.Put(&b)
	}
}

// add appends a closed record and clears the open one. It returns the version to
// wait for when the record must be durable.
func (j *journal) add(r *record) uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.addLocked(r, nil)
}

func (j *journal) addLocked(r *record, took *letter) uint64 {
	j.recordLocked(r, took)
	j.touch()
	return j.version
}

// recordLocked encodes a closed record; j.mu is held.
func (j *journal) recordLocked(r *record, took *letter) {
	if len(j.pending) > 0 {
		j.pending = append(j.pending, ',')
	}
	j.pending = r.append(j.pending)
	j.ends = append(j.ends, span{len(j.pending), took})
	j.open, j.waiting = nil, false
}

// addCheap is add for a record that nobody needs soon.
func (j *journal) addCheap(r *record) uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	calm, first := j.calm(), j.cheap == 0
	j.recordLocked(r, nil)
	j.version++
	j.cheap++
	switch {
	case j.dead, !calm: // what else waits takes it along
	case j.timer == nil:
		j.timer = time.AfterFunc(lingersCheap, j.flush)
	case first:
		j.timer.Reset(lingersCheap)
	}
	return j.version
}

// calm reports whether nothing but records of cheap steps waits to be sent; j.mu is
// held.
func (j *journal) calm() bool { return j.version-j.sent == j.cheap }

// setOpen notes what is known of the step under way; nil forgets it.
func (j *journal) setOpen(r *record) uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.open, j.waiting = r, false
	j.touch()
	return j.version
}

// touch counts a change and makes sure that it does not linger; j.mu is held.
func (j *journal) touch() {
	j.version++
	if j.dead {
		return
	}
	if j.timer == nil {
		j.timer = time.AfterFunc(lingers, j.flush)
	} else {
		j.timer.Reset(lingers)
	}
}

// enter changes the status that the next message shows.
func (j *journal) enter(s Status) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.status = s
}

// maxWaiters is how many waiting clients an instance remembers. Others learn the
// outcome when they ask for the state, as all of them do now and then.
const maxWaiters = 64

// answerTo adds a reply subject that shall get the outcome.
func (j *journal) answerTo(reply string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if slices.Contains(j.replies, reply) {
		return
	}
	if len(j.replies) >= maxWaiters {
		if i := slices.IndexFunc(j.replies, isClient); i >= 0 {
			j.replies = slices.Delete(slices.Clone(j.replies), i, i+1)
		}
	}
	j.replies = append(j.replies, reply)
	j.version++ // stored with the next message; the input is held until then
}

// waiters returns who wants the outcome.
func (j *journal) waiters() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.replies
}

// undoing reports whether compensations have begun.
func (j *journal) undoing() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.status == Compensating
}

// finish records the end and sends everything. held says that after a crash the alarm
// is not needed to make the end known.
func (j *journal) finish(e ending, held bool) {
	j.mu.Lock()
	j.end, j.held = &e, held
	j.version++
	j.mu.Unlock()
	j.flush()
}

// flush sends what is not on its way yet, or lets it join the next message.
func (j *journal) flush() {
	j.mu.Lock()
	j.wanted = j.version
	j.sendLocked()
}

// flushUnlessCheap is flush when something else waits than records of cheap steps.
func (j *journal) flushUnlessCheap() {
	j.mu.Lock()
	if !j.calm() {
		j.wanted = j.version
	}
	j.sendLocked()
}

// await blocks until the changes up to version are stored; false means that this
// writer is out.
func (j *journal) await(version uint64) bool {
	j.flush()
	j.mu.Lock()
	defer j.mu.Unlock()
	for j.durable < version && !j.dead {
		j.changed.Wait()
	}
	return j.durable >= version
}

// covers reports whether the changes up to version are stored.
func (j *journal) covers(version uint64) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.durable >= version
}

// stop keeps the journal from sending anything more. What is on its way may still
// arrive; an end that does is still announced.
func (j *journal) stop() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.dead = true
	if j.timer != nil {
		j.timer.Stop()
	}
	j.changed.Broadcast()
}

// sendLocked sends the next message unless one is under way or nothing asks for it.
// It is called with j.mu held and releases it.
func (j *journal) sendLocked() {
	if j.sending || j.dead || j.final || j.wanted <= j.sent {
		j.mu.Unlock()
		return
	}
	j.build()
	j.sending = true
	expect := j.base
	j.mu.Unlock()
	failpoint.Hit("flow.append_ready")
	j.log.Append(&j.msg, expect, j.appended)
	failpoint.Hit("flow.append_sent")
}

// build encodes the next message; j.mu is held and none is under way.
func (j *journal) build() {
	if len(j.page) >= fullPage {
		j.pages = append(j.pages, j.base)
		j.page = j.page[:0]
	}
	all := j.turnPage()
	j.n++
	j.cheap = 0
	b := append(j.buf[:0], j.prefix...)
	status := j.status
	j.final = all && j.end != nil
	switch {
	case j.final:
		status = j.end.Status
	case all && j.waiting && status == Running && j.open.Kind.waits():
		status = Waiting
	}
	b = appendMember(b, "status", string(status))
	b = appendMember(b, "writer", j.writer)
	b = strconv.AppendUint(appendName(b, "n"), j.n, 10)
	b = appendStrings(b, "replies", j.replies)
	b = j.appendMemory(b)
	b = appendMail(b, j.kept())
	b = appendRaw(b, "report", j.report)
	b = appendSequences(b, "pages", j.pages)
	if len(j.page) > 0 {
		b = append(appendName(b, "records"), '[')
		b = append(append(b, j.page...), ']')
	}
	if all {
		if j.open != nil {
			b = j.open.append(appendName(b, "open"))
		}
		if j.end != nil {
			b = j.end.appendResult(b)
			b = appendRaw(b, "error", j.end.Error)
			b = appendMember(b, "reason", j.end.Reason)
		}
		j.sent = j.version
		if j.timer != nil {
			j.timer.Stop()
		}
	}
	j.buf = append(b, '}')
	j.msg = nats.Msg{Subject: j.subject, Data: j.buf}
	j.revoke()
	j.rollUp()
}

// turnPage moves pending records into the page until it is full and reports whether
// all fitted. A record is never split, and there is always room for one.
func (j *journal) turnPage() bool {
	taken, from := 0, 0
	for taken < len(j.ends) && len(j.page) < fullPage {
		if len(j.page) > 0 && from == 0 {
			j.page = append(j.page, ',')
		}
		j.page = append(j.page, j.pending[from:j.ends[taken].end]...)
		from = j.ends[taken].end
		taken++
	}
	if taken == len(j.ends) {
		j.pending, j.ends = j.pending[:0], j.ends[:0]
		return true
	}
	from++ // the comma
	j.pending = append(j.pending[:0], j.pending[from:]...)
	j.ends = j.ends[:copy(j.ends, j.ends[taken:])]
	for i := range j.ends {
		j.ends[i].end -= from
	}
	return false
}

// appended takes the outcome of the message under way.
func (j *journal) appended(sequence uint64, err error) {
	if err != nil {
		go j.resolve(err)
		return
	}
	failpoint.Hit("flow.append_acked")
	j.stored(sequence)
}

// stored goes on after the message under way is known to be in the log.
func (j *journal) stored(sequence uint64) {
	j.mu.Lock()
	j.base, j.sending, j.durable = sequence, false, j.sent
	j.revoked()
	j.rolledUp()
	size := len(j.buf)
	settled := j.final
	j.changed.Broadcast()
	if settled {
		end := *j.end
		j.dead = true
		j.mu.Unlock()
		j.owner.written(size)
		j.owner.settle(end)
		return
	}
	j.sendLocked()
	j.owner.written(size)
}
