package flow

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

// fresh runs an instance that certainly has no journal: its start is the first
// message of its inbox and nobody was given it before.
func (in *instance) fresh(first *input, s spec) {
	in.attach(in.newJournal(first.origin(s)), s, first.body)
	in.args = in.fetch(in.args, first.ref)
	in.eng.metrics.of(in.name).started.Inc()
	in.run()
}

// load finds out from the journal what its inputs mean: go on, begin, or answer.
func (in *instance) load() {
	var last Stored
	if !in.read(func(ctx context.Context) (err error) {
		last, err = in.eng.log.Last(ctx, contract.FlowLog(in.eng.service, in.name, in.id))
		return err
	}) {
		return
	}
	if last.Sequence == 0 {
		in.beginFromStart()
		return
	}
	p, err := decodePage(last.Data)
	switch {
	case err != nil:
		in.yield(err.Error())
	case p.Status.Ended():
		in.repeatOutcome(p)
	case p.Status == Stuck && !in.woken(p):
		in.repeatOutcome(p)
	default:
		in.resume(p, last.Sequence)
	}
}

// read repeats a read of the log until it succeeds; false means that the instance
// has to leave before.
func (in *instance) read(f func(ctx context.Context) error) bool {
	for tries := 1; in.halted() == haltNever && in.ctx.Err() == nil; tries++ {
		in.eng.reading <- struct{}{}
		err := f(in.ctx)
		<-in.eng.reading
		if err == nil {
			return true
		}
		if tries%10 == 1 {
			in.eng.telemetry.Logger.Warn("the journal cannot be read yet", in.attrs(telemetry.KeyError, err.Error())...)
		}
		in.sleep(Retry{First: 20 * time.Millisecond, Max: time.Second, Factor: 2}.pause(tries, nil))
	}
	return false
}

// beginFromStart runs an instance without a journal, if a start is among its inputs.
func (in *instance) beginFromStart() {
	var first *input
	in.mu.Lock()
	for _, h := range in.held {
		if h.kind == inputStart && (first == nil || h.sequence < first.sequence) {
			first = h
		}
	}
	in.mu.Unlock()
	if first == nil {
		in.orphaned()
		return
	}
	s, ok := in.eng.flows.find(first.name, first.version)
	if !ok {
		in.yield(fmt.Sprintf("version %d is not here", first.version))
		return
	}
	in.fresh(first, s)
}

// orphaned deals with inputs for an instance that has not begun: its start may still
// be waiting for a process that knows its version.
func (in *instance) orphaned() {
	found := false
	if !in.read(func(ctx context.Context) error {
		start, err := findStart(ctx, in.eng.log, in.inbox())
		found = start.Sequence > 0
		return err
	}) {
		return
	}
	if found {
		in.yield("the start is not here yet")
		return
	}
	unknown := ending{Status: Failed, Error: contract.EncodeError(ErrNotFound)}
	for _, h := range in.leaveInputs() {
		if h.reply == "" || in.tell([]string{h.reply}, unknown) {
			h.ack()
		}
	}
	in.ended(in)
}

// findStart returns the first start input of an inbox, or a zero Stored.
func findStart(ctx context.Context, log Log, inbox string) (Stored, error) {
	for from := uint64(1); ; {
		s, err := log.Next(ctx, inbox, from)
		if err != nil || s.Sequence == 0 || headerOf(s.Header, headerKind) == string(inputStart) {
			return s, err
		}
		from = s.Sequence + 1
	}
}

// repeatOutcome answers and acknowledges the inputs of an instance that has ended or
// is stuck.
func (in *instance) repeatOutcome(p page) {
	e := ending{Status: p.Status, Result: p.Result, Ref: p.Ref, Error: p.Error, Reason: p.Reason}
	told := in.tell(in.listeners(e, parentsOf(p.Replies)), e)
	for _, h := range in.leaveInputs() {
		if !told || (p.Status == Stuck && h.kind.kept()) {
			h.handBack() // for the time after somebody has mended it
			continue
		}
		if in.repeatTo(h, p, e) {
			h.ack()
		}
	}
	in.ended(in)
}

// repeatTo answers one late input; false means that it has to come again.
func (in *instance) repeatTo(h *input, p page, e ending) bool {
	switch {
	case h.reply == "":
		return true
	case h.kind == inputStart && h.hash() != p.Hash:
		e = ending{Status: Failed, Error: contract.EncodeError(ErrOtherInput)}
	}
	return in.tell(in.listeners(e, []string{h.reply}), e)
}

