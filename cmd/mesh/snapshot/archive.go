package snapshot

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"

	"github.com/klauspost/compress/s2"
	"github.com/nats-io/nats-server/v2/server/archive"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// A copy of a stream is in nats-server's own format (state.json, consumers, messages,
// an end mark; compressed by S2), so that a restore hands it on as it is.
const (
	stateEntry     = "state.json"
	consumerPrefix = "consumers/"
)

// errCut reports a copy that ends before its end mark.
var errCut = errors.New("the copy ends before its end: it is cut or damaged")

// message is one message of a stream.
type message struct {
	subject      string
	seq          uint64
	time         int64 // nanoseconds since 1970
	header, data []byte
}

// digest is the hash over the messages of a stream, with what else is counted.
type digest struct {
	hash        hash.Hash
	messages    uint64
	first, last uint64
}

func newDigest() *digest { return &digest{hash: sha256.New()} }

// add counts a message: its sequence, subject, headers and data, each with its length.
func (d *digest) add(m *message) {
	if d.messages++; d.messages == 1 {
		d.first = m.seq
	}
	d.last = m.seq
	var head [4 * binary.MaxVarintLen64]byte
	n := binary.PutUvarint(head[:], m.seq)
	n += binary.PutUvarint(head[n:], uint64(len(m.subject)))
	n += binary.PutUvarint(head[n:], uint64(len(m.header)))
	n += binary.PutUvarint(head[n:], uint64(len(m.data)))
	for _, part := range [][]byte{head[:n], []byte(m.subject), m.header, m.data} {
		_, _ = d.hash.Write(part) // a hash takes everything
	}
}

func (d *digest) sum() string { return hex.EncodeToString(d.hash.Sum(nil)) }

// archiveReader reads a copy from its beginning.
type archiveReader struct {
	entries   *archive.Reader
	state     state
	consumers []string // names
}

// newArchiveReader reads messages from the first byte on.
func newArchiveReader(r io.Reader) *archiveReader {
	return &archiveReader{entries: archive.NewReader(s2.NewReader(r))}
}

// openArchive reads what comes before the messages.
func openArchive(r io.Reader) (*archiveReader, error) {
	a := newArchiveReader(r)
	name, text, err := a.entry()
	if err != nil {
		return nil, err
	}
	if name != stateEntry {
		return nil, fmt.Errorf("the copy begins with %q and not with %s", name, stateEntry)
	}
	if err := contract.UnmarshalLenient(text, &a.state); err != nil {
		return nil, fmt.Errorf("%s of the copy: %w", stateEntry, err)
	}
	for range a.state.Consumers {
		name, _, err := a.entry()
		if err != nil {
			return nil, err
		}
		name, ok := strings.CutPrefix(name, consumerPrefix)
		if !ok {
			return nil, fmt.Errorf("the copy has %q where a consumer belongs", name)
		}
		a.consumers = append(a.consumers, name)
	}
	return a, nil
}

// entry reads one that is no message.
func (a *archiveReader) entry() (string, []byte, error) {
	head, err := a.entries.Next()
	if err != nil {
		return "", nil, damaged(err)
	}
	text, err := io.ReadAll(a.entries)
	if err != nil {
		return "", nil, damaged(err)
	}
	return head.Name, text, nil
}

// next reads the next message; false is the end. It is valid until the next call.
func (a *archiveReader) next(m *message) (bool, error) {
	head, err := a.entries.Next()
	if err != nil {
		return false, damaged(err)
	}
	if head.Sequence == 0 {
		if head.Name != "" {
			return false, fmt.Errorf("the copy has %q where a message belongs", head.Name)
		}
		return false, nil
	}
	if head.HeaderSize+head.PayloadSize > maxMessage {
		return false, fmt.Errorf("the copy says that message %d has %d bytes: it is damaged", head.Sequence, head.HeaderSize+head.PayloadSize)
	}
	m.subject, m.seq, m.time = head.Name, head.Sequence, head.Timestamp
	body := make([]byte, head.HeaderSize+head.PayloadSize)
	if _, err := io.ReadFull(a.entries, body); err != nil {
		return false, damaged(err)
	}
	m.header, m.data = body[:head.HeaderSize], body[head.HeaderSize:]
	return true, nil
}

// maxMessage is more than any server takes.
const maxMessage = 128 << 20

func damaged(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errCut
	}
	return err
}

// archiveWriter writes a copy.
type archiveWriter struct {
	packed  *s2.Writer
	entries *archive.Writer
}

func newArchive(w io.Writer) *archiveWriter {
	packed := s2.NewWriter(w, s2.WriterConcurrency(1))
	return &archiveWriter{packed: packed, entries: archive.NewWriter(packed)}
}

// head writes what comes before the messages.
func (a *archiveWriter) head(s state, consumers []consumer) error {
	s.Consumers = len(consumers)
	if err := a.json(stateEntry, s); err != nil {
		return err
	}
	for _, c := range consumers {
		if err := a.json(consumerPrefix+c.Name, c); err != nil {
			return err
		}
	}
	return nil
}

func (a *archiveWriter) json(name string, v any) error {
	text, err := contract.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode %s: %w", name, err)
	}
	return a.write(&archive.Header{Name: name, PayloadSize: int64(len(text))}, text)
}

func (a *archiveWriter) message(m *message) error {
	return a.write(&archive.Header{
		Name: m.subject, Timestamp: m.time, Sequence: m.seq, HeaderSize: int64(len(m.header)), PayloadSize: int64(len(m.data)),
	}, m.header, m.data)
}

func (a *archiveWriter) write(head *archive.Header, parts ...[]byte) error {
	if err := a.entries.WriteHeader(head); err != nil {
		return err
	}
	for _, part := range parts {
		if _, err := io.Copy(a.entries, bytes.NewReader(part)); err != nil {
			return err
		}
	}
	return nil
}

// end writes the end mark and flushes.
func (a *archiveWriter) end() error {
	return errors.Join(a.write(&archive.Header{}), a.entries.Close(), a.packed.Close())
}
