package main

import (
	"cmp"
	"context"
	"errors"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/flow"
	flowsservice "github.com/ordermesh/ordermesh/services/flows"
)

// The flow that the README shows.

func approve(run *flow.Run, in expense) (receipt, error) {
	flow.Compensate(run, "release", func(ctx context.Context) error { return bank.release(ctx, in) })
	if _, err := flow.Step(run, "hold", func(ctx context.Context) (receipt, error) { return bank.hold(ctx, in) }); err != nil {
		return receipt{}, err
	}
	said, err := flow.Await[decision](run, "decision", 72*time.Hour)
	if err != nil || !said.Yes {
		return receipt{}, cmp.Or(err, errRefused)
	}
	return flow.Step(run, "pay", func(ctx context.Context) (receipt, error) { return bank.pay(ctx, in) })
}

type (
	expense  struct{ Cents int }
	decision struct{ Yes bool }
	receipt  struct {
		Number string `json:"number"`
	}
)

var errRefused error = contract.NewError(contract.Unprocessable, "refused", "the expense was refused")

// bank is far away and answers the second question only.
var bank farBank

type farBank struct{ asked atomic.Bool }

func (b *farBank) hold(context.Context, expense) (receipt, error) {
	if !b.asked.Swap(true) {
		return receipt{}, errors.New("the bank does not answer")
	}
	return receipt{Number: "h1"}, nil
}

func (*farBank) release(context.Context, expense) error        { return nil }
func (*farBank) pay(context.Context, expense) (receipt, error) { return receipt{Number: "r-2041"}, nil }

// TestReadmeFlow: the README's flow is the one above, and what `mesh flow` shows of it
// is what it shows there, whatever time it took.
func TestReadmeFlow(t *testing.T) { //nolint:paralleltest // the far bank is one
	readme := read(t, "../../README.md")
	source := block(read(t, "readmeflow_test.go"), "func approve(", "\n}\n")
	if source == "" || !strings.Contains(readme, source) {
		t.Errorf("the README does not show\n%s", source)
	}

	b := bustest.Server(t, bustest.WithServices(contract.Service{Name: "office", Flows: []contract.FlowInfo{{Name: "approve", Version: 1}}}))
	worker, err := flow.NewWorker(b.Dial(t, bustest.WithService("office")), "office", []flow.Registered{flow.Define("approve", 1, approve)})
	if err != nil {
		t.Fatal(err)
	}
	bustest.Run(t, worker)
	service, err := flowsservice.New(b.Dial(t, bustest.WithService("flows")), flowsservice.Config{
		Services: []contract.Service{{Name: "office", Flows: []contract.FlowInfo{{Name: "approve", Version: 1}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	bustest.Run(t, service)

	run := func(args ...string) string {
		t.Helper()
		code, out := runMesh(t, append(append([]string{"flow"}, args...), "--service", "office", "--nats", b.URL())...)
		if code != exitGood {
			t.Fatalf("mesh flow %v: exit code %d\n%s", args, code, out)
		}
		return out
	}
	run("start", "approve", "e1", "--input", `{"Cents":12900}`)
	bustest.Eventually(t, patience, func() bool { return strings.Contains(run("show", "approve", "e1"), "waiting") })
	waiting := run("show", "approve", "e1")
	run("signal", "approve", "e1", "decision", "--data", `{"Yes":true}`)
	completed := run("show", "approve", "e1", "--follow")
	t.Logf("\n%s\n%s", waiting, completed)
	for _, shown := range []string{waiting, completed} {
		heading, _, _ := strings.Cut(shown, "  ")
		status := strings.Fields(shown)[2]
		inReadme := block(readme, heading+"  "+status, "```")
		if diff := gocmp.Diff(timeless(strings.TrimSuffix(inReadme, "```")), timeless(shown)); diff != "" {
			t.Errorf("the README shows something else: %s", diff)
		}
	}
}

// timeless is an output without the times and the bars, which differ from run to run.
func timeless(text string) string {
	text = regexp.MustCompile(`\d{4}-\d\d-\d\d( \d\d:\d\d:\d\d(\.\d+)?)?|\d\d:\d\d:\d\d(\.\d+)?|[+<]?\d+(\.\d+)?(ms|s|m\d+s|h\d\dm|d\d\dh)\b`).ReplaceAllString(text, "T")
	return strings.TrimSpace(regexp.MustCompile(`[ █▏]+`).ReplaceAllString(text, " "))
}

// block is the part of a text from a beginning to an end, "" where there is none.
func block(text, from, to string) string {
	_, rest, found := strings.Cut(text, from)
	part, _, ends := strings.Cut(rest, to)
	if !found || !ends {
		return ""
	}
	return from + part + to
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
