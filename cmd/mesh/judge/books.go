package judge

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/contracts/line"
	"github.com/ordermesh/ordermesh/contracts/sandbox"
)

// book reads the records of one outside firm, each under a key that is created once
// and never changed.
type book struct {
	docket *docket
	check  string
	firm   string
	prefix string // of its subjects
	seen   map[string]uint64
}

func newBook(d *docket, check, firm, bucket string) book {
	return book{docket: d, check: check, firm: firm, prefix: "$KV." + bucket + ".", seen: map[string]uint64{}}
}

// open checks that a record is new and returns its kind ("charge") and name.
func (b *book) open(m message) (kind, name string, ok bool) {
	b.docket.looked(b.check, 1)
	key := strings.TrimPrefix(m.Subject, b.prefix)
	if op := m.Header.Get("KV-Operation"); op != "" {
		b.find(m, "a record that is never removed", op)
		return "", "", false
	}
	if before, twice := b.seen[key]; twice {
		b.find(m, "a record that is written once", "written before in message "+number(before))
		return "", "", false
	}
	b.seen[key] = m.Sequence
	kind, name, ok = strings.Cut(key, ".")
	if !ok {
		b.find(m, "a known record", key)
	}
	return kind, name, ok
}

// read decodes a record.
func (b *book) read(m message, v any) bool {
	if err := contract.UnmarshalLenient(m.Data, v); err != nil {
		b.find(m, "a record", err.Error())
		return false
	}
	return true
}

func (b *book) find(m message, expected, is string) {
	b.docket.find(b.check, Finding{
		Entity: b.firm + " " + strings.TrimPrefix(m.Subject, b.prefix), Subject: m.Subject, Sequence: m.Sequence,
		Expected: expected, Is: is,
	})
}

// record blames a record by its key.
func (b *book) record(key, expected, is string) {
	b.docket.find(b.check, Finding{
		Entity: b.firm + " " + key, Subject: b.prefix + key, Sequence: b.seen[key], Expected: expected, Is: is,
	})
}

// providerPart reads the payment provider's book.
type providerPart struct {
	book
	charges map[string]*charge // by charge id
	byOrder map[string][]*charge
	settled map[string]sandbox.ChargeStatus   // by charge id
	refunds map[string][]sandbox.RefundRecord // by charge id
}

type charge struct{ sandbox.ChargeRecord }

// chargeState is what became of a charge.
type chargeState string

const (
	chargeDeclined chargeState = "declined"
	chargeOpen     chargeState = "open"
	chargeVoided   chargeState = "voided"
	chargeTaken    chargeState = "captured"
	chargeReturned chargeState = "refunded"
)

func newProviderPart(d *docket) *providerPart {
	return &providerPart{
		book:    newBook(d, checkProvider, "provider's", sandbox.ProviderBook),
		charges: map[string]*charge{}, byOrder: map[string][]*charge{},
		settled: map[string]sandbox.ChargeStatus{}, refunds: map[string][]sandbox.RefundRecord{},
	}
}

func (p *providerPart) hear(m message) {
	kind, name, ok := p.open(m)
	if !ok {
		return
	}
	switch kind {
	case "charge":
		var r sandbox.ChargeRecord
		if p.read(m, &r) {
			p.hearCharge(m, name, r)
		}
	case "settle":
		var r sandbox.SettleRecord
		if p.read(m, &r) {
			if r.ChargeID != name || (r.Status != sandbox.ChargeCaptured && r.Status != sandbox.ChargeVoided) {
				p.find(m, "a capture or void of "+name, fmt.Sprintf("%s of %s", r.Status, r.ChargeID))
			}
			p.settled[name] = r.Status
		}
	case "refund":
		var r sandbox.RefundRecord
		if p.read(m, &r) {
			p.hearRefund(m, name, r)
		}
	default:
		p.find(m, "a charge, settle or refund record", kind)
	}
}

