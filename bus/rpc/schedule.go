package rpc

import "runtime/metrics"

// schedule tells how many goroutines of this process could run and wait for a processor.
// The zero value is ready.
type schedule struct {
	sample [1]metrics.Sample
	mean   float64 // over the last calls
}

// waiting is about how many they are lately.
func (s *schedule) waiting() float64 {
	const weight = 4
	s.sample[0].Name = "/sched/goroutines/runnable:goroutines"
	metrics.Read(s.sample[:])
	if s.sample[0].Value.Kind() == metrics.KindUint64 {
		s.mean += (float64(s.sample[0].Value.Uint64()) - s.mean) / weight
	}
	return s.mean
}
