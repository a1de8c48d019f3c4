package rpc_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/nats-io/nats.go/micro"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/rpc"
)

// monitor asks $SRV and decodes what comes.
func monitor(t *testing.T, conn *bus.Conn, verb micro.Verb, name, id string, into any) {
	t.Helper()
	subject, err := micro.ControlSubject(verb, name, id)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(ask(t, conn.NATS(), subject, "", nil).Data, into); err != nil {
		t.Fatal(err)
	}
}

// TestStatisticsCarryReports has a part of the service tell about itself.
func TestStatisticsCarryReports(t *testing.T) {
	t.Parallel()
	conn := bustest.New(t)
	s, _ := start(t, conn, hello)
	defer conn.Report("view.greeting", func() any { return map[string]int{"behind": 3} })()
	var got struct {
		Name    string
		Reports map[string]map[string]int
	}
	monitor(t, conn, micro.StatsVerb, "hello", s.ID(), &got)
	if got.Name != "hello" || got.Reports["view.greeting"]["behind"] != 3 {
		t.Errorf("%+v", got)
	}
}

func stats(t *testing.T, conn *bus.Conn, s *rpc.Server) *micro.EndpointStats {
	t.Helper()
	var got micro.Stats
	monitor(t, conn, micro.StatsVerb, "hello", s.ID(), &got)
	if len(got.Endpoints) != 1 {
		t.Fatalf("%d endpoints, want one", len(got.Endpoints))
	}
	return got.Endpoints[0]
}

func requests(t *testing.T, conn *bus.Conn, s *rpc.Server) int {
	t.Helper()
	return stats(t, conn, s).NumRequests
}

func TestMonitorAnswersAsMicroDoes(t *testing.T) {
	t.Parallel()
	conn := bustest.New(t)
	s, _ := start(t, conn, hello)
	identity := micro.ServiceIdentity{Name: "hello", ID: s.ID(), Version: "1.2.3", Metadata: map[string]string{}}
	for _, who := range [][2]string{{"", ""}, {"hello", ""}, {"hello", s.ID()}} {
		var ping micro.Ping
		monitor(t, conn, micro.PingVerb, who[0], who[1], &ping)
		if diff := cmp.Diff(micro.Ping{ServiceIdentity: identity, Type: micro.PingResponseType}, ping); diff != "" {
			t.Errorf("PING %v: %s", who, diff)
		}
		var info micro.Info
		monitor(t, conn, micro.InfoVerb, who[0], who[1], &info)
		want := micro.Info{
			ServiceIdentity: identity, Type: micro.InfoResponseType, Description: "Says hello.",
			Endpoints: []micro.EndpointInfo{{
				Name: "greet", Subject: "svc.hello.greet", QueueGroup: "hello",
				Metadata: map[string]string{
					"doc": "Greets somebody.", "idempotent": "true", "priority": "command",
					"request": "rpc_test.greetReq", "response": "rpc_test.greetResp",
				},
			}},
		}
		if diff := cmp.Diff(want, info); diff != "" {
			t.Errorf("INFO %v: %s", who, diff)
		}
		var got micro.Stats
		monitor(t, conn, micro.StatsVerb, who[0], who[1], &got)
		wantStats := micro.Stats{
			ServiceIdentity: identity, Type: micro.StatsResponseType,
			Endpoints: []*micro.EndpointStats{{Name: "greet", Subject: "svc.hello.greet", QueueGroup: "hello"}},
		}
		if diff := cmp.Diff(wantStats, got, cmpopts.IgnoreFields(micro.Stats{}, "Started")); diff != "" {
			t.Errorf("STATS %v: %s", who, diff)
		}
		if since := time.Since(got.Started); since < 0 || since > time.Minute {
			t.Errorf("started %v ago", since)
		}
	}
}

func TestStatsCountWhatHappened(t *testing.T) {
	t.Parallel()
	conn := bustest.New(t)
	work := 2 * time.Millisecond
	s, _ := start(t, conn, func(ctx context.Context, req greetReq) (greetResp, error) {
		timer := time.NewTimer(work) // the work itself, not a wait for something else
		defer timer.Stop()
		<-timer.C
		if req.Name == "bad" {
			return greetResp{}, errTaken
		}
		return hello(ctx, req)
	})
	client := rpc.NewClient(conn)
	for range 5 {
		if _, err := rpc.Call(t.Context(), client, greet, greetReq{Name: "Ada"}); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if _, err := rpc.Call(t.Context(), client, greet, greetReq{Name: "bad"}); !errors.Is(err, errTaken) {
			t.Fatal(err)
		}
	}
	ask(t, conn.NATS(), greet.Subject(), "not JSON", nil)
	if err := conn.NATS().Publish(greet.Subject(), []byte("{}")); err != nil { // nobody waits for the reply
		t.Fatal(err)
	}
	bustest.Eventually(t, 10*time.Second, func() bool { return requests(t, conn, s) == 9 }, "nine requests counted")
	got := stats(t, conn, s)
	if got.NumErrors != 3 || got.LastError == "" {
		t.Errorf("errors: %+v, want 3", got)
	}
	if got.ProcessingTime < 8*work || got.AverageProcessingTime != got.ProcessingTime/9 {
		t.Errorf("processing %v, average %v of nine of which eight took %v", got.ProcessingTime, got.AverageProcessingTime, work)
	}
}
