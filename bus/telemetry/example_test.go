package telemetry_test

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/telemetry"
)

func Example() {
	var out strings.Builder // os.Stderr in a program
	tel, err := telemetry.New(telemetry.Config{Service: "orders", Writer: &out})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	ctx := telemetry.WithActor(context.Background(), contract.Actor{Who: "gateway", Request: "r-17"})
	tel.Logger.InfoContext(ctx, "placed", telemetry.KeyOrder, "o-1")

	_, line, _ := strings.Cut(out.String(), `"level"`) // without the time
	fmt.Print(`{"level"` + line)
	// Output:
	// {"level":"INFO","msg":"placed","service":"orders","order_id":"o-1","request_id":"r-17","actor":"gateway"}
}
