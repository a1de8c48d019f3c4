package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/ordermesh/ordermesh/contracts/orders"
)

const (
	acceptance = "orders.acceptance"
	// bigRules hold orders of more than one piece, and reject more than five.
	bigRules = `{"rules":[
  {"name":"far_too_many","when":"order.quantity > 5","then":"reject","reason":"not so many"},
  {"name":"many","when":"order.quantity > 1","then":"hold"}
],"otherwise":"accept"}`
)

// policyFile writes a document into a file.
func policyFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "policy.json")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// govern runs `mesh policy` and holds its exit code and output to what is expected.
func govern(t *testing.T, code int, says string, args ...string) {
	t.Helper()
	got, out := runMesh(t, append([]string{"policy"}, args...)...)
	if got != code || !strings.Contains(out, says) {
		t.Errorf("mesh policy %s: exit code %d, want %d and %q:\n%s", strings.Join(args, " "), got, code, says, out)
	}
}

// TestPolicyWithoutMesh: checking and trying out need no mesh, and say what is wrong where.
func TestPolicyWithoutMesh(t *testing.T) {
	t.Parallel()
	good, bad := policyFile(t, bigRules), policyFile(t, `{"rules":[{"name":"a","when":"order.totl > 1","then":"hold"}],"otherwise":"accept"}`)
	input := policyFile(t, `{"order":{"quantity":3},"customer":{"orders":1}}`)
	govern(t, exitGood, "orders.acceptance can be used; it may cost", "check", acceptance, good)
	govern(t, exitBad, "rule a, column 6: undefined field 'totl'", "check", acceptance, bad)
	govern(t, exitBad, `{"policy":"orders.acceptance","good":false,"problems":[{"rule":"a","line":1,"column":6,"message":"undefined field 'totl'"}]}`, "check", acceptance, bad, "--json")
	govern(t, exitGood, "can be used", "check", "payments.provider", policyFile(t, "{}"))
	govern(t, exitBad, "/brakes", "check", "payments.provider", policyFile(t, `{"brakes":1}`))
	govern(t, exitUsage, "choose from", "check", "orders.mood", good)
	govern(t, exitUsage, "no such file", "check", acceptance, good+"x")
	govern(t, exitUsage, "expected a policy and a file", "check", acceptance)
	govern(t, exitGood, "breaker.open", "vars", "payments.provider")
	govern(t, exitGood, "order.lines[].quantity", "vars", acceptance)
	govern(t, exitGood, "hold: rule many", "test", acceptance, good, "--input", input)
	govern(t, exitGood, `{"name":"far_too_many","then":"reject","holds":false},{"name":"many","then":"hold","holds":true}`, "test", acceptance, good, "--input", input, "--json")
	govern(t, exitBad, "cannot be used", "test", acceptance, bad, "--input", input)
	govern(t, exitBad, "colour", "test", acceptance, good, "--input", policyFile(t, `{"order":{"colour":"red"}}`))
	govern(t, exitUsage, "either --order or --input", "test", acceptance, good)
	govern(t, exitUsage, "less than nothing", "shadow", acceptance, good, "--limit", "-1")
}

// TestPolicy changes rules while orders run: with mesh policy and with a plain put into the
// bucket.
func TestPolicy(t *testing.T) {
	t.Parallel()
	mesh := launchMesh(t, devArgs("--ephemeral", "--seed=false")...)
	mesh.awaitReady()
	s := mesh.shop()
	s.stock("A", 500, 100)
	run := func(code int, says string, args ...string) {
		t.Helper()
		govern(t, code, says, append(args, "--nats", mesh.note.NATS)...)
	}
	free := s.place(orderJSON("A", 2, "tok_ok"))
	run(exitBad, "no such value", "get", acceptance)
	run(exitGood, "was never set", "history", acceptance)
	run(exitGood, "1 order in", "shadow", acceptance, policyFile(t, bigRules))
	run(exitBad, "cannot be used", "put", acceptance, policyFile(t, "{}"))
	run(exitGood, "(revision 1, run by 1 of 1 instance)", "put", acceptance, policyFile(t, bigRules))
	held := s.place(orderJSON("A", 2, "tok_ok"))
	s.reaches(held.OrderID, orders.OnHold)
	if _, refusal := s.ask("orders.place", orderJSON("A", 6, "tok_ok")); refusal == nil || refusal.Reason != orders.ErrNotAccepted.Reason {
		t.Errorf("too many: %v", refusal)
	}
	run(exitGood, "hold: rule many", "test", acceptance, "--order", held.OrderID)
	run(exitGood, "accept  →  hold      many", "shadow", acceptance)
	run(exitBad, "somebody else", "put", acceptance, policyFile(t, bigRules), "--revision", "0")

	// As any NATS client does it.
	js, err := jetstream.New(s.nc)
	if err != nil {
		t.Fatal(err)
	}
	kv, err := js.KeyValue(t.Context(), "policy")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.PutString(t.Context(), acceptance, `{"rules":[],"otherwise":"perhaps"}`); err != nil {
		t.Fatal(err)
	}
	run(exitBad, "otherwise must be accept, hold or reject", "status", acceptance)
	run(exitGood, "refused: otherwise must be", "history", acceptance)
	run(exitGood, `"when":"order.quantity > 1"`, "get", acceptance)
	s.reaches(s.place(orderJSON("A", 2, "tok_ok")).OrderID, orders.OnHold)
	run(exitGood, "is changed (revision 3", "rollback", acceptance)
	run(exitGood, "in order by now", "status", acceptance)
	run(exitGood, `+       "when": "order.quantity > 4",`, "diff", acceptance, policyFile(t, strings.Replace(bigRules, "> 1", "> 4", 1)))
	run(exitGood, "nothing differs", "diff", acceptance, "--since", "1")
	run(exitGood, "is not in the bucket any more", "unset", acceptance)
	run(exitBad, "no such value", "unset", acceptance)
	last := s.place(orderJSON("A", 2, "tok_ok"))
	for _, o := range []orders.Order{free, last} {
		if o = s.ended(o.OrderID); o.Status != orders.Delivered || o.Acceptance != nil {
			t.Errorf("%+v", o)
		}
	}
	if code, out := runMesh(t, "verify", "--nats", mesh.note.NATS); code != exitGood {
		t.Errorf("verify: exit code %d\n%s", code, out)
	}
}
