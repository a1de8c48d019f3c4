package flows

import (
	"cmp"
	"slices"
)

// position orders rows: by their start, then by name. The zero position is behind
// everything.
type position struct {
	started int64 // Unix milliseconds
	name    string
}

func (p position) isZero() bool { return p == position{} }

func (p position) before(q position) bool {
	return p.started < q.started || (p.started == q.started && p.name < q.name)
}

// name is unique among all rows.
func (r *row) name() string { return r.shelf.service + "/" + r.shelf.flow + "/" + r.id }

func (r *row) position() position { return position{r.started, r.name()} }

// compare orders the rows of one shelf, which differ by their ids alone when they
// started at the same time.
func compare(a, b *row) int {
	if c := cmp.Compare(a.started, b.started); c != 0 {
		return c
	}
	return cmp.Compare(a.id, b.id)
}

// sorted holds the rows of a shelf in order, in chunks, so that adding and removing
// anywhere costs one short move however many there are.
type sorted struct{ chunks [][]*row }

const chunkMax = 256

// find returns where r is or would be.
func (s *sorted) find(r *row) (chunk, at int, found bool) {
	if len(s.chunks) == 0 {
		return 0, 0, false
	}
	chunk, _ = slices.BinarySearchFunc(s.chunks, r, func(c []*row, r *row) int { return compare(c[len(c)-1], r) })
	chunk = min(chunk, len(s.chunks)-1)
	at, found = slices.BinarySearchFunc(s.chunks[chunk], r, compare)
	return chunk, at, found
}

func (s *sorted) add(r *row) {
	if len(s.chunks) == 0 {
		s.chunks = [][]*row{{r}}
		return
	}
	i, at, found := s.find(r)
	if found {
		return
	}
	c := slices.Insert(s.chunks[i], at, r)
	s.chunks[i] = c
	if len(c) <= chunkMax {
		return
	}
	half := len(c) / 2
	if at == len(c)-1 { // growing at the end: leave full chunks behind
		half = len(c) - 1
	}
	s.chunks[i] = slices.Clip(slices.Clone(c[:half]))
	s.chunks = slices.Insert(s.chunks, i+1, slices.Clone(c[half:]))
}

func (s *sorted) remove(r *row) {
	i, at, found := s.find(r)
	if !found {
		return
	}
	if s.chunks[i] = slices.Delete(s.chunks[i], at, at+1); len(s.chunks[i]) == 0 {
		s.chunks = slices.Delete(s.chunks, i, i+1)
	}
}

// stack goes through a shelf from a row down to the one that started first.
type stack struct {
	chunks [][]*row
	chunk  int // -1: nothing is left
	at     int
}

// below is the part of the shelf before a position, or all of it for the zero one.
func (s *sorted) below(p position) *stack {
	k := &stack{chunks: s.chunks, chunk: len(s.chunks) - 1}
	if k.chunk < 0 {
		return k
	}
	if p.isZero() {
		k.at = len(s.chunks[k.chunk]) - 1
		return k
	}
	behind := func(r *row, p position) int {
		if r.position().before(p) {
			return -1
		}
		return 1
	}
	k.chunk, _ = slices.BinarySearchFunc(s.chunks, p, func(c []*row, p position) int { return behind(c[len(c)-1], p) })
	k.chunk = min(k.chunk, len(s.chunks)-1)
	first, _ := slices.BinarySearchFunc(s.chunks[k.chunk], p, behind)
	k.at = first - 1
	k.settle()
	return k
}

// settle goes on to the chunk before when this one is used up.
func (k *stack) settle() {
	if k.at >= 0 {
		return
	}
	if k.chunk--; k.chunk >= 0 {
		k.at = len(k.chunks[k.chunk]) - 1
	}
}

// top is the next row, or nil.
func (k *stack) top() *row {
	if k.chunk < 0 {
		return nil
	}
	return k.chunks[k.chunk][k.at]
}

func (k *stack) pop() *row {
	r := k.top()
	k.at--
	k.settle()
	return r
}
