package bench

import (
	"cmp"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"time"
)

// cpu is the processor time of this process and of those of the mesh.
func (m Mesh) cpu() time.Duration {
	sum := processCPU()
	for _, pid := range m.Processes {
		sum += cpuOf(pid)
	}
	return sum
}

// usage is the processor time of each process by name.
func (m Mesh) usage() map[string]time.Duration {
	if m.Processes == nil {
		return nil
	}
	all := map[string]time.Duration{"customers": processCPU()}
	for name, pid := range m.Processes {
		all[name] = cpuOf(pid)
	}
	return all
}

// parts says what each process spent on one order since before, the greatest first.
func (m Mesh) parts(before map[string]time.Duration, orders int64) string {
	now := m.usage()
	spent := func(name string) time.Duration { return (now[name] - before[name]) / time.Duration(max(orders, 1)) }
	names := slices.SortedFunc(maps.Keys(now), func(a, b string) int { return cmp.Or(cmp.Compare(spent(b), spent(a)), cmp.Compare(a, b)) })
	list := make([]string, len(names))
	for i, name := range names {
		list[i] = fmt.Sprintf("%s %v", name, spent(name).Round(10*time.Microsecond))
	}
	return strings.Join(list, ", ")
}

// bound says how many orders a second the processors allow at this price of one.
func bound(clients int, each time.Duration, parts string) string {
	if parts != "" {
		parts = " (" + parts + ")"
	}
	if each <= 0 {
		return fmt.Sprintf("%d under way: the processor time of an order is not known here", clients)
	}
	n := runtime.NumCPU()
	return fmt.Sprintf("%d under way: %v of processor time per order%s: %d processors cannot do more than %.0f a second",
		clients, each.Round(10*time.Microsecond), parts, n, float64(n)/each.Seconds())
}
