package flow

import (
	"fmt"
	"sync"
	"testing"
)

func gateOf(capacity int, limits map[string]int) *gate {
	flows := catalogue{}
	for name, n := range limits {
		flows[flowVersion{name, 1}] = spec{name: name, version: 1, maxRunning: n}
	}
	return newGate(capacity, flows)
}

func passed(place chan struct{}) bool {
	if place == nil {
		return true
	}
	select {
	case <-place:
		return true
	default:
		return false
	}
}

func TestTheGateLetsNamesTakeTurns(t *testing.T) {
	t.Parallel()
	g := gateOf(1, map[string]int{"a": 0, "b": 0, "c": 0})
	if g.enter("a") != nil {
		t.Fatal("the first did not pass")
	}
	waiting := map[string][]chan struct{}{}
	for range 3 {
		waiting["a"] = append(waiting["a"], g.enter("a"))
	}
	waiting["b"] = append(waiting["b"], g.enter("b"), g.enter("b"))
	waiting["c"] = append(waiting["c"], g.enter("c"))
	inside := "a"
	var order []string
	for range 6 {
		g.leave(inside, nil)
		for name, places := range waiting {
			if len(places) > 0 && passed(places[0]) {
				inside, waiting[name] = name, places[1:]
			}
		}
		order = append(order, inside)
	}
	first := map[string]bool{order[0]: true, order[1]: true, order[2]: true}
	if len(first) != 3 || order[5] != "a" || order[3] == order[4] {
		t.Errorf("they passed in the order %v", order)
	}
	g.leave(inside, nil)
	if g.free != 1 || g.queue != 0 {
		t.Errorf("at the end %d slots are free and %d wait", g.free, g.queue)
	}
}

func TestTheGateBoundsEachNameAndAll(t *testing.T) {
	t.Parallel()
	g := gateOf(4, map[string]int{"few": 2, "many": 0})
	var few, many []chan struct{}
	for range 5 {
		few, many = append(few, g.enter("few")), append(many, g.enter("many"))
	}
	count := func(places []chan struct{}) (n int) {
		for _, p := range places {
			if passed(p) {
				n++
			}
		}
		return n
	}
	if count(few) != 2 || count(many) != 2 {
		t.Errorf("%d of the few and %d of the many are inside", count(few), count(many))
	}
	g.leave("many", nil)
	if count(few) != 2 || count(many) != 3 {
		t.Errorf("then %d of the few and %d of the many have passed", count(few), count(many))
	}
	g.leave("few", few[4]) // gives its place up
	g.leave("few", nil)
	g.leave("few", nil)
	if count(few) < 3 || count(many) < 3 || count(few)+count(many) != 7 {
		t.Errorf("at last %d of the few and %d of the many have passed", count(few), count(many))
	}
}

func TestTheGateUnderLoad(t *testing.T) {
	t.Parallel()
	const capacity, limit = 5, 2
	g := gateOf(capacity, map[string]int{"a": limit, "b": 0, "c": 0})
	var mu sync.Mutex
	inside, most := map[string]int{}, map[string]int{}
	move := func(name string, by int) {
		mu.Lock()
		defer mu.Unlock()
		inside[name] += by
		inside["all"] += by
		most[name], most["all"] = max(most[name], inside[name]), max(most["all"], inside["all"])
	}
	var all sync.WaitGroup
	for i := range 60 {
		name := string(rune('a' + i%3))
		all.Go(func() {
			for range 200 {
				if place := g.enter(name); place != nil {
					<-place
				}
				move(name, 1)
				move(name, -1)
				g.leave(name, nil)
			}
		})
	}
	all.Wait()
	if most["all"] > capacity || most["a"] > limit || g.free != capacity || g.queue != 0 {
		t.Errorf("at most %v inside, %d free and %d waiting at the end", most, g.free, g.queue)
	}
}

func BenchmarkGate(b *testing.B) {
	for _, goroutines := range []int{1, 64} {
		b.Run(fmt.Sprint(goroutines), func(b *testing.B) {
			g := gateOf(defaultCapacity, map[string]int{"a": 0, "b": 0})
			b.SetParallelism(goroutines)
			pass := func() {
				if place := g.enter("a"); place != nil {
					<-place
				}
				g.leave("a", nil)
			}
			if goroutines == 1 {
				for b.Loop() {
					pass()
				}
				return
			}
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					pass()
				}
			})
		})
	}
}
