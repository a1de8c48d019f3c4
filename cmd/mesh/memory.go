package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// How much garbage may gather before it is collected. A small mesh lives in some 12 MB
// and makes much short-lived garbage: letting that grow to four times as much saves a
// tenth of an order's CPU, and the idle process stays near 40 MB. A mesh that lives in
// hundreds of megabytes must not take gigabytes for that: beyond mostGarbage the heap
// grows like that of any Go program.
const (
	eagerPercent  = 100
	lazyPercent   = 400
	mostGarbage   = 400 << 20
	percentMatter = 10 // a smaller change is not worth stopping the world for
)

// garbagePercent is the GC percent for a heap of which live bytes are in use.
func garbagePercent(live uint64) int {
	if live == 0 {
		return lazyPercent
	}
	return int(max(eagerPercent, min(lazyPercent, mostGarbage*100/live)))
}

// tuneMemory sets how much garbage may gather, now and after each collection. GOGC in
// the environment is the last word.
func tuneMemory() {
	if os.Getenv("GOGC") != "" {
		return
	}
	percent := lazyPercent
	debug.SetGCPercent(percent)
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	afterEachCollection(func() {
		metrics.Read(sample)
		want := garbagePercent(sample[0].Value.Uint64())
		if want-percent >= percentMatter || percent-want >= percentMatter || want == eagerPercent && percent != want {
			percent = want
			debug.SetGCPercent(percent)
		}
	})
}

// afterEachCollection calls f once after each garbage collection, never twice at the
// same time: an object that nobody refers to is found by each, and leaves another one.
func afterEachCollection(f func()) {
	type unreferenced struct{ _ *byte }
	runtime.AddCleanup(&unreferenced{}, func(struct{}) {
		f()
		afterEachCollection(f)
	}, struct{}{})
}
