package snapshot

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// Progress is told of each stream when it is done.
type Progress func(s Stream, took time.Duration)

// Take copies every stream of the connection's account into an empty or new folder.
// The mesh may work meanwhile. version is the program's, for the manifest.
func Take(ctx context.Context, nc *nats.Conn, dir, version string, progress Progress) (Manifest, error) {
	m := Manifest{Format: format, Begun: time.Now().UTC(), Mesh: version, Server: nc.ConnectedServerVersion()}
	if err := emptyFolder(dir); err != nil {
		return m, err
	}
	t := taker{source: source{nc}, dir: dir, positions: map[string][]consumer{}, before: map[string]state{}}
	names, err := t.streams(ctx)
	if err != nil {
		return m, err
	}
	if len(names) == 0 {
		return m, ErrNothing
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(order(a), order(b)), cmp.Compare(a, b)) })
	if err := t.begin(ctx, names); err != nil {
		return m, err
	}
	m.Moment, m.Clocks = t.moment, float64(t.spread.Microseconds())/1e3
	for _, name := range names {
		begun := time.Now()
		s, err := t.take(ctx, name)
		if err != nil {
			return m, fmt.Errorf("back up %s: %w", name, err)
		}
		m.Streams = append(m.Streams, s)
		progress(s, time.Since(begun))
	}
	m.Ended = time.Now().UTC()
	return m, m.save(dir)
}

// ErrNothing reports a server without a single stream.
var ErrNothing = errors.New("the server has no streams: there is nothing to back up")

// emptyFolder makes the folder; one with something in it is refused.
func emptyFolder(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the folder of the backup: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("look at the folder of the backup: %w", err)
	}
	if len(entries) > 0 {
		return fmt.Errorf("%s is not empty: choose a new folder for each backup", dir)
	}
	return nil
}

type taker struct {
	source
	dir       string
	positions map[string][]consumer
	before    map[string]state // of each stream just before the moment
	moment    time.Time
	spread    time.Duration
}

// begin notes how far the consumers are, and then the moment.
func (t *taker) begin(ctx context.Context, names []string) error {
	for _, name := range names {
		if err := t.note(ctx, name); err != nil {
			return err
		}
	}
	var ahead, behind time.Duration
	for i, name := range names {
		asked := time.Now()
		info, err := t.info(ctx, name)
		if err != nil {
			return err
		}
		t.before[name] = info.State
		if info.Now.After(t.moment) {
			t.moment = info.Now
		}
		here := asked.Add(time.Since(asked) / 2)
		if apart := info.Now.Sub(here); i == 0 {
			ahead, behind = apart, apart
		} else {
			ahead, behind = max(ahead, apart), min(behind, apart)
		}
	}
	t.spread = ahead - behind
	return nil
}

// note notes how far the consumers of a stream are.
func (t *taker) note(ctx context.Context, name string) error {
	info, err := t.info(ctx, name)
	if err != nil {
		return err
	}
	var config struct {
		Replicas int `json:"num_replicas"`
	}
	if err := contract.UnmarshalLenient(info.Config, &config); err != nil {
		return fmt.Errorf("the configuration of %s: %w", name, err)
	}
	list, err := t.consumers(ctx, name, config.Replicas)
	if err != nil {
		return err
	}
	if name == contract.FlowStream { // each input again: it wakes its flow
		for i := range list {
			list[i].State.Delivered, list[i].State.AckFloor = position{}, position{}
		}
	}
	t.positions[name] = list
	return nil
}

// passed waits until the moment has passed by the clock of the stream's leader.
func (t *taker) passed(ctx context.Context, name string) error {
	for {
		info, err := t.info(ctx, name)
		if err != nil || info.Now.After(t.moment) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(info.Now.Sub(t.moment).Abs() + time.Millisecond):
		}
	}
}

