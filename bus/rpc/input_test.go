package rpc_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/rpc"
)

// badInput is the catalogue of what a stranger may send to a method.
func badInput() map[string]struct{ body, field string } {
	type row = struct{ body, field string }
	return map[string]row{
		"empty payload":   {"", ""},
		"blank":           {" \r\n\t", ""},
		"null":            {"null", ""},
		"array":           {"[]", ""},
		"string":          {`"x"`, ""},
		"two values":      {`{"name":"a"}{"name":"b"}`, ""},
		"trailing":        {`{"name":"a"} x`, ""},
		"duplicate key":   {`{"name":"a","name":"b"}`, "/name"},
		"wrong case":      {`{"Name":"a"}`, "/Name"},
		"unknown member":  {`{"name":"a","extra":1}`, "/extra"},
		"bad UTF-8":       {"{\"name\":\"\xff\"}", "/name"},
		"lone surrogate":  {`{"name":"\ud800"}`, "/name"},
		"raw NUL":         {"{\"name\":\"a\x00b\"}", "/name"},
		"raw line feed":   {"{\"name\":\"a\nb\"}", "/name"},
		"deep":            {`{"name":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`, ""},
		"very deep":       {strings.Repeat(`{"name":`, 20000), ""},
		"fraction":        {`{"times":1.5}`, "/times"},
		"too big":         {`{"times":9223372036854775808}`, "/times"},
		"exponent":        {`{"times":1e309}`, "/times"},
		"number as text":  {`{"times":"1"}`, "/times"},
		"text as number":  {`{"name":1}`, "/name"},
		"object for list": {`{"tags":{}}`, "/tags"},
		"validated":       {`{"times":-1}`, "/times"},
		"oversize":        {`{"name":"` + strings.Repeat("a", contract.MaxRequestBytes) + `"}`, ""},
		"cut":             {`{"name":"a`, "/name"},
		"not JSON":        {"<script>alert(1)</script>", ""},
	}
}

// ask sends raw bytes as a stranger would.
func ask(t *testing.T, nc *nats.Conn, subject, body string, header nats.Header) *nats.Msg {
	t.Helper()
	msg := &nats.Msg{Subject: subject, Data: []byte(body), Header: header}
	reply, err := nc.RequestMsg(msg, 10*time.Second)
	if err != nil {
		t.Fatalf("%s: %v", subject, err)
	}
	return reply
}

// wireError checks that headers and body of an error reply say the same and
// returns it.
func wireError(t *testing.T, m *nats.Msg, code contract.Code) *contract.Error {
	t.Helper()
	e := contract.DecodeError(m.Data, "the body is no error")
	if e.Code != code {
		t.Fatalf("code %v, want %v: %s", e.Code, code, m.Data)
	}
	number, sentence := m.Header.Get(contract.HeaderErrorCode), m.Header.Get(contract.HeaderError)
	if want := map[contract.Code]string{
		contract.Invalid: "400", contract.Unauthenticated: "401", contract.Conflict: "409",
		contract.Exhausted: "429", contract.Internal: "500", contract.Deadline: "504",
	}[code]; number != want {
		t.Errorf("header %s is %q, want %q", contract.HeaderErrorCode, number, want)
	}
	if sentence == "" || strings.ContainsFunc(sentence, func(r rune) bool { return r < ' ' || r > '~' }) {
		t.Errorf("header %s is not one line of ASCII: %q", contract.HeaderError, sentence)
	}
	return e
}

func TestBadInput(t *testing.T) {
	t.Parallel()
	conn := bustest.New(t)
	var handled atomic.Int64
	start(t, conn, func(ctx context.Context, req greetReq) (greetResp, error) {
		handled.Add(1)
		return hello(ctx, req)
	})
	for name, tc := range badInput() {
		e := wireError(t, ask(t, conn.NATS(), greet.Subject(), tc.body, nil), contract.Invalid)
		if e.Field != tc.field {
			t.Errorf("%s: blames field %q, want %q: %s", name, e.Field, tc.field, e.Message)
		}
	}
	if n := handled.Load(); n != 0 {
		t.Errorf("the handler ran %d times", n)
	}
	if _, err := rpc.Call(t.Context(), rpc.NewClient(conn), greet, greetReq{Name: "Ada"}); err != nil {
		t.Errorf("the service must still stand: %v", err)
	}
}

