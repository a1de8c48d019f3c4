package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// operation is what is measured, done by one of several clients: client counts
// from 0.
type operation func(ctx context.Context, client int) error

const (
	longest = int64(30 * time.Second)
	digits  = 3
)

// load lets clients do op over and over for about d, each at least once and waiting
// for its own, and measures. The first error ends it.
func load(ctx context.Context, clients int, d time.Duration, op operation) (Sample, error) {
	return meteredLoad(ctx, clients, d, op, processCPU)
}

// meteredLoad is load where cpu tells the processor time that counts.
func meteredLoad(ctx context.Context, clients int, d time.Duration, op operation, cpu func() time.Duration) (Sample, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	histograms := make([]*hdrhistogram.Histogram, clients)
	for i := range histograms {
		histograms[i] = hdrhistogram.New(1, longest, digits)
	}
	used, start := cpu(), time.Now()
	end := start.Add(d)
	var wg sync.WaitGroup
	for client, h := range histograms {
		wg.Go(func() {
			for before := time.Now(); before.Before(end) || h.TotalCount() == 0; {
				if err := op(ctx, client); err != nil {
					cancel(err)
					return
				}
				after := time.Now()
				if err := h.RecordValue(int64(after.Sub(before))); err != nil {
					cancel(fmt.Errorf("an operation took %v: %w", after.Sub(before), err))
					return
				}
				before = after
			}
		})
	}
	wg.Wait()
	elapsed, used := time.Since(start), cpu()-used
	if err := context.Cause(ctx); err != nil {
		return Sample{}, err
	}
	return summarize(histograms, elapsed, used)
}

func summarize(histograms []*hdrhistogram.Histogram, elapsed, cpu time.Duration) (Sample, error) {
	all := histograms[0]
	for _, h := range histograms[1:] {
		if dropped := all.Merge(h); dropped > 0 {
			return Sample{}, fmt.Errorf("%d measurements do not fit the histogram", dropped)
		}
	}
	n := all.TotalCount()
	if n == 0 {
		return Sample{}, errors.New("nothing was measured in the time given")
	}
	return Sample{
		Ops: float64(n) / elapsed.Seconds(), Count: n,
		P50: time.Duration(all.ValueAtQuantile(50)), P99: time.Duration(all.ValueAtQuantile(99)),
		CPU: cpu / time.Duration(n),
	}, nil
}

// compare measures ours and raw in turns, o.Rounds times, after one short warm-up
// of each. Which side goes first changes from round to round.
func compare(ctx context.Context, o Options, clients int, ours, raw operation) (Row, error) {
	row := Row{Concurrency: clients}
	cpu := o.meter
	if cpu == nil {
		cpu = processCPU
	}
	sides := [2]operation{ours, raw}
	for _, op := range sides {
		if _, err := load(ctx, clients, o.Duration/4, op); err != nil {
			return row, err
		}
	}
	var samples [2][]Sample
	for round := range o.Rounds {
		for turn := range sides {
			side := (turn + round) % 2
			s, err := meteredLoad(ctx, clients, o.Duration, sides[side], cpu)
			if err != nil {
				return row, err
			}
			samples[side] = append(samples[side], s)
		}
	}
	row.Ours = median(samples[0])
	rawMedian := median(samples[1])
	row.Raw = &rawMedian
	row.OpsRatio = medianRatio(samples, func(s Sample) float64 { return s.Ops })
	row.P50Ratio = medianRatio(samples, func(s Sample) float64 { return float64(s.P50) })
	row.P99Ratio = medianRatio(samples, func(s Sample) float64 { return float64(s.P99) })
	return row, nil
}

// repeat measures one side alone and returns the median.
func repeat(ctx context.Context, o Options, clients int, op operation) (Sample, error) {
	if _, err := load(ctx, clients, o.Duration/4, op); err != nil {
		return Sample{}, err
	}
	var samples []Sample
	for range o.Rounds {
		s, err := load(ctx, clients, o.Duration, op)
		if err != nil {
			return Sample{}, err
		}
		samples = append(samples, s)
	}
	return median(samples), nil
}

// median takes each figure's median by itself.
func median(samples []Sample) Sample {
	return Sample{
		Ops:   middle(samples, func(s Sample) float64 { return s.Ops }),
		P50:   middle(samples, func(s Sample) time.Duration { return s.P50 }),
		P99:   middle(samples, func(s Sample) time.Duration { return s.P99 }),
		CPU:   middle(samples, func(s Sample) time.Duration { return s.CPU }),
		Count: middle(samples, func(s Sample) int64 { return s.Count }),
	}
}

func medianRatio(sides [2][]Sample, figure func(Sample) float64) float64 {
	ratios := make([]float64, 0, len(sides[0]))
	for i := range sides[0] {
		ratios = append(ratios, figure(sides[0][i])/figure(sides[1][i]))
	}
	return middle(ratios, func(f float64) float64 { return f })
}

func middle[T any, N float64 | time.Duration | int64](list []T, figure func(T) N) N {
	figures := make([]N, 0, len(list))
	for _, item := range list {
		figures = append(figures, figure(item))
	}
	slices.Sort(figures)
	return figures[len(figures)/2]
}
