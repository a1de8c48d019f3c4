package flow

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// built returns the next message of a journal.
func built(j *journal) []byte {
	j.build()
	return j.buf
}

func TestAPageIsReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	nasty := "quo\"te \\ \x01 \u2028 ü \xff " + strings.Repeat("long ", 50)
	valid := strings.ToValidUTF8(nasty, "\uFFFD")
	o := origin{Flow: "f", ID: "i", Version: 3, Start: 7, Hash: "abc", At: 12, Trace: nasty, Actor: "who=" + nasty}
	j := &journal{origin: o, prefix: o.append(nil), writer: "w.1", status: Running, replies: []string{"a", nasty}, memory: memory{seen: []string{"x"}, places: []uint64{4}, past: 3, late: []uint64{2}}, pages: []uint64{3, 9}}
	records := []record{
		{Index: 0, Kind: kindStep, Name: "one", Hash: "h", At: 5, Tries: 2, Out: contract.Raw(`{"a":[1,"\u0001"]}`), Last: nasty},
		{Index: 1, Kind: kindUndo, Name: "two", Tries: 1, Err: contract.EncodeError(ErrEnded)},
		{Index: 2, Kind: kindNow, Out: contract.Raw(`"2025-01-01T00:00:00Z"`)},
	}
	for i := range records {
		j.pending = records[i].append(j.pending)
		j.ends = append(j.ends, span{end: len(j.pending)})
		j.pending = append(j.pending, ',')
	}
	j.pending = j.pending[:len(j.pending)-1]
	j.open = &record{Index: 3, Kind: kindStep, Name: "open", Tries: 1, Due: 99, Intent: true, Last: nasty}
	j.end = &ending{Status: Stuck, Result: contract.Raw(`1`), Error: contract.EncodeError(ErrEnded), Reason: nasty}

	got, err := decodePage(built(j))
	if err != nil {
		t.Fatal(err)
	}
	o.Trace, o.Actor, records[0].Last = valid, "who="+valid, valid
	open := *j.open
	open.Last = valid
	want := page{
		V: 1, origin: o, Status: Stuck, Writer: "w.1", N: 1, Replies: []string{"a", valid}, Seen: []string{"x"}, Places: []uint64{4}, Past: 3, Late: []uint64{2}, Pages: []uint64{3, 9},
		Records: records, Open: &open, Result: contract.Raw(`1`), Error: contract.EncodeError(ErrEnded), Reason: valid,
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(page{}, record{}), cmp.AllowUnexported(origin{})); diff != "" {
		t.Error(diff)
	}
}

// However many records pile up, each message has at least one of them and none is
// longer than a full page and one record; read back they are complete.
func TestPilesAreSplitIntoPages(t *testing.T) {
	t.Parallel()
	for _, size := range []int{10, fullPage / 3, fullPage, 3 * fullPage} {
		j := &journal{origin: origin{Flow: "f", ID: "i", Version: 1, Start: 1}, status: Running, end: &ending{Status: Completed}}
		j.prefix = j.origin.append(nil)
		const n = 40
		for i := range n {
			r := record{Index: i, Kind: kindStep, Name: "s", Out: contract.Raw(`"` + strings.Repeat("x", size) + `"`)}
			if i > 0 {
				j.pending = append(j.pending, ',')
			}
			j.pending = r.append(j.pending)
			j.ends = append(j.ends, span{end: len(j.pending)})
		}
		j.version = 1
		stored := map[uint64]page{}
		for sequence := uint64(1); j.sent < j.version; sequence++ {
			data := built(j)
			if len(data) > fullPage+size+500 {
				t.Errorf("size %d: a message of %d bytes", size, len(data))
			}
			p, err := decodePage(data)
			if err != nil {
				t.Fatal(err)
			}
			stored[sequence], j.base = p, sequence
			if sequence > n+1 {
				t.Fatal("it does not end")
			}
		}
		last := stored[j.base]
		count := len(last.Records)
		for _, s := range last.Pages {
			count += len(stored[s].Records)
		}
		if count != n || last.Status != Completed {
			t.Errorf("size %d: %d records and status %s", size, count, last.Status)
		}
	}
}

func FuzzDecodePage(f *testing.F) {
	f.Add([]byte(`{"v":1,"flow":"f","id":"i","version":1,"start":1,"records":[{"i":0,"kind":"step"}],"open":{"i":1}}`))
	f.Add([]byte(`{"v":2}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := decodePage(data)
		if err != nil {
			return
		}
		again := &journal{origin: p.origin, prefix: p.append(nil), status: p.Status}
		again.restore(p, 1)
		if _, err := decodePage(built(again)); err != nil {
			t.Errorf("what was read cannot be written: %v", err)
		}
	})
}

func FuzzReadInput(f *testing.F) {
	f.Add("flow.shop.in.3.name.id", "start", "1")
	f.Add("flow.shop.in.3.name.*", "", "x")
	f.Fuzz(func(t *testing.T, subject, kind, version string) {
		in, err := readInput(subject, map[string][]string{headerKind: {kind}, headerVersion: {version}}, nil)
		if err == nil && (!contract.ValidID(in.name) || !contract.ValidID(in.id)) {
			t.Errorf("subject %q gives the id %q", subject, in.id)
		}
	})
}