func (p *providerPart) hearCharge(m message, key string, r sandbox.ChargeRecord) {
	if r.Key != key || r.ChargeID == "" || (r.Status != sandbox.ChargeAuthorized && r.Status != sandbox.ChargeDeclined) {
		p.find(m, "an authorized or declined charge under the key "+key, fmt.Sprintf("%s %s under %s", r.Status, r.ChargeID, r.Key))
	}
	if p.charges[r.ChargeID] != nil {
		p.find(m, "a charge id that is new", r.ChargeID)
	}
	ch := &charge{r}
	p.charges[r.ChargeID] = ch
	p.byOrder[r.OrderID] = append(p.byOrder[r.OrderID], ch)
}

// hearRefund holds the refunds of a charge to being numbered without a gap.
func (p *providerPart) hearRefund(m message, name string, r sandbox.RefundRecord) {
	id, _, _ := strings.Cut(name, ".")
	before := p.refunds[id]
	if next := sandbox.RefundKeyIn(id, len(before)+1); r.ChargeID != id || "refund."+name != next {
		p.find(m, "the record "+next+" of a refund of "+id, fmt.Sprintf("refund.%s of %s", name, r.ChargeID))
	}
	if slices.ContainsFunc(before, func(b sandbox.RefundRecord) bool { return b.Key == r.Key }) {
		p.find(m, "a refund under a new key", orNone(r.Key))
	}
	p.refunds[id] = append(before, r)
}

// given is how much was given back of a charge.
func (p *providerPart) given(ch *charge) int64 {
	sum := int64(0)
	for _, r := range p.refunds[ch.ChargeID] {
		sum += r.Of(ch.Amount).Minor
	}
	return sum
}

func (p *providerPart) state(ch *charge) chargeState {
	switch {
	case ch.Status == sandbox.ChargeDeclined:
		return chargeDeclined
	case p.settled[ch.ChargeID] == sandbox.ChargeVoided:
		return chargeVoided
	case len(p.refunds[ch.ChargeID]) > 0 && p.given(ch) >= ch.Amount.Minor:
		return chargeReturned
	case p.settled[ch.ChargeID] == sandbox.ChargeCaptured:
		return chargeTaken
	}
	return chargeOpen
}

// taken is how much the provider has ever captured for an order.
func (p *providerPart) taken(orderID string) int64 {
	sum := int64(0)
	for _, ch := range p.byOrder[orderID] {
		if p.settled[ch.ChargeID] == sandbox.ChargeCaptured {
			sum += ch.Amount.Minor
		}
	}
	return sum
}

// carrierPart reads the carrier's book.
type carrierPart struct {
	book
	parcels map[string]sandbox.ParcelRecord // by order id
	ends    map[string]sandbox.EndRecord
}

func newCarrierPart(d *docket) *carrierPart {
	return &carrierPart{
		book:    newBook(d, checkCarrier, "carrier's", sandbox.CarrierBook),
		parcels: map[string]sandbox.ParcelRecord{}, ends: map[string]sandbox.EndRecord{},
	}
}

func (p *carrierPart) hear(m message) {
	kind, name, ok := p.open(m)
	if !ok {
		return
	}
	switch kind {
	case "parcel":
		var r sandbox.ParcelRecord
		if p.read(m, &r) {
			if r.OrderID != name || r.TrackingID == "" {
				p.find(m, "a parcel of order "+name, fmt.Sprintf("%s of order %s", r.TrackingID, r.OrderID))
			}
			p.parcels[name] = r
		}
	case "end":
		var r sandbox.EndRecord
		if p.read(m, &r) {
			if r.Status != sandbox.ParcelDone && r.Status != sandbox.ParcelCancelled {
				p.find(m, "a delivery or cancellation", string(r.Status))
			}
			p.ends[name] = r
		}
	default:
		p.find(m, "a parcel or end record", kind)
	}
}

func sameLines(a, b []line.Line) bool {
	by := func(x, y line.Line) int { return cmp.Compare(x.SKU, y.SKU) }
	return slices.Equal(slices.SortedFunc(slices.Values(a), by), slices.SortedFunc(slices.Values(b), by))
}
