package contract

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var plainCommits = []Commit{
	{V: 1, Events: []Record{{ID: "e1", Type: "order.placed.v1", Command: "c1", At: time.Unix(7, 0).UTC(), Data: Raw(`{"a":1}`)}}},
	{V: 1, Events: []Record{
		{ID: "e1", Type: "t", Command: "c", At: time.Unix(7, 123).UTC(), Data: Raw(`{"a":[],"b":{},"c":[1,-20,true,false,null,"ü\n\""],"d":{"e":{"f":""}}}`)},
		{ID: "e2", Type: "t", At: time.Unix(7, 123456789).UTC(), Data: Raw(`"text"`)},
	}, State: &Snapshot{Schema: 12, Commands: []string{"c1@1", "c2@2"}, Data: Raw(`[{"n":9007199254740993}]`)}},
	{V: 1, Events: []Record{{ID: "e1", Type: "t", Command: "c", Data: Raw(`{}`)}}, State: &Snapshot{Data: Raw(`{"price":0}`)}},
}

// TestWhatIsWrittenIsPlain: the short way is taken for what this build writes, and gives
// what the decoder gives.
func TestWhatIsWrittenIsPlain(t *testing.T) {
	t.Parallel()
	for _, c := range plainCommits {
		body, err := EncodeCommit(c)
		if err != nil {
			t.Fatal(err)
		}
		got, ok := decodePlain(body)
		if !ok {
			t.Fatalf("not plain: %s", body)
		}
		if diff := cmp.Diff(c, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", body, diff)
		}
	}
}

func TestWhatIsNotPlainIsLeftToTheDecoder(t *testing.T) {
	t.Parallel()
	const record = `{"id":"e","type":"t","command":"c","at":"2026-01-02T15:04:05Z","data":%s}`
	for _, data := range []string{
		``, `{`, `{"a"}`, `{"a":}`, `{"a":1,}`, `[1,]`, `[,]`, `tru`, `01`, `-`, `1.5`, `1e3`, `1234567890123456789`, `"\u0041"`, `"\x"`, `"a`, "\"\n\"",
		"\"\xff\"", ` 1`, `1 `, strings.Repeat("[", MaxDepth+2) + strings.Repeat("]", MaxDepth+2), `+1`, `{"a":1}{}`,
	} {
		if c, ok := decodePlain(fmt.Appendf(nil, `{"v":1,"events":[`+record+`]}`, data)); ok {
			t.Errorf("%q was taken as %+v", data, c)
		}
	}
	plain := fmt.Sprintf(record, `{}`)
	for _, body := range []string{
		`{"v":2,"events":[` + plain + `]}`, `{"v":1,"events":[]}`, `{"v":1,"events":[` + plain + `],"new":1}`, `{"v":1,"events":[` + plain + `]}x`,
		`{"v":1,"events":[` + plain + `,]}`, `{"v":1,"events":[` + plain + `],"state":null}`, `{"v":1,"events":[` + plain + `],"state":{"schema":01,"data":{}}}`,
		`{"v":1,"events":[` + plain + `],"state":{"schema":+1,"data":{}}}`, `{"v":1,"events":[` + plain + `],"state":{"schema":1,"commands":[],"data":{}}}`,
		`{"v":1,"events":[` + strings.Replace(plain, "05Z", "05+01:00", 1) + `]}`, `{"v":1,"events":[` + strings.Replace(plain, "15:", "5:", 1) + `]}`,
		`{"v":1,"events":[` + strings.Replace(plain, "05Z", "05,5Z", 1) + `]}`, `{"v":1,"events":[` + strings.Replace(plain, "2026-01-02T15:04:05Z", "", 1) + `]}`,
		`{"v":1,"events":[` + strings.Replace(plain, `"id":"e"`, `"id":"\"e"`, 1) + `]}`,
	} {
		if c, ok := decodePlain([]byte(body)); ok {
			t.Errorf("%s was taken as %+v", body, c)
		}
	}
}

// FuzzDecodePlain: what is taken the short way is what the decoder reads.
func FuzzDecodePlain(f *testing.F) {
	for _, c := range plainCommits {
		body, err := EncodeCommit(c)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got, ok := decodePlain(body)
		if !ok {
			return
		}
		var want Commit
		err := UnmarshalLenient(body, &want)
		if e, _ := errors.AsType[*Error](err); e != nil && strings.Contains(e.Message, "appears twice") {
			return // inside of data: found by whoever decodes it
		}
		if err != nil {
			t.Fatalf("%q is not JSON for the decoder: %v", body, err)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("%q (-decoder +plain):\n%s", body, diff)
		}
	})
}

func BenchmarkDecodeCommit(b *testing.B) {
	body, err := EncodeCommit(plainCommits[1])
	if err != nil {
		b.Fatal(err)
	}
	b.Run("plain", func(b *testing.B) {
		for b.Loop() {
			if _, ok := decodePlain(body); !ok {
				b.Fatal("not plain")
			}
		}
	})
	b.Run("decoder", func(b *testing.B) {
		for b.Loop() {
			var c Commit
			if err := UnmarshalLenient(body, &c); err != nil {
				b.Fatal(err)
			}
		}
	})
}
