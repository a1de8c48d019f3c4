package rpc_test

import (
	"context"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ordermesh/ordermesh/bus/bustest"
	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/policy"
	"github.com/ordermesh/ordermesh/bus/rpc"
)

// TestOverloadOverTheWire: of calls at many times what a server can do, each is completed
// or refused with a time to come back; what is urgent is always completed.
func TestOverloadOverTheWire(t *testing.T) {
	t.Parallel()
	methods := []contract.Method[greetReq, greetResp]{
		contract.NewMethod[greetReq, greetResp]("hello", "list", contract.Lists()),
		contract.NewMethod[greetReq, greetResp]("hello", "look", contract.Read()),
		contract.NewMethod[greetReq, greetResp]("hello", "cancel", contract.Idempotent(), contract.Urgent()),
	}
	conn := bustest.New(t)
	var infos []contract.MethodInfo
	for _, m := range methods {
		infos = append(infos, m.Info())
	}
	s, err := rpc.NewServer(conn, service(infos...), rpc.WithConcurrency(4), rpc.WithQueue(64))
	if err != nil {
		t.Fatal(err)
	}
	var begun, ended atomic.Int64
	for _, m := range methods {
		rpc.Handle(s, m, func(ctx context.Context, req greetReq) (greetResp, error) {
			begun.Add(1)
			defer ended.Add(1)
			select {
			case <-time.After(2 * time.Millisecond):
			case <-ctx.Done():
			}
			return hello(ctx, req)
		})
	}
	run(t, s)
	calls := policy.Mesh()
	calls.Retry.Off, calls.Breaker.Off = true, true
	client := rpc.NewClient(conn, rpc.WithPolicies(policy.Fixed(conn, calls)))
	long, began := os.Getenv("MESH_LONG") == "1" || os.Getenv("MESH_CHAOS") != "", time.Now()
	var served, refused [3]atomic.Int64
	var all sync.WaitGroup
	for i, callers := range []int{150, 150, 8} { // at a time; four are served
		for range callers {
			all.Go(func() {
				for n := 0; n < 10 || long && time.Since(began) < 30*time.Second; n++ {
					_, err := rpc.Call(t.Context(), client, methods[i], greetReq{}, rpc.WithTimeout(patience))
					switch e := contract.AsError(err); {
					case err == nil:
						served[i].Add(1)
					case e.Code == contract.Exhausted && e.RetryAfter > 0:
						refused[i].Add(1)
					default:
						t.Error(err)
					}
				}
			})
		}
	}
	all.Wait()
	if n := served[0].Load() + served[1].Load() + served[2].Load(); begun.Load() != n || ended.Load() != n {
		t.Errorf("%d are answered, %d were begun, %d ended", n, begun.Load(), ended.Load())
	}
	for i, kind := range []string{"lists", "reads", "urgent"} {
		t.Logf("%s: %d served, %d refused", kind, served[i].Load(), refused[i].Load())
	}
	if refused[2].Load() > 0 || refused[0].Load() == 0 {
		t.Errorf("%d urgent calls and %d lists are refused", refused[2].Load(), refused[0].Load())
	}
}
