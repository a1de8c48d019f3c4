package snapshot

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/ordermesh/ordermesh/bus/contract"
)

// format is the version of the folder's layout.
const format = 1

// manifestFile is written last: a folder without it is no finished copy.
const manifestFile = "manifest.json"

// Manifest says what a folder holds.
type Manifest struct {
	Format  int       `json:"format"`
	Begun   time.Time `json:"begun"`
	Moment  time.Time `json:"moment"`          // of which the copy is
	Clocks  float64   `json:"clock_spread_ms"` // how far the servers' clocks were apart, as seen from here
	Ended   time.Time `json:"ended"`
	Mesh    string    `json:"mesh"`   // version of the program that took it
	Server  string    `json:"server"` // version of the NATS server
	Streams []Stream  `json:"streams"`
}

// Stream is one stream, bucket or object store in a copy, in the order of taking.
type Stream struct {
	Name      string       `json:"name"`
	File      string       `json:"file"`
	FileHash  string       `json:"file_sha256"`
	FileBytes int64        `json:"file_bytes"`
	Messages  uint64       `json:"messages"`
	First     uint64       `json:"first_seq"` // where the stream begins, which may be one behind the last
	Last      uint64       `json:"last_seq"`
	Hash      string       `json:"hash"` // sha256 over sequence, subject, headers and data of every message
	Consumers []string     `json:"consumers,omitempty"`
	Replicas  int          `json:"replicas"`
	Config    contract.Raw `json:"config"`
}

// Load reads the manifest of a copy.
func Load(dir string) (Manifest, error) {
	var m Manifest
	text, err := os.ReadFile(filepath.Join(dir, manifestFile))
	if errors.Is(err, fs.ErrNotExist) {
		return m, fmt.Errorf("%s holds no finished backup: it has no %s", dir, manifestFile)
	}
	if err != nil {
		return m, fmt.Errorf("read the backup: %w", err)
	}
	if err := contract.UnmarshalLenient(text, &m); err != nil {
		return m, fmt.Errorf("%s of the backup is damaged: %w", manifestFile, err)
	}
	if m.Format != format {
		return m, fmt.Errorf("the backup has format %d, this program reads %d: use the version %q that took it", m.Format, format, m.Mesh)
	}
	for _, s := range m.Streams {
		if s.File != fileOf(s.Name) || !streamName.MatchString(s.Name) {
			return m, fmt.Errorf("%s of the backup is damaged: it names the file %q for stream %q", manifestFile, s.File, s.Name)
		}
	}
	return m, nil
}

var streamName = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

func fileOf(stream string) string { return stream + ".snapshot" }

// save writes the manifest in one step.
func (m *Manifest) save(dir string) error {
	text, err := contract.Marshal(m)
	if err != nil {
		return fmt.Errorf("encode the manifest: %w", err)
	}
	path := filepath.Join(dir, manifestFile)
	if err := writeSynced(path+".part", text); err != nil {
		return err
	}
	return errors.Join(os.Rename(path+".part", path), syncDir(dir))
}

func writeSynced(path string, text []byte) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("write the backup: %w", err)
	}
	_, err = file.Write(text)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("write the backup: %w", err)
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// order is the place of a stream in the order of taking. It matters for what may be a
// little younger than the moment: flows are read at once, what belongs to processes that
// come and go last.
func order(stream string) int {
	switch stream {
	case contract.FlowStream:
		return 0
	case "KV_" + contract.FlowLeaseKV, "KV_" + contract.ConfigStatusKV:
		return 2
	}
	return 1
}