// parentsOf picks those who are told by an input: whether that came about before a
// crash is not known.
func parentsOf(replies []string) []string {
	var parents []string
	for _, r := range replies {
		if strings.HasPrefix(r, parentPrefix) {
			parents = append(parents, r)
		}
	}
	return parents
}

// woken reports whether a stuck instance has an input that makes it go on.
func (in *instance) woken(p page) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, h := range in.held {
		old := slices.Contains(p.Seen, h.inputID) || (h.kind == inputRetry && h.sequence <= p.Past)
		if (h.kind == inputRetry || h.kind == inputCancel) && !old {
			return true
		}
	}
	return false
}

// resume replays an instance from its journal.
func (in *instance) resume(p page, sequence uint64) {
	s, ok := in.eng.flows.find(p.Flow, p.Version)
	if !ok {
		in.yield(fmt.Sprintf("version %d is not here", p.Version))
		return
	}
	var args []byte
	var ref string
	moved := false
	if !in.read(func(ctx context.Context) (err error) {
		if args, ref = p.Input, p.InputRef; p.Gen == 0 {
			if args, ref, err = in.startBody(ctx, p.Start); err != nil {
				return err
			}
		}
		in.history, err = loadHistory(ctx, in.eng.log, p)
		if errors.Is(err, errNoMessage) {
			moved, err = in.movedOn(ctx, sequence, err)
		}
		return err
	}) {
		return
	}
	if moved {
		in.load()
		return
	}
	if p.Open != nil && !p.Open.Kind.known() {
		in.yield("the journal has an operation of the kind " + string(p.Open.Kind))
		return
	}
	if unknown := unknownKind(in.history); unknown != "" {
		in.yield("the journal has a record of the kind " + unknown)
		return
	}
	in.open = p.Open
	if p.Status == Stuck {
		in.openAgain()
	}
	j := in.newJournal(p.origin)
	j.restore(p, sequence)
	j.restoreAlarm(in.eng.service, p)
	in.attach(j, s, args)
	in.args = in.fetch(args, ref)
	in.eng.metrics.of(in.name).resumed.Inc()
	in.run()
}

// openAgain gives the step at which a flow got stuck its attempts back, when a person
// asked for a retry: that also answers for a step that may not repeat by itself.
func (in *instance) openAgain() {
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, h := range in.held {
		switch h.kind {
		case inputRetry:
			in.open = nil
		case inputCancel:
			in.woke = true
		case inputStart, inputAttach, inputSignal, inputOutcome, inputTimer, inputGone:
		}
	}
}

// startBody returns the flow's input, or of a large one the name.
func (in *instance) startBody(ctx context.Context, start uint64) (body []byte, ref string, err error) {
	in.mu.Lock()
	for _, h := range in.held {
		if h.sequence == start {
			in.mu.Unlock()
			return h.body, h.ref, nil
		}
	}
	in.mu.Unlock()
	s, err := in.eng.log.At(ctx, start)
	return s.Data, headerOf(s.Header, headerRef), err
}

// loadHistory reads the full pages before the last one.
func loadHistory(ctx context.Context, log Log, p page) ([]record, error) {
	var history []record
	for _, sequence := range p.Pages {
		s, err := log.At(ctx, sequence)
		if err != nil {
			return nil, err
		}
		full, err := decodePage(s.Data)
		if err != nil {
			return nil, fmt.Errorf("journal page %d: %w", sequence, err)
		}
		history = append(history, full.Records...)
	}
	history = append(history, p.Records...)
	for i := range history {
		if history[i].Index != i {
			return nil, fmt.Errorf("the journal has a gap: record %d where %d belongs", history[i].Index, i)
		}
	}
	return history, nil
}

func unknownKind(history []record) string {
	for i := range history {
		if !history[i].Kind.known() {
			return string(history[i].Kind)
		}
	}
	return ""
}

// restore continues a journal after its last message.
func (j *journal) restore(p page, sequence uint64) {
	j.base, j.pages, j.replies, j.memory, j.open = sequence, p.Pages, p.Replies, p.memory(), p.Open
	j.mail, j.report, j.waiting, j.wish = p.Mail, p.Report, p.Status == Waiting, p.wish()
	if p.Status == Compensating {
		j.status = Compensating
	}
	for i := range p.Records {
		if i > 0 {
			j.page = append(j.page, ',')
		}
		j.page = p.Records[i].append(j.page)
	}
}

// yield hands the inputs back to the server: another process may know better.
func (in *instance) yield(why string) {
	in.eng.telemetry.Logger.Debug("flow handed back", in.attrs("reason", why)...)
	for _, h := range in.leaveInputs() {
		h.handBack()
	}
	in.ended(in)
}
