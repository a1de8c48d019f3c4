package view

import (
	"cmp"
	"iter"
	"slices"
)

// sorted is an ordered set of positions in chunks, so that adding and removing
// anywhere costs one short move however long the list is.
type sorted struct{ chunks [][]Position }

const chunkMax = 256

func comparePositions(a, b Position) int {
	if c := cmp.Compare(a.Order, b.Order); c != 0 {
		return c
	}
	return cmp.Compare(a.Key, b.Key)
}

// chunk is the index of the chunk that has p or would have it.
func (s *sorted) chunk(p Position) int {
	i, _ := slices.BinarySearchFunc(s.chunks, p, func(c []Position, p Position) int {
		return comparePositions(c[len(c)-1], p)
	})
	return min(i, max(len(s.chunks)-1, 0))
}

func (s *sorted) add(p Position) {
	if len(s.chunks) == 0 {
		s.chunks = [][]Position{{p}}
		return
	}
	i := s.chunk(p)
	at, found := slices.BinarySearchFunc(s.chunks[i], p, comparePositions)
	if found {
		return
	}
	c := slices.Insert(s.chunks[i], at, p)
	s.chunks[i] = c
	if len(c) <= chunkMax {
		return
	}
	half := len(c) / 2
	if at == len(c)-1 { // growing at the end: leave full chunks behind
		half = len(c) - 1
	}
	s.chunks[i] = slices.Clip(c[:half:half])
	s.chunks = slices.Insert(s.chunks, i+1, slices.Clone(c[half:]))
}

func (s *sorted) remove(p Position) {
	if len(s.chunks) == 0 {
		return
	}
	i := s.chunk(p)
	at, found := slices.BinarySearchFunc(s.chunks[i], p, comparePositions)
	if !found {
		return
	}
	if s.chunks[i] = slices.Delete(s.chunks[i], at, at+1); len(s.chunks[i]) == 0 {
		s.chunks = slices.Delete(s.chunks, i, i+1)
	}
}

func (s *sorted) empty() bool { return len(s.chunks) == 0 }

// of goes through the positions that a query asks for, whatever its limit.
func (s *sorted) of(q Query) iter.Seq[Position] {
	if q.Newest {
		return s.newest(q)
	}
	start := q.After
	if from := (Position{Order: q.From}); comparePositions(start, from) < 0 {
		start = from // no key is empty: this is just before the first that counts
	}
	return func(yield func(Position) bool) {
		for p := range s.after(start) {
			if q.Until != "" && p.Order >= q.Until || !yield(p) {
				return
			}
		}
	}
}

func (s *sorted) newest(q Query) iter.Seq[Position] {
	start := q.After
	if until := (Position{Order: q.Until}); q.Until != "" && (start.IsZero() || comparePositions(until, start) < 0) {
		start = until
	}
	return func(yield func(Position) bool) {
		for p := range s.before(start) {
			if p.Order < q.From || !yield(p) {
				return
			}
		}
	}
}

// after goes through the positions behind p, or from the beginning when p is zero.
func (s *sorted) after(p Position) iter.Seq[Position] {
	return func(yield func(Position) bool) {
		from, at := 0, 0
		if !p.IsZero() && !s.empty() {
			from = s.chunk(p)
			i, found := slices.BinarySearchFunc(s.chunks[from], p, comparePositions)
			if at = i; found {
				at++
			}
		}
		for ; from < len(s.chunks); from, at = from+1, 0 {
			for _, q := range s.chunks[from][at:] {
				if !yield(q) {
					return
				}
			}
		}
	}
}

// before goes back through the positions before p, or from the end when p is zero.
func (s *sorted) before(p Position) iter.Seq[Position] {
	return func(yield func(Position) bool) {
		if s.empty() {
			return
		}
		from := len(s.chunks) - 1
		at := len(s.chunks[from])
		if !p.IsZero() {
			from = s.chunk(p)
			at, _ = slices.BinarySearchFunc(s.chunks[from], p, comparePositions)
		}
		for {
			for i := at - 1; i >= 0; i-- {
				if !yield(s.chunks[from][i]) {
					return
				}
			}
			if from--; from < 0 {
				return
			}
			at = len(s.chunks[from])
		}
	}
}
