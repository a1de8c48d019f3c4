package main

import (
	"context"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ordermesh/ordermesh/bus"
	"github.com/ordermesh/ordermesh/bus/auth"
	"github.com/ordermesh/ordermesh/contracts/orders"
)

// A quiet tenant and its noisy neighbour.
const (
	quietRate  = 50 // appends a second
	noisyTimes = 10
)

// TestNoisyNeighbour measures what tenant a notices of ten times its load in tenant b on
// the same server. It prints and judges nothing: the machine is shared. It runs with
// MESH_LONG=1.
func TestNoisyNeighbour(t *testing.T) {
	if os.Getenv("MESH_LONG") == "" {
		t.Skip("a measurement of half a minute: set MESH_LONG=1")
	}
	folder, server := twoTenants(t, auth.Limits{Disk: 1 << 30})
	a, b := tenantAdmin(t, folder, server, "a"), tenantAdmin(t, folder, server, "b")
	const lasts = 6 * time.Second
	var alone, together []time.Duration
	for range 2 { // one after the other twice, as the machine changes
		alone = append(alone, paced(t, a, quietRate, lasts)...)
		noise, quiet := context.WithCancel(t.Context())
		var noisy sync.WaitGroup
		for range noisyTimes {
			noisy.Go(func() {
				for noise.Err() == nil {
					paced(t, b, quietRate, 200*time.Millisecond)
				}
			})
		}
		together = append(together, paced(t, a, quietRate, lasts)...)
		quiet()
		noisy.Wait()
	}
	before, beside := p99(alone), p99(together)
	t.Logf("tenant a, %d appends/s: p99 %v alone, %v beside a neighbour with %d times its load: %.2f times (%d and %d appends)",
		quietRate, before, beside, noisyTimes, float64(beside)/float64(before), len(alone), len(together))
}

// paced appends at a rate, each on time whether the last one was answered or not, and
// returns how long each took.
func paced(t *testing.T, conn *bus.Conn, rate int, lasts time.Duration) []time.Duration {
	t.Helper()
	var mu sync.Mutex
	var took []time.Duration
	var waiting sync.WaitGroup
	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	for i := range int(lasts.Seconds() * float64(rate)) {
		<-tick.C
		subject, err := orders.Events.Info().Subject("o-" + strconv.Itoa(i))
		if err != nil {
			t.Error(err)
			return nil
		}
		began := time.Now()
		waiting.Go(func() {
			_, err := conn.Appender().Append(t.Context(), &nats.Msg{Subject: subject, Data: make([]byte, 512)}, bus.NoExpectation)
			if err != nil && t.Context().Err() == nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			took = append(took, time.Since(began))
		})
	}
	waiting.Wait()
	return took
}

func p99(took []time.Duration) time.Duration {
	slices.Sort(took)
	return took[len(took)*99/100]
}
