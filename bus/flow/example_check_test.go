package flow_test

import (
	"context"
	"fmt"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/flow"
)

// captured is what Client.History read of a running flow some time ago.
const captured = `{"v":1,"service":"orders","input":{"text":"two teas"},"journal":{"v":1,"flow":"sell","id":"o1","version":1,"start":7,
	"status":"running","records":[{"i":0,"kind":"step","name":"reserve","tries":1,"out":{"text":"held"}},{"i":1,"kind":"step","name":"charge","tries":1,"out":{"text":"paid"}}]}}`

// A changed flow is held against the flows that run, before it is deployed. No step
// runs: the definition needs nothing that its steps would need.
func ExampleHistory_Check() {
	sell := flow.Define("sell", 1, func(run *flow.Run, in args) (result, error) {
		for _, name := range []string{"reserve", "ship", "charge"} { // "ship" is new
			if _, err := flow.Step(run, name, func(context.Context) (result, error) { return result(in), nil }); err != nil {
				return result{}, err
			}
		}
		return result{}, nil
	})
	history, err := flow.DecodeHistory([]byte(captured))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(history.Check(context.Background(), sell))
	// Output: the code does not follow the journal: at index 1 the journal has step "charge", the code does step "ship"
}

// Who starts a flow without knowing its types finds out first whether the input suits.
func ExampleCheckInput() {
	sell := flow.Define("sell", 1, func(*flow.Run, args) (result, error) { return result{}, nil })
	fmt.Println(flow.CheckInput(sell, contract.Raw(`{"text":"two teas"}`)))
	fmt.Println(flow.CheckInput(sell, contract.Raw(`{"text":2}`)))
	// Output:
	// <nil>
	// text must be a string (invalid_request, field /text)
}
