package contract_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// What is made beforehand is every durable that a descriptor names, so that in
// production nobody needs the right to make one.
func TestConsumers(t *testing.T) {
	t.Parallel()
	farm := contract.Service{
		Name: "farm", Flows: []contract.FlowInfo{{Name: "harvest", Version: 1}},
		Consumes: []contract.Consumption{
			{Durable: "farm-picker", Events: fruits().Info()},
			{Durable: "farm-row", Events: fruits().Info(), Ordered: true, AckWait: time.Second},
		},
	}
	specs := contract.Consumers(farm)
	if len(specs) != 2+contract.FlowPartitions {
		t.Fatalf("%d consumers", len(specs))
	}
	find := func(name string) contract.ConsumerSpec {
		i := slices.IndexFunc(specs, func(s contract.ConsumerSpec) bool { return s.Name == name })
		if i < 0 {
			t.Fatalf("no consumer %s in %v", name, specs)
		}
		return specs[i]
	}
	if s := find("farm-picker"); s.Stream != fruits().Info().Stream || s.Filter != fruits().Info().Filter() || s.AckWait != contract.EventAckWait || s.Group != "" {
		t.Errorf("%+v", s)
	}
	if s := find("farm-row"); s.Group == "" || s.PinTTL <= 0 || s.AckWait != time.Second {
		t.Errorf("%+v", s)
	}
	if s := find("farm-15"); s.Stream != contract.FlowStream || s.Filter != "flow.farm.in.15.>" || s.Metadata[contract.FlowPartitionsKey] != "16" {
		t.Errorf("%+v", s)
	}
	for _, subject := range farm.Permissions(contract.Production).Publish {
		for _, s := range specs {
			if strings.HasPrefix(subject, "$JS.API.CONSUMER.CREATE."+s.Stream+".") && strings.HasSuffix(subject, "."+s.Filter) {
				t.Errorf("in production %s may be published to: the durable %s is there already", subject, s.Name)
			}
		}
	}
}