// take copies one stream: first its messages as they come, then, when it is known
// that nothing is missing, the file as it stays.
func (t *taker) take(ctx context.Context, name string) (Stream, error) {
	part, err := os.OpenFile(filepath.Join(t.dir, name+".part"), os.O_CREATE|os.O_RDWR|os.O_TRUNC, 0o600)
	if err != nil {
		return Stream{}, err
	}
	defer func() { _ = errors.Join(part.Close(), os.Remove(part.Name())) }()
	if err := t.passed(ctx, name); err != nil {
		return Stream{}, err
	}
	in, err := t.receive(ctx, name)
	if err != nil {
		return Stream{}, err
	}
	defer in.close()
	var config struct {
		Replicas   int   `json:"num_replicas"`
		PerSubject int64 `json:"max_msgs_per_subject"`
	}
	if err := contract.UnmarshalLenient(in.config, &config); err != nil {
		return Stream{}, fmt.Errorf("its configuration: %w", err)
	}
	s := Stream{Name: name, File: fileOf(name), Config: in.config, Replicas: config.Replicas}
	gone, err := t.messages(ctx, name, in, part)
	if err != nil {
		return s, err
	}
	return s, t.finish(&s, in.state, part, cut{at: t.moment.UnixNano(), gone: gone, keep: config.PerSubject})
}

// messages writes the messages of a copy, and those behind it when some went since just
// before the moment: what replaced them is there. It reports whether some went.
func (t *taker) messages(ctx context.Context, name string, in *incoming, part io.Writer) (gone bool, err error) {
	out := newArchive(part)
	before := t.before[name]
	var m message
	old, last := uint64(0), before.LastSeq
	for {
		more, err := in.next(&m)
		if err != nil {
			return false, err
		}
		if !more {
			break
		}
		if err := out.message(&m); err != nil {
			return false, err
		}
		if m.seq <= before.LastSeq {
			old++
			continue
		}
		gone = gone || m.seq != last+1
		last = m.seq
	}
	if gone = gone || old < before.Messages || last < in.state.LastSeq; gone {
		if in.state.LastSeq, err = t.catchUp(ctx, name, in.state.LastSeq, out); err != nil {
			return true, err
		}
	}
	return gone, out.end()
}

// rounds is how often catchUp looks again.
const rounds = 200

// catchUp writes what is behind last, until it has read a part of the stream of which
// nothing went: then whatever replaced a message that went is written. It returns the
// sequence up to which it has read.
func (t *taker) catchUp(ctx context.Context, name string, last uint64, out *archiveWriter) (uint64, error) {
	for range rounds {
		info, err := t.info(ctx, name)
		if err != nil {
			return last, err
		}
		end, whole := info.State.LastSeq, true
		for seq := last + 1; seq <= end; {
			m, err := t.next(ctx, name, seq)
			if err != nil {
				return last, err
			}
			if m == nil || m.seq > end {
				whole = false
				break
			}
			whole = whole && m.seq == seq
			if err := out.message(m); err != nil {
				return last, err
			}
			seq = m.seq + 1
		}
		if last = end; whole {
			return last, nil
		}
	}
	return last, fmt.Errorf("messages go faster than they can be read, %d times in a row: try again when less is going on", rounds)
}

// finish writes the file as it stays, with its hashes.
func (t *taker) finish(s *Stream, st state, part *os.File, c cut) error {
	err := c.survey(part, &st)
	if err != nil {
		return err
	}
	path := filepath.Join(t.dir, s.File)
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	hash := sha256.New()
	counted := &counter{w: io.MultiWriter(file, hash)}
	sum := newDigest()
	out := newArchive(counted)
	err = out.head(st, t.positions[s.Name])
	if err == nil {
		err = eachMessage(part, func(m *message) error {
			if !c.has(m) || c.drop[m.seq] {
				return nil
			}
			sum.add(m)
			return out.message(m)
		})
	}
	if err = errors.Join(err, out.end(), file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	s.FileHash, s.FileBytes = hex.EncodeToString(hash.Sum(nil)), counted.bytes
	s.Messages, s.Hash, s.First, s.Last = sum.messages, sum.sum(), st.FirstSeq, st.LastSeq
	for _, c := range t.positions[s.Name] {
		s.Consumers = append(s.Consumers, c.Name)
	}
	return nil
}

// eachMessage reads the messages that were set aside, from the first.
func eachMessage(part io.ReadSeeker, f func(*message) error) error {
	if _, err := part.Seek(0, io.SeekStart); err != nil {
		return err
	}
	in := newArchiveReader(part)
	var m message
	for {
		more, err := in.next(&m)
		if err != nil || !more {
			return err
		}
		if err := f(&m); err != nil {
			return err
		}
	}
}

// counter counts what is written through it.
type counter struct {
	w     io.Writer
	bytes int64
}

// Write counts and writes.
func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.bytes += int64(n)
	return n, err
}
