package contract_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ordermesh/ordermesh/bus/contract"
)

func TestIDs(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"a", "A-z_09", strings.Repeat("x", 64)} {
		if err := contract.CheckID("/order_id", id); err != nil {
			t.Errorf("%q: %v", id, err)
		}
	}
	for _, id := range []string{"", "*", ">", "a.b", "a b", "..", "a\x00", "a\r\nb", "ü", "$JS", strings.Repeat("x", 65), "\u202e", "%2e"} {
		var e *contract.Error
		if err := contract.CheckID("/order_id", id); !errors.As(err, &e) || e.Code != contract.Invalid || e.Field != "/order_id" {
			t.Errorf("%q gave %v", id, err)
		}
	}
}

func TestErrorsSurviveTheWire(t *testing.T) {
	t.Parallel()
	declared := contract.NewError(contract.Conflict, "order_placed", "order is already placed")
	sent := fmt.Errorf("place: %w", declared.At("/order_id").Sayf("order %s is already placed", "o1").After(1500*time.Millisecond))
	got := contract.DecodeError(contract.EncodeError(contract.AsError(sent)), "")
	if !errors.Is(got, declared) || got.Field != "/order_id" || got.RetryAfter != 1500*time.Millisecond || got.Message != "order o1 is already placed" {
		t.Errorf("got %+v", got)
	}
	if errors.Is(got, contract.NewError(contract.Conflict, "other", "")) || errors.Is(got, contract.NewError(contract.Invalid, "order_placed", "")) {
		t.Error("errors of another reason or code compare as equal")
	}
}

func TestForeignErrorsBecomeOpaque(t *testing.T) {
	t.Parallel()
	cases := map[error]contract.Code{
		errors.New("password=hunter2"):                contract.Internal,
		fmt.Errorf("x: %w", context.DeadlineExceeded): contract.Deadline,
		context.Canceled:                              contract.Unavailable,
	}
	for err, code := range cases {
		if got := contract.AsError(err); got.Code != code || strings.Contains(got.Message, "hunter2") {
			t.Errorf("%v became %v", err, got)
		}
	}
	if got := contract.DecodeError([]byte("not json"), "it broke"); got.Code != contract.Internal || got.Message != "it broke" {
		t.Errorf("got %+v", got)
	}
}

func TestEveryCodeHasANameAndAnHTTPStatus(t *testing.T) {
	t.Parallel()
	for _, code := range []contract.Code{400, 401, 403, 404, 409, 412, 422, 429, 500, 503, 504} {
		back, ok := contract.ParseCode(code.String())
		if !ok || back != code || http.StatusText(int(code)) == "" {
			t.Errorf("%d: name %q, back %d", code, code, back)
		}
	}
}

