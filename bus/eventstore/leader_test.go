package eventstore

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// The short way of reading the leader's reply and the JSON decoder must agree.
func TestPlainReplyReadsWhatJSONReads(t *testing.T) {
	t.Parallel()
	reply := func(message map[string]any) []byte {
		type ordered struct {
			Type    string `json:"type"`
			Message any    `json:"message"`
		}
		type stored struct {
			Subject string    `json:"subject"`
			Seq     uint64    `json:"seq"`
			Header  []byte    `json:"hdrs,omitempty"`
			Data    []byte    `json:"data,omitempty"`
			Time    time.Time `json:"time"`
		}
		s := stored{Subject: "evt.a.b", Seq: 42, Time: time.Unix(1, 5).UTC()}
		s.Header, _ = message["hdrs"].([]byte)
		s.Data, _ = message["data"].([]byte)
		b, err := json.Marshal(ordered{"io.nats.jetstream.api.v1.stream_msg_get_response", s})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	plain := [][]byte{
		reply(map[string]any{"hdrs": []byte("NATS/1.0\r\na: b\r\n\r\n"), "data": []byte("hello")}),
		reply(map[string]any{"data": []byte{0, 1, 2, 255}}), reply(nil),
	}
	for _, body := range plain {
		got, ok := plainReply(body)
		if !ok {
			t.Errorf("not read: %s", body)
		}
		var want leaderReply
		if err := contract.UnmarshalLenient(body, &want); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", body, diff)
		}
		for i := range body { // anything cut or changed is left to the decoder or read the same
			for _, other := range [][]byte{body[:i], append(append([]byte{}, body[:i]...), body[i+1:]...)} {
				got, ok := plainReply(other)
				var want leaderReply
				err := contract.UnmarshalLenient(other, &want)
				if err != nil && contract.AsError(err).Field == "/message/time" {
					continue // the decoder is stricter about times, which decide nothing
				}
				if ok && (err != nil || !cmp.Equal(want, got, cmpopts.EquateEmpty())) {
					t.Errorf("%s: read as %+v, JSON reads %+v, %v", other, got, want, err)
				}
			}
		}
	}
	for _, other := range []string{``, `{}`, `{"type":"x","error":{"code":404,"err_code":10037,"description":"no message found"}}`} {
		if _, ok := plainReply([]byte(other)); ok {
			t.Errorf("read %q", other)
		}
	}
}
