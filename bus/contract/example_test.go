package contract_test

import (
	"errors"
	"fmt"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// A service says what it does with values: methods, events and a descriptor.
func Example() {
	type Greet struct {
		Name string `json:"name"`
	}
	type Greeting struct {
		Text string `json:"text"`
	}
	greet := contract.NewMethod[Greet, Greeting]("hello", "greet", contract.Idempotent())
	service := contract.Service{Name: "hello", Serves: []contract.MethodInfo{greet.Info()}}

	fmt.Println(greet.Subject())
	fmt.Println(service.Permissions(contract.Production).Subscribe)
	// Output:
	// svc.hello.greet
	// [$SRV.INFO $SRV.INFO.hello $SRV.INFO.hello.* $SRV.PING $SRV.PING.hello $SRV.PING.hello.* $SRV.STATS $SRV.STATS.hello $SRV.STATS.hello.* _INBOX_hello.> svc.hello.>]
}

// Errors name the field that is to blame, and compare by code and reason on both
// sides of the wire.
func ExampleUnmarshal() {
	var request struct {
		Quantity int `json:"quantity"`
	}
	err := contract.Unmarshal([]byte(`{"quantity":1.5}`), &request)
	fmt.Println(err)
	fmt.Println(errors.Is(err, contract.ErrInvalid))
	// Output:
	// quantity must be a whole number that fits int (invalid_request, field /quantity)
	// true
}
