package snapshot

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// Check reads every file of a copy and compares it with the manifest. Its error names
// every file that is damaged, cut or missing.
func Check(dir string) (Manifest, error) {
	m, err := Load(dir)
	if err != nil {
		return m, err
	}
	var wrong []error
	for i := range m.Streams {
		if err := checkFile(dir, &m.Streams[i]); err != nil {
			wrong = append(wrong, fmt.Errorf("%s %w", m.Streams[i].File, err))
		}
	}
	if len(wrong) > 0 {
		return m, fmt.Errorf("the backup in %s cannot be used: %w", dir, errors.Join(wrong...))
	}
	return m, nil
}

func checkFile(dir string, s *Stream) error {
	file, err := os.Open(filepath.Join(dir, s.File))
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New("is missing")
	}
	if err != nil {
		return fmt.Errorf("cannot be read: %w", err)
	}
	defer func() { _ = file.Close() }() // it was only read
	hash := sha256.New()
	bytes, err := io.Copy(hash, file)
	if err != nil {
		return fmt.Errorf("cannot be read: %w", err)
	}
	if bytes != s.FileBytes {
		return fmt.Errorf("is damaged: it has %d bytes of %d", bytes, s.FileBytes)
	}
	if hex.EncodeToString(hash.Sum(nil)) != s.FileHash {
		return errors.New("is damaged: its hash is another")
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	in, err := openArchive(file)
	if err != nil {
		return fmt.Errorf("is damaged: %w", err)
	}
	sum := newDigest()
	var m message
	for {
		more, err := in.next(&m)
		if err != nil {
			return fmt.Errorf("is damaged: %w", err)
		}
		if !more {
			break
		}
		sum.add(&m)
	}
	if sum.messages != s.Messages || sum.sum() != s.Hash || in.state.LastSeq != s.Last {
		return fmt.Errorf("does not belong to this manifest: it has %d messages of %d, or others", sum.messages, s.Messages)
	}
	return nil
}

// Comparison is what a server has of one stream of a copy.
type Comparison struct {
	Stream   string   `json:"stream"`
	Same     bool     `json:"same"`
	Messages uint64   `json:"messages"` // that are there as they were
	Hash     string   `json:"hash"`     // over the copy's messages, each as the server has it
	Left     uint64   `json:"left"`     // went by themselves since: their time was over or their timer fired
	Newer    uint64   `json:"newer"`    // came since
	Problems []string `json:"problems,omitempty"`
}

// Compare recomputes the hash of every stream from what the server has and compares
// message by message with the copy.
func Compare(ctx context.Context, nc *nats.Conn, dir string, m *Manifest) ([]Comparison, error) {
	s := source{nc}
	list := make([]Comparison, len(m.Streams))
	for i := range m.Streams {
		var err error
		if list[i], err = s.compare(ctx, dir, &m.Streams[i]); err != nil {
			return nil, fmt.Errorf("compare %s: %w", m.Streams[i].Name, err)
		}
	}
	return list, nil
}

func (s *source) compare(ctx context.Context, dir string, want *Stream) (Comparison, error) {
	file, err := os.Open(filepath.Join(dir, want.File))
	if err != nil {
		return Comparison{}, err
	}
	defer func() { _ = file.Close() }() // it was only read
	kept, err := openArchive(file)
	if err != nil {
		return Comparison{}, err
	}
	live, err := s.receive(ctx, want.Name)
	if err != nil {
		return Comparison{}, err
	}
	defer live.close()
	var config struct {
		MaxAge int64 `json:"max_age"` // nanoseconds
	}
	if err := contract.UnmarshalLenient(live.config, &config); err != nil {
		return Comparison{}, fmt.Errorf("its configuration: %w", err)
	}
	c := &comparing{Comparison: Comparison{Stream: want.Name}, sum: newDigest(), now: time.Now(), maxAge: time.Duration(config.MaxAge)}
	if err := c.walk(kept, live.archiveReader, want.Last); err != nil {
		return c.Comparison, err
	}
	missing, err := s.missing(ctx, want)
	if err != nil {
		return c.Comparison, err
	}
	for _, name := range missing {
		c.problemf("consumer %s is not there", name)
	}
	if live.state.LastSeq < want.Last {
		c.problemf("the stream ends at %d, not at %d", live.state.LastSeq, want.Last)
	}
	if c.Hash = c.sum.sum(); c.Hash != want.Hash {
		c.problemf("its hash is %s, not %s", c.Hash, want.Hash)
	}
	c.Same = len(c.Problems) == 0
	return c.Comparison, nil
}

