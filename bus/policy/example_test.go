package policy_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/policy"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

// A destination that fails is left alone after a while; who calls is told when to come
// back.
func Example() {
	calls, err := policy.Parse([]byte(`{"retry":{"off":true},"breaker":{"failures":3,"open":"30s"}}`), policy.Partner())
	if err != nil {
		fmt.Println(err)
		return
	}
	bank, err := policy.NewExecutor(telemetry.Nop(), "payments", "bank", calls)
	if err != nil {
		fmt.Println(err)
		return
	}
	sent := 0
	for range 10 {
		_, err = policy.Do(context.Background(), bank, policy.Call{Name: "charge"}, func(context.Context) (string, error) {
			sent++
			return "", contract.ErrUnavailable
		})
	}
	fmt.Println("sent:", sent)
	fmt.Println("left alone:", errors.Is(err, policy.ErrOpen))
	// Output:
	// sent: 3
	// left alone: true
}
