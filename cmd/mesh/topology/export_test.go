package topology_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"reflect"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.yaml.in/yaml/v3"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/cmd/mesh/topology"
	"github.com/ordermesh/ordermesh/contracts/orders"
)

// schema is what NACK's resource definitions allow in the spec of each kind: names and
// types, taken from deploy/crds.yml of nats-io/nack after v0.22.4.
type schema map[string]map[string]struct {
	Type string   `json:"type"`
	Enum []string `json:"enum"`
}

// resource is a manifest as Kubernetes would read it.
type resource struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string
	Metadata   struct{ Name, Namespace string }
	Spec       map[string]any
}

func exported(t *testing.T) []resource {
	t.Helper()
	e := topology.Exporter{Namespace: "shop", Account: "shop", Replicas: 3}
	var out bytes.Buffer
	if err := topology.Write(&out, e.Manifests(orders.Descriptor)); err != nil {
		t.Fatal(err)
	}
	var list []resource
	for decoder := yaml.NewDecoder(&out); ; {
		var r resource
		err := decoder.Decode(&r)
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, r)
	}
}

// TestManifestsFitTheirDefinitions: every member is one that NACK knows, of its type
// and among its values; every name is one that Kubernetes takes, once.
func TestManifestsFitTheirDefinitions(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/nack-v1beta2.json")
	if err != nil {
		t.Fatal(err)
	}
	var known schema
	if err := json.Unmarshal(data, &known); err != nil {
		t.Fatal(err)
	}
	kubernetes := regexp.MustCompile(`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`)
	seen := map[string]bool{}
	kinds := map[string]int{}
	for _, r := range exported(t) {
		name := r.Kind + "/" + r.Metadata.Name
		if r.APIVersion != topology.ManifestAPI || r.Metadata.Namespace != "shop" || !kubernetes.MatchString(r.Metadata.Name) || seen[name] {
			t.Errorf("%+v", r)
		}
		seen[name] = true
		kinds[r.Kind]++
		for member, value := range r.Spec {
			rule, ok := known[r.Kind][member]
			if !ok {
				t.Errorf("%s: NACK knows no %s", name, member)
				continue
			}
			types := map[reflect.Kind]string{reflect.String: "string", reflect.Bool: "boolean", reflect.Int: "integer", reflect.Slice: "array", reflect.Map: "object"}
			if got := types[reflect.TypeOf(value).Kind()]; got != rule.Type {
				t.Errorf("%s: %s is a %s, must be a %s", name, member, got, rule.Type)
			}
			if text, ok := value.(string); ok && rule.Enum != nil && !slices.Contains(rule.Enum, text) {
				t.Errorf("%s: %s is %q, must be one of %q", name, member, text, rule.Enum)
			}
		}
	}
	if len(kinds) != len(known) || kinds["Consumer"] != contract.FlowPartitions+2 {
		t.Errorf("resources %v", kinds)
	}
}

// TestManifestsSayTheSame: what a manifest says, in the words of the API of the server,
// is what apply makes. Only what NACK has no word for is left out.
func TestManifestsSayTheSame(t *testing.T) {
	t.Parallel()
	find := func(kind, name string) map[string]any {
		for _, r := range exported(t) {
			if r.Kind == kind && r.Metadata.Name == name {
				return r.Spec
			}
		}
		t.Fatalf("no %s %s", kind, name)
		return nil
	}
	for _, c := range []struct {
		spec   map[string]any
		member string
		want   any
	}{
		{find("Stream", "orders"), "denyDelete", true},
		{find("Stream", "orders"), "discard", "new"},
		{find("Stream", "orders"), "storage", "file"},
		{find("Stream", "orders"), "replicas", 3},
		{find("Stream", "flow"), "allowMsgSchedules", true},
		{find("Stream", "flow"), "metadata", map[string]any{contract.FlowPartitionsKey: "16"}},
		{find("KeyValue", "kv-flow-lease"), "limitMarkerTtl", int(2 * time.Second)},
		{find("KeyValue", "kv-flow-lease"), "bucket", contract.FlowLeaseKV},
		{find("ObjectStore", "obj-flow-payload"), "bucket", contract.FlowPayloads},
		{find("Consumer", "orders-orders-checkout"), "ackWait", orders.ReactionWait.String()},
		{find("Consumer", "orders-orders-checkout"), "maxDeliver", -1},
		{find("Consumer", "flow-orders-3"), "filterSubject", contract.FlowInputFilter("orders", 3)},
		{find("Consumer", "flow-orders-3"), "priorityPolicy", policyName(t, jetstream.PriorityPolicyPinned)},
		{find("Consumer", "flow-orders-3"), "pinnedTtl", "3s"},
		{find("Consumer", "flow-orders-3"), "preventDelete", true},
	} {
		if !reflect.DeepEqual(c.spec[c.member], c.want) {
			t.Errorf("%v: %s is %v, not %v", c.spec, c.member, c.spec[c.member], c.want)
		}
	}
}

func policyName(t *testing.T, p jetstream.PriorityPolicy) string {
	t.Helper()
	data, err := p.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	return string(bytes.Trim(data, `"`))
}
