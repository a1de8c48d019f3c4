package contract_test

import (
	"slices"
	"testing"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// TestPolicies: a service that follows policies gets their bucket and may read its own,
// each by its full name.
func TestPolicies(t *testing.T) {
	t.Parallel()
	s := contract.Service{Name: "farm", Policies: []contract.PolicyInfo{{Name: "harvest", Kind: contract.PolicyRules}}}
	var names []string
	for _, spec := range contract.Streams(s) {
		names = append(names, spec.Name)
		if spec.Name == contract.PolicyKV && (!spec.KV || spec.History != 64) {
			t.Errorf("%+v", spec)
		}
	}
	if !slices.Equal(names, []string{contract.ConfigStatusKV, contract.PolicyKV}) {
		t.Errorf("buckets %v", names)
	}
	p := s.Permissions(contract.Production)
	for _, want := range []string{
		"$JS.API.CONSUMER.CREATE.KV_policy.*.$KV.policy.farm.harvest", "$JS.API.DIRECT.GET.KV_policy.$KV.policy.farm.harvest",
		"$KV.config_status.farm.>",
	} {
		if !slices.Contains(p.Publish, want) {
			t.Errorf("%s is not granted: %v", want, p.Publish)
		}
	}
	for _, s := range p.Publish {
		if s == "$KV.policy.farm.harvest" || s == "$KV.policy.>" {
			t.Errorf("%s is granted", s)
		}
	}
}

func TestPolicyKey(t *testing.T) {
	t.Parallel()
	if service, name, ok := contract.ParsePolicyKey(contract.PolicyKey("farm", "harvest")); !ok || service != "farm" || name != "harvest" {
		t.Errorf("got %s %s %v", service, name, ok)
	}
	for _, key := range []string{"", "farm", "farm.", ".harvest", "farm.a.b", "farm.*", "*.harvest", "farm.>"} {
		if _, _, ok := contract.ParsePolicyKey(key); ok {
			t.Errorf("%q is a key", key)
		}
	}
}
