package eventstore

import (
	"hash/maphash"
	"slices"
	"strconv"
	"strings"
)

// windowSize is how many commands a snapshot remembers at least; in memory an
// entity remembers up to twice as many.
const windowSize = 128

var windowSeed = maphash.MakeSeed()

// window is the most recent commands of an entity with the version that each ended
// at, oldest first. Looking one up compares hashes, newest first.
type window struct {
	hashes  []uint64
	entries []windowEntry
}

type windowEntry struct {
	id      string
	version uint64
}

func hashID(id string) uint64 { return maphash.String(windowSeed, id) }

func (w *window) find(hash uint64, id string) (uint64, bool) {
	for i, h := range slices.Backward(w.hashes) {
		if h == hash && w.entries[i].id == id {
			return w.entries[i].version, true
		}
	}
	return 0, false
}

func (w *window) add(hash uint64, id string, version uint64) {
	w.hashes = append(w.hashes, hash)
	w.entries = append(w.entries, windowEntry{id, version})
}

// note is add for an event read from the log: a command's last event counts.
func (w *window) note(id string, version uint64) {
	if id == "" {
		return
	}
	if n := len(w.entries); n > 0 && w.entries[n-1].id == id {
		w.entries[n-1].version = version
		return
	}
	w.add(hashID(id), id, version)
}

// trim forgets the oldest commands once there are twice as many as needed.
func (w *window) trim() {
	extra := len(w.entries) - windowSize
	if extra < windowSize {
		return
	}
	w.hashes = append(w.hashes[:0], w.hashes[extra:]...)
	n := copy(w.entries, w.entries[extra:])
	clear(w.entries[n:])
	w.entries = w.entries[:n]
}

// recent is what a snapshot carries: "id@version", oldest first.
func (w *window) recent() []windowEntry {
	return w.entries[max(0, len(w.entries)-windowSize):]
}

func (e windowEntry) append(b []byte) []byte {
	b = append(append(b, e.id...), '@')
	return strconv.AppendUint(b, e.version, 10)
}

// newWindow reads a snapshot's commands; one that cannot be read is left out.
func newWindow(commands []string) window {
	w := window{hashes: make([]uint64, 0, len(commands)), entries: make([]windowEntry, 0, len(commands))}
	for _, c := range commands {
		at := strings.LastIndexByte(c, '@')
		if at < 0 {
			continue
		}
		if version, err := strconv.ParseUint(c[at+1:], 10, 64); err == nil {
			w.add(hashID(c[:at]), c[:at], version)
		}
	}
	return w
}
