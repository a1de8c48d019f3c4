package chaos

import (
	"cmp"
	"slices"
	"strings"
)

// Point is a crash point and how often a run passed it.
type Point struct {
	Name   string
	Passed int
}

// passedPoints finds the crash points in the log of a process that ran with
// MESH_FAILPOINT=list, by name.
func passedPoints(log string) []Point {
	counts := map[string]int{}
	for text := range strings.Lines(log) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(text), "failpoint: "); ok {
			counts[name]++
		}
	}
	points := make([]Point, 0, len(counts))
	for name, n := range counts {
		points = append(points, Point{Name: name, Passed: n})
	}
	slices.SortFunc(points, func(a, b Point) int { return cmp.Compare(a.Name, b.Name) })
	return points
}

// mergePoints adds up what several runs passed.
func mergePoints(lists ...[]Point) []Point {
	counts := map[string]int{}
	for _, list := range lists {
		for _, p := range list {
			counts[p.Name] += p.Passed
		}
	}
	var merged []Point
	for name, n := range counts {
		merged = append(merged, Point{Name: name, Passed: n})
	}
	slices.SortFunc(merged, func(a, b Point) int { return cmp.Compare(a.Name, b.Name) })
	return merged
}

// hitsOf chooses at which times a point is worth a crash: the first ones, where a
// run is still cold, and others spread over what one load passes.
func hitsOf(p Point, want int) []int {
	var hits []int
	for i := range want {
		hit := 1
		if want > 1 {
			hit = 1 + i*(p.Passed-1)/(want-1)
		}
		if len(hits) == 0 || hit > hits[len(hits)-1] {
			hits = append(hits, hit)
		}
	}
	return hits
}
