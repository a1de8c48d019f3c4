package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/ordermesh/ordermesh/bus/contract"
	"github.com/ordermesh/ordermesh/bus/rpc"
)

// flood is what became of calls that came at a pace of their own.
type flood struct {
	sample  Sample // of those that were served
	rate    float64
	shares  string // of the processors, when the processes are apart
	refused atomic.Int64
	other   atomic.Int64 // neither served nor refused with a time
	unmade  int64        // calls that were due while too many others were under way
	mu      sync.Mutex
	why     error
}

// String says what became of them.
func (f *flood) String() string {
	text := fmt.Sprintf("%.0f/s offered, %d served, %d refused with a time to come back", f.rate, f.sample.Count, f.refused.Load())
	if f.unmade > 0 {
		text += fmt.Sprintf(", %d not made because too many were under way", f.unmade)
	}
	return text + f.shares
}

// offer makes calls at a pace, whether or not those before are answered, and waits for all
// answers. Times count from when a call was made. No more calls are under way than come in
// a second.
func offer(ctx context.Context, rate float64, d time.Duration, call func(context.Context) error) *flood {
	f := &flood{rate: rate}
	served := hdrhistogram.New(1, longest, digits)
	cpu, start := processCPU(), time.Now()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	var all sync.WaitGroup
	var underWay atomic.Int64
	for made := 0; time.Since(start) < d; {
		for ; float64(made) < time.Since(start).Seconds()*rate; made++ {
			if float64(underWay.Load()) > max(rate, 256) {
				f.unmade++
				continue
			}
			underWay.Add(1)
			due := time.Now()
			all.Go(func() {
				err := call(ctx)
				underWay.Add(-1)
				f.count(err, time.Since(due), served)
			})
		}
		<-tick.C
	}
	all.Wait()
	if n := served.TotalCount(); n > 0 {
		f.sample = Sample{
			Ops: float64(n) / time.Since(start).Seconds(), Count: n, CPU: (processCPU() - cpu) / time.Duration(n),
			P50: time.Duration(served.ValueAtQuantile(50)), P99: time.Duration(served.ValueAtQuantile(99)),
		}
	}
	return f
}

// callWork makes one call of the overloaded server.
func callWork(client *rpc.Client) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := rpc.Call(ctx, client, overloadMethod, stockQuery{SKU: "TEA-001"})
		return err
	}
}

func (f *flood) count(err error, took time.Duration, served *hdrhistogram.Histogram) {
	if err == nil {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.why = errors.Join(f.why, served.RecordValue(int64(took)))
		return
	}
	if e := contract.AsError(err); e.Code == contract.Exhausted && e.RetryAfter > 0 {
		f.refused.Add(1)
		return
	}
	f.other.Add(1)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.why = err
}
