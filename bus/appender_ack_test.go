package bus

import (
	"errors"
	"testing"

	"github.com/nats-io/nats.go"
)

func TestAcknowledgementsAreRead(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		data string
		want Ack
		err  error
	}{
		"plain":        {`{"stream":"ORDERS", "seq":12}`, Ack{Stream: "ORDERS", Sequence: 12}, nil},
		"compact":      {`{"stream":"ORDERS","seq":18446744}`, Ack{Stream: "ORDERS", Sequence: 18446744}, nil},
		"duplicate":    {`{"stream":"S","seq":3,"duplicate":true}`, Ack{Stream: "S", Sequence: 3, Duplicate: true}, nil},
		"domain":       {`{"stream":"S","domain":"hub","seq":3}`, Ack{Stream: "S", Sequence: 3}, nil},
		"conflict":     {`{"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 3"},"stream":"S","seq":0}`, Ack{}, ErrConflict},
		"conflict R3":  {`{"error":{"code":400,"err_code":10164,"description":"wrong last sequence"},"stream":"S","seq":0}`, Ack{}, ErrConflict},
		"no sequence":  {`{"stream":"S","seq":0}`, Ack{}, ErrUnknown},
		"not JSON":     {`PONG`, Ack{}, ErrUnknown},
		"nothing":      {``, Ack{}, ErrUnknown},
		"odd sequence": {`{"stream":"S","seq":1x}`, Ack{}, ErrUnknown},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := parseAck("evt.x.1", &nats.Msg{Data: []byte(c.data)})
			if got != c.want || !errors.Is(err, c.err) {
				t.Errorf("got %+v, %v; want %+v, %v", got, err, c.want, c.err)
			}
		})
	}
	var api *APIError
	if _, err := parseAck("evt.x.1", &nats.Msg{Data: []byte(`{"error":{"code":503,"err_code":10077,"description":"maximum bytes exceeded"}}`)}); !errors.As(err, &api) || api.ErrCode != 10077 {
		t.Errorf("a full stream gave %v", err)
	}
	if _, err := parseAck("evt.x.1", &nats.Msg{Header: nats.Header{"Status": {"503"}}}); !errors.Is(err, ErrNoStream) {
		t.Errorf("no responders gave %v", err)
	}
}

func FuzzParseAck(f *testing.F) {
	f.Add([]byte(`{"stream":"ORDERS", "seq":12}`))
	f.Add([]byte(`{"stream":"a\"b","seq":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if ack, err := parseAck("s", &nats.Msg{Data: data}); err == nil && ack.Sequence == 0 {
			t.Fatalf("%q was taken as stored", data)
		}
	})
}
