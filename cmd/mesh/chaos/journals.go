package chaos

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// Journals follows the stream FLOW: what the journal of each flow with one name says,
// who wrote it and when it was stored.
type Journals struct {
	Flows         map[string]*Journal // by id
	service, name string
	reader        reader
}

// Journal is one flow's.
type Journal struct {
	Partition int       // of its inputs
	Begun     time.Time // when its start was stored
	Pages     []Page
}

// Page is one message of a journal.
type Page struct {
	Sequence uint64
	Stored   time.Time // by the server's clock, which on one machine is also ours
	Session  string    // the worker's membership under which it was written
	Status   string
	Steps    []string // whose results it has
}

// NewJournals starts at the stream's beginning.
func NewJournals(service, name string) *Journals {
	return &Journals{Flows: map[string]*Journal{}, service: service, name: name, reader: newReader(contract.FlowStream)}
}

// Advance reads to the stream's present end.
func (j *Journals) Advance(ctx context.Context, js jetstream.JetStream) error {
	return j.reader.advance(ctx, js, j.hear)
}

func (j *Journals) hear(msg jetstream.Msg, meta *jetstream.MsgMetadata) error {
	if service, partition, name, id, ok := contract.ParseFlowInput(msg.Subject()); ok {
		if service == j.service && name == j.name {
			if flow := j.of(id); flow.Begun.IsZero() {
				flow.Partition, flow.Begun = partition, meta.Timestamp
			}
		}
		return nil
	}
	service, name, id, ok := contract.ParseFlowLog(msg.Subject())
	if !ok || service != j.service || name != j.name {
		return nil
	}
	var body struct {
		Writer  string `json:"writer"`
		Status  string `json:"status"`
		Records []struct {
			Kind string `json:"kind"`
			Name string `json:"name"`
		} `json:"records"`
	}
	if err := contract.UnmarshalLenient(msg.Data(), &body); err != nil {
		return err
	}
	session, _, ok := strings.Cut(body.Writer, ".")
	if !ok {
		return fmt.Errorf("the writer %q is not <session>.<number>", body.Writer)
	}
	page := Page{Sequence: meta.Sequence.Stream, Stored: meta.Timestamp, Session: session, Status: body.Status}
	for _, r := range body.Records {
		if r.Kind == "step" {
			page.Steps = append(page.Steps, r.Name)
		}
	}
	flow := j.of(id)
	flow.Pages = append(flow.Pages, page)
	return nil
}

func (j *Journals) of(id string) *Journal {
	flow := j.Flows[id]
	if flow == nil {
		flow = &Journal{}
		j.Flows[id] = flow
	}
	return flow
}

// Open counts the flows that have not ended.
func (j *Journals) Open() int {
	n := 0
	for _, flow := range j.Flows {
		if !flow.ended(len(flow.Pages)) {
			n++
		}
	}
	return n
}

// ended reports whether the flow had ended with its first pages.
func (j *Journal) ended(pages int) bool {
	return pages > 0 && slices.Contains([]string{"completed", "failed", "cancelled"}, j.Pages[pages-1].Status)
}

// before is how many pages were stored before a moment.
func (j *Journal) before(at time.Time) int {
	n := 0
	for n < len(j.Pages) && j.Pages[n].Stored.Before(at) {
		n++
	}
	return n
}

// Death is the end of a worker, or of its ownership.
type Death struct {
	Session    string
	Partitions map[int]bool // that it owned
	At         time.Time
}

// TakeOver is what the journals tell about the death of one worker.
type TakeOver struct {
	Running  int                   // flows under way at that moment, in partitions of all workers
	Orphans  int                   // and in those of the dead one
	Stored   int                   // steps of orphans whose results it had stored
	Progress map[int]time.Duration // from the death until another one went on with a flow of a partition
	Finished time.Duration         // from the death until the last orphan had ended
}

// TakeOver looks at what became of the partitions of the dead. That a flow goes on shows
// in its journal, or before in what its next step asks of others: heir has those calls.
func (j *Journals) TakeOver(d Death, heir []Call) TakeOver {
	t := TakeOver{Progress: map[int]time.Duration{}}
	orphans := map[string]bool{}
	goesOn := func(partition int, at time.Time) {
		took := at.Sub(d.At)
		if best, ok := t.Progress[partition]; !ok || took < best {
			t.Progress[partition] = took
		}
	}
	for id, flow := range j.Flows {
		before := flow.before(d.At)
		if !flow.Begun.Before(d.At) || flow.ended(before) {
			continue
		}
		t.Running++
		if !d.Partitions[flow.Partition] {
			continue
		}
		t.Orphans++
		orphans[id] = true
		t.Stored += len(flow.stored(d.Session))
		for _, page := range flow.Pages[before:] {
			if page.Session != d.Session {
				goesOn(flow.Partition, page.Stored)
			}
			t.Finished = max(t.Finished, page.Stored.Sub(d.At))
		}
	}
	for _, call := range heir {
		if orphans[call.OrderID] && call.Heard.After(d.At) {
			goesOn(j.Flows[call.OrderID].Partition, call.Heard)
		}
	}
	return t
}

// Since counts the messages that a session has had stored since a moment.
func (j *Journals) Since(session string, at time.Time) int {
	n := 0
	for _, flow := range j.Flows {
		for _, page := range flow.Pages[flow.before(at):] {
			if page.Session == session {
				n++
			}
		}
	}
	return n
}

// Trespasses returns a sentence for each page that a session wrote after another one
// had written in the same journal.
func (j *Journals) Trespasses(session string) []string {
	var out []string
	for _, id := range slices.Sorted(maps.Keys(j.Flows)) {
		taken := false
		for _, page := range j.Flows[id].Pages {
			if mine := page.Session == session; mine && taken {
				out = append(out, fmt.Sprintf("%s %s: message %d is by %s, who had lost it", j.name, id, page.Sequence, session))
			} else if !mine {
				taken = true
			}
		}
	}
	return out
}

// stored returns the steps whose results a session has stored.
func (j *Journal) stored(session string) map[string]bool {
	steps := map[string]bool{}
	for _, page := range j.Pages {
		if page.Session == session {
			for _, s := range page.Steps {
				steps[s] = true
			}
		}
	}
	return steps
}
