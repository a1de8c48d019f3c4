package snapshot

import (
	"bytes"
	"io"
)

// cut says which of the messages that were read belong to the copy.
type cut struct {
	at   int64           // the moment, in nanoseconds since 1970
	gone bool            // messages went while they were read
	keep int64           // how many messages of a subject the stream keeps; 0 or less is all
	drop map[uint64]bool // of which more were read than that
}

// has reports whether a message was there at the moment, or replaces one that was.
func (c *cut) has(m *message) bool {
	return m.time <= c.at || c.gone && (c.keep > 0 || replaces(m))
}

// replaces reports whether a message removed those before it on its subject.
func replaces(m *message) bool { return bytes.Contains(m.header, []byte("\r\nNats-Rollup:")) }

// survey makes the stream's account of itself that of the copy: what was read behind the
// moment is not there yet.
func (c *cut) survey(part io.ReadSeeker, st *state) error {
	c.drop = map[uint64]bool{}
	bySubject := map[string][]uint64{}
	st.Messages, st.Bytes = 0, 0
	last, later := st.LastSeq, false
	err := eachMessage(part, func(m *message) error {
		if !c.has(m) {
			if !later {
				last, later = m.seq-1, true
			}
			return nil
		}
		last = max(last, m.seq)
		st.Messages++
		st.Bytes += uint64(len(m.subject) + len(m.header) + len(m.data))
		if c.gone && c.keep > 0 {
			c.surplus(m, bySubject, st)
		}
		return nil
	})
	st.LastSeq = last
	st.FirstSeq = min(st.FirstSeq, last+1)
	if st.Messages == 0 { // an empty stream begins behind its end
		st.FirstSeq = last + 1
	}
	return err
}

// surplus drops the oldest message of a subject that has more than the stream keeps.
func (c *cut) surplus(m *message, bySubject map[string][]uint64, st *state) {
	seqs := append(bySubject[m.subject], m.seq)
	if int64(len(seqs)) > c.keep {
		c.drop[seqs[0]], seqs = true, seqs[1:]
		st.Messages--
	}
	bySubject[m.subject] = seqs
}
