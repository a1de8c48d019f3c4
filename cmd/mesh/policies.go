package main

import (
	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/config"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/policy"
)

// callPolicies are the executors of a service, which follow their documents once the set
// runs.
func callPolicies(conn *bus.Conn, desc contract.Service) (*policy.Set, error) {
	set := policy.NewSet(conn, desc)
	for _, p := range desc.Policies {
		if p.Kind != contract.PolicyCalls {
			continue
		}
		parse, base := callsParser(p)
		document, err := config.NewDocument(conn, contract.PolicyKey(desc.Name, p.Name), parse, base)
		if err != nil {
			return nil, err
		}
		set.Follow(p.Name, document)
	}
	return set, nil
}

// callsParser reads documents of a policy over what holds without one.
func callsParser(p contract.PolicyInfo) (parse func([]byte) (policy.Calls, error), base policy.Calls) {
	base = policy.Default(p.Of)
	return func(data []byte) (policy.Calls, error) { return policy.Parse(data, base) }, base
}
