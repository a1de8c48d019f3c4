package view

import (
	"math"
	"math/bits"
)

// sum adds and takes away numbers that are not negative. It never overflows, so that
// what was added can be taken away again; only its value stops at the largest number.
type sum struct{ high, low uint64 }

func (s *sum) add(n int64) {
	var carry uint64
	s.low, carry = bits.Add64(s.low, uint64(max(0, n)), 0)
	s.high += carry
}

func (s *sum) sub(n int64) {
	var borrow uint64
	s.low, borrow = bits.Sub64(s.low, uint64(max(0, n)), 0)
	s.high -= borrow
}

func (s *sum) value() int64 {
	if s.high > 0 || s.low > math.MaxInt64 {
		return math.MaxInt64
	}
	return int64(s.low)
}

// addProduct adds a × b.
func (s *sum) addProduct(a, b int64) {
	high, low := bits.Mul64(uint64(max(0, a)), uint64(max(0, b)))
	var carry uint64
	s.low, carry = bits.Add64(s.low, low, 0)
	s.high += high + carry
}