// missing names the consumers that are not there; a cluster is given time to place them.
func (s *source) missing(ctx context.Context, want *Stream) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		there, err := s.consumers(ctx, want.Name, want.Replicas)
		if err != nil {
			return nil, err
		}
		var missing []string
		for _, name := range want.Consumers {
			if !slices.ContainsFunc(there, func(c consumer) bool { return c.Name == name }) {
				missing = append(missing, name)
			}
		}
		if len(missing) == 0 || s.nc.ConnectedClusterName() == "" {
			return missing, nil
		}
		select {
		case <-ctx.Done():
			return missing, nil
		case <-time.After(between):
		}
	}
}

// comparing walks through a copy and a stream side by side.
type comparing struct {
	Comparison
	sum    *digest
	now    time.Time
	maxAge time.Duration // of the stream; 0 is for ever
}

// mostProblems bounds what is listed of one stream.
const mostProblems = 10

func (c *comparing) problemf(format string, args ...any) {
	if len(c.Problems) < mostProblems {
		c.Problems = append(c.Problems, fmt.Sprintf(format, args...))
	}
}

func (c *comparing) walk(kept, live *archiveReader, last uint64) error {
	var a, b message
	moreA, err := kept.next(&a)
	if err != nil {
		return err
	}
	moreB, err := live.next(&b)
	for err == nil && (moreA || moreB) {
		switch {
		case !moreA && b.seq > last:
			c.Newer++
			moreB, err = live.next(&b)
		case !moreA || moreB && b.seq < a.seq:
			c.problemf("message %d on %s is not in the backup", b.seq, b.subject)
			c.sum.add(&b)
			moreB, err = live.next(&b)
		case !moreB || a.seq < b.seq:
			c.absent(&a)
			moreA, err = kept.next(&a)
		default:
			c.sum.add(&b)
			if c.Messages++; b.subject != a.subject || string(b.header) != string(a.header) || string(b.data) != string(a.data) {
				c.problemf("message %d on %s is another than in the backup", b.seq, b.subject)
			}
			if moreA, err = kept.next(&a); err == nil {
				moreB, err = live.next(&b)
			}
		}
	}
	return err
}

// absent judges a message of the copy that the server does not have: those that go by
// themselves may have gone, and count as they were.
func (c *comparing) absent(m *message) {
	if !c.over(m) {
		c.problemf("message %d on %s is missing", m.seq, m.subject)
		return
	}
	c.Left++
	c.sum.add(m)
}

// over reports whether a message's time to live has passed or its timer is due.
func (c *comparing) over(m *message) bool {
	age := c.now.Sub(time.Unix(0, m.time))
	if c.maxAge > 0 && age >= c.maxAge {
		return true
	}
	header, err := nats.DecodeHeadersMsg(m.header)
	if err != nil {
		return false
	}
	ttl := header.Get("Nats-TTL")
	if seconds, err := strconv.ParseUint(ttl, 10, 32); err == nil {
		ttl = fmt.Sprint(seconds, "s")
	}
	if lives, err := time.ParseDuration(ttl); err == nil && age >= lives {
		return true
	}
	at, isAt := strings.CutPrefix(header.Get("Nats-Schedule"), "@at ")
	due, err := time.Parse(time.RFC3339Nano, at)
	return isAt && err == nil && !c.now.Before(due)
}
