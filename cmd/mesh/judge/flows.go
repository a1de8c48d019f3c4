package judge

import (
	"bytes"
	"slices"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/contracts/orders"
)

// flowPart reads the stream FLOW: what was asked of each instance and how far its
// journal says it came.
type flowPart struct {
	docket    *docket
	instances map[string]*instance // by journal subject
}

type instance struct {
	name    string // service flow id
	subject string // of the journal
	input   uint64 // sequence of the last input
	last    uint64 // sequence of the last journal message, 0 for none
	status  string
	reason  string
	gen     int
	pages   []uint64
	records contract.Raw // of the newest page, while the instance runs
}

// journalPage is what the judge reads of a journal message; package flow's own type
// has more.
type journalPage struct {
	Flow    string       `json:"flow"`
	ID      string       `json:"id"`
	Start   uint64       `json:"start"`
	Gen     int          `json:"gen"` // how often it continued as new
	Status  string       `json:"status"`
	Reason  string       `json:"reason"`
	Pages   []uint64     `json:"pages"`
	Records contract.Raw `json:"records"`
}

// journalRecord is what makes a record of a journal the same when it is written anew
// by another process.
type journalRecord struct {
	Index int          `json:"i"`
	Kind  string       `json:"kind"`
	Name  string       `json:"name"`
	Hash  string       `json:"hash"`
	Out   contract.Raw `json:"out"`
	Err   contract.Raw `json:"err"`
}

// Statuses of instances, as journals have them.
const (
	flowStuck   = "stuck"
	flowWaiting = "waiting"

	scheduleFlow = "schedule" // the name of the flows that start others by the clock
)

var (
	flowEnded  = []string{"completed", "failed", "cancelled"}
	flowActive = []string{"running", flowWaiting, "compensating", flowStuck}
)

func (p *flowPart) hear(m message) {
	if service, _, name, id, ok := contract.ParseFlowInput(m.Subject); ok {
		p.of(service, name, id).input = m.Sequence
		return
	}
	service, name, id, ok := contract.ParseFlowLog(m.Subject)
	if !ok {
		return // a timer: a hint, not a fact
	}
	in := p.of(service, name, id)
	var page journalPage
	if err := contract.UnmarshalLenient(m.Data, &page); err != nil || page.Flow != name || page.ID != id {
		p.find(in, m.Sequence, "a journal of "+in.name, "something else")
		return
	}
	p.grow(in, m, page)
	in.last, in.status, in.reason = m.Sequence, page.Status, page.Reason
	in.gen, in.pages, in.records = page.Gen, page.Pages, page.Records
	if in.ended() {
		in.records = nil
	}
}

func (p *flowPart) of(service, name, id string) *instance {
	subject := contract.FlowLog(service, name, id)
	in := p.instances[subject]
	if in == nil {
		in = &instance{name: service + " " + name + " " + id, subject: subject}
		p.instances[subject] = in
	}
	return in
}

// grow holds a journal message to the one before it: nothing that was recorded may
// be gone while it is of the same generation, and an end is final.
func (p *flowPart) grow(in *instance, m message, page journalPage) {
	switch {
	case !slices.Contains(flowEnded, page.Status) && !slices.Contains(flowActive, page.Status):
		p.find(in, m.Sequence, "a known status", orNone(page.Status))
	case page.Start == 0:
		p.find(in, m.Sequence, "the sequence of the start", "none")
	case in.last == 0 || m.Header.Get("Nats-Rollup") != "":
	case in.ended():
		p.find(in, m.Sequence, "nothing after "+in.status, page.Status)
	case page.Gen == in.gen+1: // its journal begins anew
	case page.Gen != in.gen:
		p.find(in, m.Sequence, "generation "+number(in.gen), number(page.Gen))
	case len(page.Pages) == len(in.pages)+1:
		if page.Pages[len(in.pages)] != in.last || !slices.Equal(page.Pages[:len(in.pages)], in.pages) {
			p.find(in, m.Sequence, "a new page after message "+number(in.last), "another page before it")
		}
	case !slices.Equal(page.Pages, in.pages):
		p.find(in, m.Sequence, "the pages of message "+number(in.last), "others")
	case !extends(page.Records, in.records):
		p.find(in, m.Sequence, "the records of message "+number(in.last)+" and perhaps more", "others")
	}
}

