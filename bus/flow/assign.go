package flow

import (
	"cmp"
	"slices"
	"strconv"
)

// partitionOf says in which partition an instance lives.
func partitionOf(name, id string, partitions int) int {
	h := hashText(hashSeed, name)
	h = hashText(h, ".")
	h = hashText(h, id)
	return int(mix(h) % uint64(partitions)) //nolint:gosec // a partition count is small and positive
}

// assign spreads the partitions over the workers by rendezvous hashing: each goes to
// the worker that it likes best and that has not got its share yet. Every worker
// computes the same from the same list, and few partitions move when one comes or
// goes. The result has the worker's name for each partition, "" without workers.
func assign(workers []string, partitions int) []string {
	owners := make([]string, partitions)
	if len(workers) == 0 {
		return owners
	}
	share := (partitions + len(workers) - 1) / len(workers)
	load := make(map[string]int, len(workers))
	for p := range owners {
		ranked := slices.Clone(workers)
		slices.SortFunc(ranked, func(a, b string) int {
			return cmp.Or(cmp.Compare(liking(b, p), liking(a, p)), cmp.Compare(a, b))
		})
		for _, w := range ranked {
			if load[w] < share {
				load[w]++
				owners[p] = w
				break
			}
		}
	}
	return owners
}

// liking is the weight of a worker for a partition.
func liking(worker string, p int) uint64 {
	return mix(hashText(hashText(hashSeed, strconv.Itoa(p)+"/"), worker))
}

// FNV-1a, written out because both ends of a stream have to agree on it for ever.
const (
	hashSeed  = 14695981039346656037
	hashPrime = 1099511628211
)

func hashText(h uint64, s string) uint64 {
	for i := range len(s) {
		h ^= uint64(s[i])
		h *= hashPrime
	}
	return h
}

// mix spreads the bits: the low bits of FNV alone depend too much on the last byte.
func mix(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}