func TestBadHeaders(t *testing.T) {
	t.Parallel()
	conn := bustest.New(t)
	start(t, conn, func(context.Context, greetReq) (greetResp, error) {
		t.Error("the handler ran")
		return greetResp{}, nil
	})
	for name, tc := range map[string]struct {
		key    string
		values []string
		code   contract.Code
	}{
		"empty command":       {contract.HeaderCommand, []string{""}, contract.Invalid},
		"long command":        {contract.HeaderCommand, []string{strings.Repeat("k", 256)}, contract.Invalid},
		"command not ASCII":   {contract.HeaderCommand, []string{"käse"}, contract.Invalid},
		"command with DEL":    {contract.HeaderCommand, []string{"a\x7f"}, contract.Invalid},
		"command with tab":    {contract.HeaderCommand, []string{"a\tb"}, contract.Invalid},
		"two commands":        {contract.HeaderCommand, []string{"a", "b"}, contract.Invalid},
		"time-out in words":   {contract.HeaderTimeout, []string{"5s"}, contract.Invalid},
		"negative time-out":   {contract.HeaderTimeout, []string{"-1"}, contract.Invalid},
		"huge time-out":       {contract.HeaderTimeout, []string{"9223372036854775808"}, contract.Invalid},
		"two time-outs":       {contract.HeaderTimeout, []string{"1", "2"}, contract.Invalid},
		"no time":             {contract.HeaderTimeout, []string{"0"}, contract.Deadline},
		"unreadable actor":    {contract.HeaderActor, []string{"%zz"}, contract.Unauthenticated},
		"two actors":          {contract.HeaderActor, []string{"who=a", "who=b"}, contract.Unauthenticated},
		"actor of 5000 bytes": {contract.HeaderActor, []string{"who=" + strings.Repeat("a", 5000)}, contract.Unauthenticated},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wireError(t, ask(t, conn.NATS(), greet.Subject(), "{}", nats.Header{tc.key: tc.values}), tc.code)
		})
	}
}

func TestOddButGoodInput(t *testing.T) {
	t.Parallel()
	conn := bustest.New(t)
	start(t, conn, hello)
	for name, tc := range map[string]struct {
		body   string
		header nats.Header
	}{
		"longest command":  {"{}", nats.Header{contract.HeaderCommand: {strings.Repeat("k", 255)}}},
		"printable ASCII":  {"{}", nats.Header{contract.HeaderCommand: {"!a ~{}"}}},
		"a year of time":   {"{}", nats.Header{contract.HeaderTimeout: {"31536000000"}}},
		"unknown headers":  {"{}", nats.Header{"X-Foo": {"bar"}, "Nats-Msg-Id": {"1"}}},
		"bad traceparent":  {"{}", nats.Header{contract.HeaderTrace: {"00-zz-zz-zz"}}},
		"bidi and control": {`{"name":"a\u202e\u0000\u001b[31m"}`, nil},
		"blanks":           {" \n{ } ", nil},
	} {
		if m := ask(t, conn.NATS(), greet.Subject(), tc.body, tc.header); len(m.Header) != 0 {
			t.Errorf("%s: refused with %v", name, m.Header)
		}
	}
}

// A reply must never be stored as an event or reach another service as a request.
func TestReplySubjectsInsideTheMeshGetNoReply(t *testing.T) {
	t.Parallel()
	conn := bustest.New(t)
	s, _ := start(t, conn, hello)
	got := make(chan *nats.Msg, 8)
	for _, subject := range []string{"evt.>", "flow.>", "dlq.>", "svc.other.>"} {
		if _, err := conn.NATS().ChanSubscribe(subject, got); err != nil {
			t.Fatal(err)
		}
	}
	bad := []string{"evt.order.o1", "flow.orders.in.1.checkout.o1", "dlq.ORDERS.x", "svc.other.place", "$JS.API.STREAM.PURGE.ORDERS", "$KV.config.x"}
	for _, reply := range bad {
		if err := conn.NATS().PublishRequest(greet.Subject(), reply, []byte("{}")); err != nil {
			t.Fatal(err)
		}
	}
	bustest.Eventually(t, 10*time.Second, func() bool { return requests(t, conn, s) == len(bad) }, "every request executed")
	if err := conn.NATS().Flush(); err != nil {
		t.Fatal(err)
	}
	if len(got) != 0 {
		t.Errorf("a reply went to %s", (<-got).Subject)
	}
}

func FuzzRequest(f *testing.F) {
	for _, tc := range badInput() {
		if len(tc.body) < 1000 {
			f.Add([]byte(tc.body), "", "", "")
		}
	}
	f.Add([]byte("{}"), "cmd", "1000", "who=a&for=c1")
	f.Fuzz(func(t *testing.T, body []byte, command, timeout, actor string) {
		header := nats.Header{}
		for key, value := range map[string]string{
			contract.HeaderCommand: command, contract.HeaderTimeout: timeout, contract.HeaderActor: actor,
		} {
			if value != "" {
				header[key] = []string{value}
			}
		}
		var seen *greetReq
		out, err := rpc.Execute(&nats.Msg{Subject: greet.Subject(), Data: body, Header: header}, greet,
			func(_ context.Context, req greetReq) (greetResp, error) {
				seen = &req
				return greetResp{Text: req.Name}, nil
			})
		switch {
		case err == nil && (seen == nil || out == nil):
			t.Fatal("neither an error nor a reply")
		case err != nil && seen != nil:
			t.Fatalf("the handler ran and the answer is %v", err)
		case err != nil && err.Code != contract.Invalid && err.Code != contract.Deadline && err.Code != contract.Unauthenticated:
			t.Fatalf("bad input gave %v", err)
		}
	})
}