// extends reports whether the JSON array more begins with the elements of less.
func extends(more, less contract.Raw) bool {
	if len(less) <= 2 {
		return true
	}
	body := less[:len(less)-1] // without the bracket
	if bytes.HasPrefix(more, body) && (more[len(body)] == ',' || more[len(body)] == ']') {
		return true
	}
	a, okA := journalRecords(more)
	b, okB := journalRecords(less)
	return okA && okB && len(a) >= len(b) && slices.EqualFunc(a[:len(b)], b, sameRecord)
}

func journalRecords(raw contract.Raw) ([]journalRecord, bool) {
	var v struct {
		Records []journalRecord `json:"records"`
	}
	if len(raw) == 0 {
		return nil, true
	}
	err := contract.UnmarshalLenient(slices.Concat([]byte(`{"records":`), raw, []byte("}")), &v)
	return v.Records, err == nil
}

func sameRecord(a, b journalRecord) bool {
	return a.Index == b.Index && a.Kind == b.Kind && a.Name == b.Name && a.Hash == b.Hash &&
		bytes.Equal(a.Out, b.Out) && bytes.Equal(a.Err, b.Err)
}

func (in *instance) ended() bool { return slices.Contains(flowEnded, in.status) }

// conclude finds flows that a person must look at, and, at rest, all that have not
// ended and do not wait rightly.
func (p *flowPart) conclude(atRest bool, waitsRightly func(subject string) bool) {
	p.docket.looked(checkFlows, len(p.instances))
	for _, in := range p.instances {
		switch {
		case in.status == flowStuck:
			p.find(in, in.last, "a flow that goes on by itself", "stuck: "+in.reason)
		case !atRest || in.ended():
		case in.status == flowWaiting && waitsRightly(in.subject):
		case in.last == 0:
			p.docket.find(checkFlows, Finding{Entity: "flow " + in.name, Sequence: in.input, Expected: "a journal at rest", Is: "none: its input was never taken up"})
		default:
			p.find(in, in.last, "an ended flow at rest", in.status)
		}
	}
}

// waits reports whether the instance with this journal waits for a signal or a time.
func (p *flowPart) waits(subject string) bool {
	in := p.instances[subject]
	return in != nil && in.status == flowWaiting
}

// checkoutOf is the journal of an order's checkout.
func checkoutOf(orderID string) string {
	return contract.FlowLog(orders.Descriptor.Name, orders.CheckoutFlow, orderID)
}

// waitsRightly reports whether a flow may wait while the mesh is at rest: a schedule,
// which is a flow that waits for its next time, and the checkout of an order about
// which a person must decide.
func (c *court) waitsRightly(subject string) bool {
	_, name, id, ok := contract.ParseFlowLog(subject)
	if name == scheduleFlow {
		return true
	}
	if !ok || name != orders.CheckoutFlow {
		return false
	}
	o := c.orders.orders[id]
	return o != nil && o.status == orders.OnHold
}

func (p *flowPart) find(in *instance, sequence uint64, expected, is string) {
	p.docket.find(checkFlows, Finding{Entity: "flow " + in.name, Subject: in.subject, Sequence: sequence, Expected: expected, Is: is})
}

// letterPart lists dead letters.
type letterPart struct {
	docket *docket
	count  int
}

func (p *letterPart) hear(m message) {
	p.count++
	text := m.Header.Get("Mesh-Dead-Subject") + ", message " + m.Header.Get("Mesh-Dead-Sequence") + ", " +
		m.Header.Get("Mesh-Dead-Cause") + ": " + m.Header.Get("Mesh-Dead-Reason")
	p.docket.note(Note{Kind: "dead letter", Subject: m.Subject, Sequence: m.Sequence, Text: text})
}
