package cache_test

import (
	"context"
	"fmt"

	"github.com/ordermesh/ordermesh/bus/cache"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

// A cache in front of a slow source. Without a feed the writer tells of its changes.
func ExampleNew() {
	stock, version := 10, uint64(1)
	reads := 0
	levels, err := cache.New(telemetry.Nop(), "levels", func(context.Context, string) (int, uint64, error) {
		reads++
		return stock, version, nil
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer levels.Close()
	ctx := context.Background()
	for range 3 {
		_, _, _ = levels.Get(ctx, "TEA-001")
	}
	stock, version = 9, 2
	levels.Changed("TEA-001", version)
	n, v, err := levels.Get(ctx, "TEA-001")
	fmt.Println(n, v, err, reads)
	// Output: 9 2 <nil> 2
}