func TestCommitRoundTrip(t *testing.T) {
	t.Parallel()
	in := contract.Commit{Events: []contract.Record{{ID: "e1", Type: "order.placed.v1", Command: "c1", At: time.Unix(7, 0).UTC(), Data: contract.Raw(`{"a":1}`)}},
		State: &contract.Snapshot{Schema: 3, Data: contract.Raw(`{"s":2}`)}}
	body, err := contract.EncodeCommit(in)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"v":1,"events":[{"id":"e1","type":"order.placed.v1","command":"c1","at":"1970-01-01T00:00:07Z","data":{"a":1}}],"state":{"schema":3,"data":{"s":2}}}`
	if string(body) != want {
		t.Errorf("the public commit format changed:\n got %s\nwant %s", body, want)
	}
	out, err := contract.DecodeCommit(body)
	if err != nil || len(out.Events) != 1 || out.State.Schema != 3 {
		t.Errorf("got %+v, %v", out, err)
	}
}

func TestForeignMessagesAreNoCommits(t *testing.T) {
	t.Parallel()
	for _, body := range []string{``, `hello`, `{}`, `{"v":1}`, `{"v":1,"events":[]}`, `{"v":0,"events":[{}]}`, `[1]`} {
		if _, err := contract.DecodeCommit([]byte(body)); !errors.Is(err, contract.ErrNotCommit) {
			t.Errorf("%q gave %v", body, err)
		}
	}
	if _, err := contract.DecodeCommit([]byte(`{"v":2,"events":[{}]}`)); !errors.Is(err, contract.ErrUnknownEvent) {
		t.Errorf("a newer format gave %v", err)
	}
	h := http.Header{}
	for _, bad := range []string{"", "1", "0-1", "2-1", "a-b", "-1-2"} {
		h.Set(contract.HeaderVersion, bad)
		h.Set(contract.HeaderPrev, "0")
		h.Set(contract.HeaderSnap, "0")
		if _, err := contract.ParseCommitHeader(h); !errors.Is(err, contract.ErrNotCommit) {
			t.Errorf("version header %q gave %v", bad, err)
		}
	}
}

func TestCommitHeaderRoundTrip(t *testing.T) {
	t.Parallel()
	for _, in := range []contract.CommitHeader{{First: 1, Last: 1, Snap: contract.SnapSelf}, {First: 5, Last: 9, Prev: 77, Snap: 60}, {First: 1, Last: 2}} {
		h := http.Header{}
		in.SetTo(h.Set)
		out, err := contract.ParseCommitHeader(h)
		if err != nil || out != in {
			t.Errorf("got %+v, %v; want %+v", out, err, in)
		}
	}
}

func TestActorRoundTrip(t *testing.T) {
	t.Parallel()
	in := contract.Actor{Who: "ada & co", For: "c=1", Scopes: []string{"orders.read", "orders.write"}, Request: "r1"}
	out, err := contract.ParseActor(in.Encode())
	if err != nil || out.Who != in.Who || out.For != in.For || !slices.Equal(out.Scopes, in.Scopes) || out.Request != in.Request {
		t.Errorf("got %+v, %v", out, err)
	}
	if _, err := contract.ParseActor("who=%zz"); contract.AsError(err).Code != contract.Unauthenticated {
		t.Errorf("a broken actor gave %v", err)
	}
}

type fruit interface{ fruit() }
type apple struct {
	Weight int `json:"weight"`
}
type oldApple struct {
	Grams int `json:"grams"`
}

func (apple) fruit() {}

func fruits() contract.Events[fruit] {
	return contract.NewEvents("farm", "FARM", "fruit",
		contract.Type[fruit, apple]("fruit.picked.v2"),
		contract.Upcast("fruit.picked.v1", func(o oldApple) fruit { return apple{Weight: o.Grams} }))
}

func TestEventsDecodeTodayAndYesterday(t *testing.T) {
	t.Parallel()
	ev := fruits()
	for name, data := range map[string]string{"fruit.picked.v2": `{"weight":80,"added_later":1}`, "fruit.picked.v1": `{"grams":80}`} {
		got, err := ev.Decode(name, []byte(data))
		if err != nil || got != fruit(apple{80}) {
			t.Errorf("%s: got %v, %v", name, got, err)
		}
	}
	if _, err := ev.Decode("fruit.picked.v3", []byte(`{}`)); !errors.Is(err, contract.ErrUnknownEvent) {
		t.Errorf("an event of the future gave %v", err)
	}
	if name, err := ev.TypeName(apple{}); err != nil || name != "fruit.picked.v2" {
		t.Errorf("got %q, %v", name, err)
	}
}

func TestSubjects(t *testing.T) {
	t.Parallel()
	info := fruits().Info()
	if s, err := info.Subject("f1"); err != nil || s != "evt.fruit.f1" {
		t.Errorf("got %q, %v", s, err)
	}
	for _, id := range []string{"*", ">", "a.b", ""} {
		if s, err := info.Subject(id); err == nil {
			t.Errorf("id %q became subject %q", id, s)
		}
	}
	if id, ok := info.EntityID("evt.fruit.f1"); !ok || id != "f1" {
		t.Errorf("got %q, %v", id, ok)
	}
	for _, s := range []string{"evt.fruit.a.b", "evt.fruits.a", "evt.fruit."} {
		if id, ok := info.EntityID(s); ok {
			t.Errorf("%s is entity %q", s, id)
		}
	}
	service, p, name, id, ok := contract.ParseFlowInput(contract.FlowInput("orders", 7, "checkout", "o1"))
	if !ok || service != "orders" || p != 7 || name != "checkout" || id != "o1" {
		t.Errorf("got %s %d %s %s %v", service, p, name, id, ok)
	}
	m := contract.NewMethod[struct{}, struct{}]("orders", "place", contract.Version(2))
	if m.Subject() != "svc.orders.v2.place" {
		t.Errorf("got %s", m.Subject())
	}
}

func farm() contract.Service {
	get := contract.NewMethod[struct{}, struct{}]("farm", "get")
	other := contract.NewMethod[struct{}, struct{}]("market", "sell")
	return contract.Service{
		Name: "farm", Serves: []contract.MethodInfo{get.Info()}, Calls: []contract.MethodInfo{other.Info()},
		Appends:  []contract.EventsInfo{fruits().Info()},
		Consumes: []contract.Consumption{{Durable: "farm-picker", Events: fruits().Info()}},
		Flows:    []contract.FlowInfo{{Name: "harvest", Version: 1}},
	}
}

func TestPermissionsGrantNoMoreThanTheDescriptorNames(t *testing.T) {
	t.Parallel()
	for _, rights := range []contract.Rights{contract.Production, contract.Development} {
		p := farm().Permissions(rights)
		for _, s := range append(slices.Clone(p.Publish), p.Subscribe...) {
			for _, bad := range []string{"DELETE.FARM", "PURGE", "$JS.API.>", "STREAM.MSG.DELETE", "$SYS"} {
				if strings.Contains(s, bad) && s != "$JS.API.STREAM.PURGE.OBJ_flow_payload" {
					t.Errorf("rights %d: %s is granted", rights, s)
				}
			}
			if s == ">" || strings.HasPrefix(s, "*") || strings.HasPrefix(s, "svc.>") {
				t.Errorf("rights %d: %s is granted", rights, s)
			}
		}
		if makes := slices.Contains(p.Publish, "$JS.API.STREAM.CREATE.FARM"); makes != (rights == contract.Development) {
			t.Errorf("rights %d: may create streams: %v", rights, makes)
		}
		for _, want := range []string{"evt.fruit.*", "svc.market.sell", "dlq.FARM.farm-picker"} {
			if !slices.Contains(p.Publish, want) {
				t.Errorf("rights %d: %s is missing from %v", rights, want, p.Publish)
			}
		}
	}
}

// TestWhoFollowsFlowsMayReadThemAndWriteInboxes: of what is FLOW's, nothing else.
func TestWhoFollowsFlowsMayReadThemAndWriteInboxes(t *testing.T) {
	t.Parallel()
	every := []string{contract.EveryService}
	for _, rights := range []contract.Rights{contract.Production, contract.Development} {
		p := contract.Service{Name: "steward", Starts: every, Follows: every}.Permissions(rights)
		want := []string{
			"$JS.API.CONSUMER.CREATE.FLOW.*", "$JS.API.CONSUMER.INFO.FLOW.*", "$JS.API.CONSUMER.MSG.NEXT.FLOW.*",
			"$JS.API.DIRECT.GET.FLOW", "$JS.API.DIRECT.GET.FLOW.>",
			"$JS.API.DIRECT.GET.OBJ_flow_payload", "$JS.API.DIRECT.GET.OBJ_flow_payload.>", "$JS.API.INFO",
			"$JS.API.STREAM.INFO.FLOW", "$JS.API.STREAM.INFO.OBJ_flow_payload",
			"$JS.API.STREAM.MSG.GET.FLOW", "$JS.API.STREAM.MSG.GET.OBJ_flow_payload",
			"$O.flow_payload.C.>", "$O.flow_payload.M.>", "flow.*.in.>",
		}
		if !slices.Equal(p.Publish, want) {
			t.Errorf("rights %d: may publish %v, want %v", rights, p.Publish, want)
		}
		if !slices.Equal(p.Subscribe, []string{"_INBOX_steward.>"}) {
			t.Errorf("rights %d: may subscribe to %v", rights, p.Subscribe)
		}
	}
}

func TestStreamsKeepEverything(t *testing.T) {
	t.Parallel()
	specs := contract.Streams(farm())
	var names []string
	for _, s := range specs {
		names = append(names, s.Name)
		if s.Name == "FARM" && (!s.DiscardNew || !s.DenyDelete || s.MaxAge != 0) {
			t.Errorf("the event stream can forget: %+v", s)
		}
	}
	if !slices.Equal(names, []string{"DLQ", "FARM", "FLOW", "flow_lease", "flow_payload"}) {
		t.Errorf("got %v", names)
	}
}
